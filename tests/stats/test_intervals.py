"""An interval leaves out exactly what its test rejects; what shows a bound also moves with the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stats import beta, counts, evalues, grid, half_normal, half_student, intervals, normal, rare, student
from stats.intervals import Interval

informations = st.floats(0.5, 1e6)
effects = st.floats(-0.9, 0.9)
units = st.floats(0.002, 0.3)
alphas = st.floats(0.001, 0.3)
events = st.integers(0, 3000)
shares = st.floats(0.02, 0.98)

Test = Callable[[float, float, float, float], float]
Both = Callable[[float, float, float, float], Interval]
ONE_SIDED: list[tuple[Test, Both]] = [
    (grid.log_evalue, grid.interval),
    (half_normal.log_evalue, half_normal.interval),
]
one_sided = pytest.mark.parametrize(("test", "both"), ONE_SIDED, ids=["grid", "half-normal"])


@one_sided
@given(informations, effects, units, alphas)
def test_at_an_end_the_e_value_of_one_side_is_one_over_its_alpha(
    test: Test, both: Both, a: float, effect: float, unit: float, alpha: float
) -> None:
    low, _ = both(a, a * effect, unit, alpha)
    scale = max(1.0, 4 * unit * a)  # of the exponents that cancel
    assert test(a, a * effect, low, unit) == pytest.approx(-math.log(alpha / 2), abs=1e-9 * scale)


@one_sided
@given(informations, effects, units, alphas, st.floats(-2, 2))
def test_an_effect_is_outside_exactly_when_its_e_value_rejects(
    test: Test, both: Both, a: float, effect: float, unit: float, alpha: float, null: float
) -> None:
    low, high = both(a, a * effect, unit, alpha)
    above, below = test(a, a * effect, null, unit), test(a, -a * effect, -null, unit)
    target = math.log(2 / alpha)
    near = 1e-6 * max(1.0, 4 * unit * a)
    if abs(above - target) > near:
        assert (null < low) is (above > target)
    if abs(below - target) > near:
        assert (null > high) is (below > target)
    assert low < effect < high


@one_sided
@given(informations, effects, units, alphas)
def test_a_smaller_alpha_widens_and_exchanged_arms_mirror(
    test: Test, both: Both, a: float, effect: float, unit: float, alpha: float
) -> None:
    low, high = both(a, a * effect, unit, alpha)
    wide_low, wide_high = both(a, a * effect, unit, alpha / 2)
    assert wide_low < low
    assert high < wide_high
    mirrored = both(a, -a * effect, unit, alpha)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((low, high))


@given(informations, effects, st.floats(1e-4, 1.0), alphas, st.floats(-2, 2))
def test_the_two_sided_interval_is_the_inverse_of_its_test(
    a: float, effect: float, variance: float, alpha: float, null: float
) -> None:
    low, high = normal.interval(a, a * effect, variance, alpha)
    log_e = normal.log_evalue(a, a * effect, null, variance)
    if abs(log_e + math.log(alpha)) > 1e-6:
        assert (not low <= null <= high) is (log_e > -math.log(alpha))
    scale = max(1.0, a * variance)
    assert normal.log_evalue(a, a * effect, low, variance) == pytest.approx(
        -math.log(alpha), abs=1e-9 * scale
    )


# ---- t --------------------------------------------------------------------------------------------------------------


@given(effects, st.floats(0.01, 0.5), st.integers(2, 400), st.floats(1, 400), alphas)
def test_the_t_intervals_invert_their_tests(
    effect: float, se: float, freedom: int, size: float, alpha: float
) -> None:
    found = student.interval(effect, se, freedom, size, 10.0, alpha)
    low = half_student.bound(effect, se, freedom, size, 10.0, alpha)
    if found is not None:
        for edge in found:
            log_e = student.log_evalue(effect, se, freedom, size, edge, 10.0)
            assert log_e == pytest.approx(-math.log(alpha), abs=1e-8)
    if low is not None:
        log_e = half_student.log_evalue(effect, se, freedom, size, low, 10.0)
        assert log_e == pytest.approx(-math.log(alpha), abs=1e-8)


def test_too_few_units_have_no_t_interval() -> None:
    assert student.interval(1.0, 0.1, 1, 2.0, 10.0, 0.01) is None
    assert half_student.bound(1.0, 0.1, 1, 2.0, 10.0, 0.01) is None
    assert student.log_evalue(1e9, 0.1, 1, 2.0, 0.0, 10.0) < math.log(100)


# ---- rates ----------------------------------------------------------------------------------------------------------

Strata = Sequence[tuple[int, int, float]]


def multiples(null: float) -> counts.Mixture:
    return counts.Mixture(tuple(null * ratio for ratio in counts.MORE.ratios), counts.MORE.weights)


@given(st.lists(st.tuples(events, events, shares), min_size=1, max_size=3), alphas, st.floats(-3, 3))
def test_a_rate_ratio_is_outside_exactly_when_the_conditional_test_rejects_it(
    strata: Strata, alpha: float, log_null: float
) -> None:
    null, target = math.exp(log_null), math.log(2 / alpha)
    low, high = counts.interval(strata, alpha)
    above = counts.log_evalue(strata, null, multiples(null))
    below = counts.log_evalue([(b, a, 1 - s) for a, b, s in strata], 1 / null, multiples(1 / null))
    if abs(above - target) > 1e-6:
        assert (null < low) is (above > target)
    if abs(below - target) > 1e-6:
        assert (high is not None and null > high) is (below > target)


@given(events, events, shares, alphas)
@example(1, 67, 0.5, 0.25)
def test_equal_rates_are_outside_exactly_when_the_two_sided_test_rejects_them(
    x0: int, x1: int, share: float, alpha: float
) -> None:
    low, high = beta.interval(x0, x1, share, alpha)
    log_e = beta.log_evalue(x0, x1, share)
    if abs(log_e + math.log(alpha)) > 1e-6:
        assert (low <= 1 and (high is None or high >= 1)) is (log_e < -math.log(alpha))
    if x0 and x1:
        assert low < x1 * (1 - share) / (x0 * share)


def test_an_arm_without_an_event_has_an_open_end() -> None:
    for found in (counts.interval([(0, 40, 0.5)], 0.05), beta.interval(0, 40, 0.5, 0.05)):
        assert found.low > 1
        assert found.high is None
    for found in (counts.interval([(40, 0, 0.5)], 0.05), beta.interval(40, 0, 0.5, 0.05)):
        assert found.low == 0.0
        assert found.high is not None
        assert found.high < 1
    assert counts.interval([], 0.05) == (0.0, None)
    assert beta.interval(0, 0, 0.5, 0.05) == (0.0, None)


@given(
    st.integers(1, 20_000),
    st.integers(0, 20),
    st.floats(0, 5000),
    st.floats(-0.05, 0.05),
    st.floats(0.005, 0.1),
)
def test_the_bound_of_a_rare_excess_is_the_least_margin_that_its_test_shows(
    n: int, x: int, a: float, effect: float, margin: float
) -> None:
    x = min(x, n)
    bound = rare.excess_bound(n, x, a, a * effect, margin, 0.05)
    difference = grid.log_evalue(a, -a * effect, -margin, margin)
    log_e = evalues.average([rare.log_evalue(n, x, margin), difference])
    if abs(log_e - math.log(20)) > 1e-6:
        assert (bound <= margin) is (log_e >= math.log(20))


def test_without_an_event_the_bound_falls_with_the_units() -> None:
    bounds = [rare.excess_bound(n, 0, 0.0, 0.0, 0.01, 0.05) for n in (1, 10, 434, 5000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] <= 1
    assert bounds[2] == pytest.approx(0.01, rel=0.005)


def test_what_is_never_shown_leaves_the_bound_where_it_was() -> None:
    assert intervals.least_shown(lambda value: False, -1.0, 1.0) == 1.0
    assert intervals.least_shown(lambda value: value >= 0.25, -1.0, 1.0) == pytest.approx(0.25, abs=1e-12)
