"""Laws of every test: batches, strata, exchanged arms, units of measurement, extremes; and arrays say what numbers say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import beta, counts, grid, half_normal, half_student, normal, rare, srm, student
from stats.evalues import anytime_p, average, log_mixtures, log_sum_exp, threshold

shares = st.floats(0.01, 0.99)
many = st.integers(0, 10**9)
batches_of_events = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6)
informations = st.floats(0.1, 1e6)
effects = st.floats(-1, 1)
tunings = st.floats(1e-3, 1.0)

# information, weighted, null, tuning in the metric's unit
ONE_SIDED: dict[str, Callable[[float, float, float, float], float]] = {
    "grid": grid.log_evalue,
    "half-normal": lambda a, b, null, unit: half_normal.log_evalue(a, b, null, unit * unit),
}
OF_ESTIMATES = ONE_SIDED | {"two-sided": lambda a, b, null, unit: normal.log_evalue(a, b, null, unit * unit)}
one_sided = pytest.mark.parametrize("test", ONE_SIDED.values(), ids=ONE_SIDED)
of_estimates = pytest.mark.parametrize("test", OF_ESTIMATES.values(), ids=OF_ESTIMATES)

Test = Callable[[float, float, float, float], float]


# ---- batches and strata ---------------------------------------------------------------------------------------------


@given(batches_of_events, shares)
def test_any_batching_of_the_same_events_gives_the_same_value(
    batches: list[tuple[int, int]], share: float
) -> None:
    x0, x1 = (sum(column) for column in zip(*batches, strict=True))
    split = counts.log_evalue([(*batch, share) for batch in batches])
    assert split == pytest.approx(counts.log_evalue([(x0, x1, share)]), rel=1e-9, abs=1e-9)


@of_estimates
@given(st.lists(st.tuples(informations, effects), min_size=1, max_size=6), st.floats(-0.5, 0.5), tunings)
def test_evidence_of_strata_adds_in_any_order(
    test: Test, parts: list[tuple[float, float]], null: float, unit: float
) -> None:
    def value(rows: list[tuple[float, float]]) -> float:
        return test(sum(a for a, _ in rows), sum(a * e for a, e in rows), null, unit)

    assert value(parts) == pytest.approx(value(parts[::-1]), rel=1e-9, abs=1e-6)


# ---- exchanged arms, units of measurement ---------------------------------------------------------------------------


@given(many, many, shares, st.floats(0.1, 10))
def test_exchanging_the_arms_exchanges_more_and_fewer_events(
    x0: int, x1: int, share: float, null: float
) -> None:
    rows, mirrored = [(x0, x1, share)], [(x1, x0, 1 - share)]
    near = 1e-9 * (1 + x0 + x1)
    assert counts.log_evalue(mirrored, 1.0, counts.FEWER) == pytest.approx(
        counts.log_evalue(rows, 1.0, counts.MORE), rel=1e-9, abs=near
    )
    assert beta.log_evalue(x1, x0, 1 - share, 1 / null) == pytest.approx(
        beta.log_evalue(x0, x1, share, null), rel=1e-6, abs=max(1e-6, near)
    )


@given(informations, effects, effects, tunings)
def test_the_two_sided_tests_do_not_care_for_the_direction(
    a: float, effect: float, null: float, unit: float
) -> None:
    assert normal.log_evalue(a, -a * effect, -null, unit) == normal.log_evalue(a, a * effect, null, unit)
    assert student.log_evalue(-effect, unit, 9, a, -null, 5.0) == student.log_evalue(
        effect, unit, 9, a, null, 5.0
    )


@of_estimates
@given(informations, effects, effects, tunings, st.floats(1e-3, 1e3))
def test_the_unit_of_measurement_does_not_matter(
    test: Test, a: float, effect: float, null: float, unit: float, scale: float
) -> None:
    scaled = test(a / scale**2, a * effect / scale, null * scale, unit * scale)
    assert scaled == pytest.approx(test(a, a * effect, null, unit), rel=1e-9, abs=1e-6)


@given(effects, st.floats(0.01, 1), st.integers(1, 500), st.floats(0.5, 500), st.floats(1e-3, 1e3))
def test_the_unit_of_measurement_does_not_matter_to_t(
    effect: float, se: float, freedom: int, units: float, scale: float
) -> None:
    for module in (student, half_student):
        plain = module.log_evalue(effect, se, freedom, units, 0.1, 10.0)
        scaled = module.log_evalue(effect * scale, se * scale, freedom, units, 0.1 * scale, 10.0)
        assert scaled == pytest.approx(plain, rel=1e-6, abs=1e-9)


# ---- more evidence is more ------------------------------------------------------------------------------------------


@one_sided
@given(informations, effects, st.floats(-0.5, 0.5), tunings, st.floats(1e-6, 1))
def test_a_larger_effect_or_a_smaller_null_is_more_evidence(
    test: Test, a: float, effect: float, null: float, unit: float, more: float
) -> None:
    value = test(a, a * effect, null, unit)
    near = 1e-9 * (1 + abs(value))
    assert test(a, a * (effect + more), null, unit) >= value - near
    assert test(a, a * effect, null - more, unit) >= value - near


@given(st.integers(1, 5000), st.floats(0.001, 0.9))
def test_an_error_is_evidence_against_and_a_good_unit_for_a_low_rate(n: int, margin: float) -> None:
    x = n // 2
    value = rare.log_evalue(n, x, margin)
    assert rare.log_evalue(n, x + 1 if x < n else x, margin) <= value
    assert rare.log_evalue(n + 1, x, margin) >= value


@given(effects, st.floats(0.01, 1), st.integers(1, 300))
def test_the_halves_of_the_t_version_average_to_the_whole(effect: float, se: float, freedom: int) -> None:
    halves = [half_student.log_evalue(sign * effect, se, freedom, 20.0, 0.0, 10.0) for sign in (1, -1)]
    whole = student.log_evalue(effect, se, freedom, 20.0, 0.0, 10.0)
    assert average(halves) == pytest.approx(whole, abs=1e-9)


@given(informations, effects, tunings)
def test_the_halves_of_the_normal_mixture_average_to_the_whole(
    a: float, effect: float, variance: float
) -> None:
    halves = [half_normal.log_evalue(a, sign * a * effect, 0.0, variance) for sign in (1, -1)]
    whole = normal.log_evalue(a, a * effect, 0.0, variance)
    assert average(halves) == pytest.approx(whole, rel=1e-9, abs=1e-9)


def test_with_many_degrees_of_freedom_t_is_normal() -> None:
    """Units 40 of variance 1: information 40; a prior of 10 units: variance 1/10."""
    of_t = half_student.log_evalue(0.3, 40**-0.5, 10**7, 40.0, 0.0, 10.0)
    assert of_t == pytest.approx(half_normal.log_evalue(40.0, 12.0, 0.0, 0.1), abs=1e-5)


# ---- extremes -------------------------------------------------------------------------------------------------------


@given(many, many, shares)
def test_no_count_makes_a_value_that_is_not_a_number(x0: int, x1: int, share: float) -> None:
    assert math.isfinite(counts.log_evalue([(x0, x1, share)]))
    assert math.isfinite(beta.log_evalue(x0, x1, share))
    assert math.isfinite(srm.log_evalue([((x0, x1), (1 - share, share))]))
    assert math.isfinite(rare.log_evalue(x0 + x1 + 1, x1, 0.01))


@of_estimates
@given(st.floats(0, 1e18), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-9, 1e6))
def test_no_estimate_makes_a_value_that_is_not_a_number(
    test: Test, a: float, effect: float, null: float, unit: float
) -> None:
    assert math.isfinite(test(a, a * effect, null, unit))


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e3), st.integers(1, 10**9), st.floats(0.5, 1e9))
def test_no_t_makes_a_value_that_is_not_a_number(
    effect: float, se: float, freedom: int, units: float
) -> None:
    for module in (student, half_student):
        assert math.isfinite(module.log_evalue(effect, se, freedom, units, 0.0, 100.0))


def test_nothing_seen_is_no_evidence() -> None:
    for test in OF_ESTIMATES.values():
        assert test(0.0, 0.0, 0.1, 0.02) == 0.0
    assert counts.log_evalue([]) == pytest.approx(0.0, abs=1e-15)
    assert beta.log_evalue(0, 0, 0.25) == pytest.approx(0.0, abs=1e-12)
    assert rare.log_evalue(0, 0, 0.01) == pytest.approx(0.0, abs=1e-15)
    assert srm.log_evalue([]) == 0.0
    assert srm.log_evalue([((0, 0), (0.75, 0.25))]) == pytest.approx(0.0, abs=1e-9)


# ---- arrays ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1e5), effects, effects), min_size=1, max_size=8), tunings)
def test_arrays_of_estimates_say_what_numbers_say(
    rows: list[tuple[float, float, float]], unit: float
) -> None:
    a, effect, null = (np.array(column) for column in zip(*rows, strict=True))
    for module in (grid, normal, half_normal):
        found = module.log_evalues(a, a * effect, null, unit)
        one_by_one = [module.log_evalue(x, x * e, n, unit) for x, e, n in rows]
        assert found == pytest.approx(one_by_one, rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), min_size=1, max_size=8), shares)
def test_arrays_of_counts_say_what_numbers_say(rows: list[tuple[int, int]], share: float) -> None:
    x0, x1 = (np.array(column) for column in zip(*rows, strict=True))
    assert counts.log_evalues(x0, x1, share, 0.9, counts.within(0.9)) == pytest.approx(
        [counts.log_evalue([(a, b, share)], 0.9, counts.within(0.9)) for a, b in rows], rel=1e-9, abs=1e-9
    )
    assert rare.log_evalues(x0 + x1, x1, 0.05) == pytest.approx(
        [rare.log_evalue(a + b, b, 0.05) for a, b in rows], rel=1e-9, abs=1e-9
    )


# ---- e-values in general --------------------------------------------------------------------------------------------


def test_the_average_lies_between_and_lets_none_veto() -> None:
    assert average([-math.inf, math.log(40)]) == pytest.approx(math.log(20))
    assert average([0.0, 0.0, 0.0]) == pytest.approx(0.0)
    assert log_sum_exp([]) == -math.inf


def test_a_mixture_of_huge_ratios_does_not_overflow() -> None:
    found = log_mixtures(np.array([[5000.0, -1e300], [4000.0, 3.0]]), (0.5, 0.5))
    assert found == pytest.approx([5000 + math.log(0.5), 3 + math.log(0.5)])


@given(st.floats(-1e4, 1e4), st.floats(1e-4, 0.49))
def test_an_anytime_p_is_at_most_alpha_exactly_when_the_test_rejects(highest: float, alpha: float) -> None:
    p = anytime_p(highest)
    assert 0 <= p <= 1
    if abs(highest - threshold(alpha)) > 1e-9:
        assert (p <= alpha) is (highest >= threshold(alpha))
