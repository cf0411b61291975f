"""Laws of the e-values: under the null the expectation is at most 1, by exact enumeration wherever a test is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import counts, grid, normal, rare, srm
from stats.evalues import average

shares = st.floats(0.01, 0.99)


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


# ---- exact expectations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixture", [counts.MORE, counts.FEWER], ids=["more events", "fewer events"])
@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("events", [1, 7, 60])
def test_the_conditional_test_expects_exactly_one_at_equal_rates(
    events: int, share: float, mixture: counts.Mixture
) -> None:
    mass = binomial(events, share)
    expectation = sum(
        p * math.exp(counts.log_evalue([(events - x, x, share)], 1.0, mixture)) for x, p in enumerate(mass)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("ratio", [0.2, 0.7, 0.99])
def test_the_conditional_test_of_harm_expects_less_when_the_treatment_is_better(ratio: float) -> None:
    share = 0.25
    inside = ratio * share / (ratio * share + 1 - share)
    mass = binomial(60, inside)
    assert sum(p * math.exp(counts.log_evalue([(60 - x, x, share)])) for x, p in enumerate(mass)) < 1


def test_the_conditional_test_is_exact_over_strata_of_different_shares() -> None:
    first, second = binomial(12, 0.05), binomial(9, 0.5)
    expectation = sum(
        p * q * math.exp(counts.log_evalue([(12 - x, x, 0.05), (9 - y, y, 0.5)]))
        for x, p in enumerate(first)
        for y, q in enumerate(second)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("margin", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 30, 300])
def test_the_zero_errors_rule_expects_one_at_the_margin_and_less_beyond(n: int, margin: float) -> None:
    for rate in (margin, min(1.0, 1.5 * margin), 1.0):
        mass = binomial(n, rate)
        expectation = sum(p * math.exp(rare.log_evalue(n, x, margin)) for x, p in enumerate(mass) if p > 0)
        assert expectation <= 1 + 1e-9
        if rate == margin:
            assert expectation == pytest.approx(1.0, abs=1e-9)


def test_the_mismatch_test_expects_one_under_the_asked_shares() -> None:
    asked = (0.5, 0.3, 0.2)
    expectation = 0.0
    for a in range(13):
        for b in range(13 - a):
            row = (a, b, 12 - a - b)
            ways = math.factorial(12) / math.prod(math.factorial(count) for count in row)
            expectation += (
                ways
                * math.prod(s**c for s, c in zip(asked, row, strict=True))
                * math.exp(srm.log_evalue([(row, asked)], 50))
            )
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("information", [0.5, 30.0, 400.0])
@pytest.mark.parametrize("null", [-0.3, 0.0, 0.2])
def test_the_normal_mixtures_expect_one_at_the_null(information: float, null: float) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / math.sqrt(2 * math.pi)
    effects = null + nodes / math.sqrt(information)
    one_sided = sum(
        w * math.exp(grid.log_evalue(information, information * effect, null, 0.05))
        for w, effect in zip(weights, effects, strict=True)
    )
    two_sided = sum(
        w * math.exp(normal.log_evalue(information, information * effect, null, 0.001))
        for w, effect in zip(weights, effects, strict=True)
    )
    assert one_sided == pytest.approx(1.0, abs=1e-6)
    assert two_sided == pytest.approx(1.0, abs=1e-6)


# ---- crossing at any look, by exact recursion -----------------------------------------------------------------------


def test_harm_is_claimed_wrongly_in_at_most_one_percent_of_all_futures_of_400_events() -> None:
    """Every path is followed: a look after each event, no simulation."""
    share, target, crossed = 0.25, math.log(100), 0.0
    alive = {0: 1.0}
    for events in range(1, 401):
        after: dict[int, float] = {}
        for x, p in alive.items():
            after[x] = after.get(x, 0.0) + p * (1 - share)
            after[x + 1] = after.get(x + 1, 0.0) + p * share
        alive = {}
        for x, p in after.items():
            if counts.log_evalue([(events - x, x, share)]) >= target:
                crossed += p
            elif p > 1e-15:
                alive[x] = p
    assert 0.001 < crossed <= 0.01


def test_rare_errors_at_the_margin_are_passed_in_at_most_five_percent_of_all_futures_of_1000_units() -> None:
    margin, target, crossed = 0.02, math.log(20), 0.0
    alive = {0: 1.0}
    for n in range(1, 1001):
        after: dict[int, float] = {}
        for x, p in alive.items():
            after[x] = after.get(x, 0.0) + p * (1 - margin)
            after[x + 1] = after.get(x + 1, 0.0) + p * margin
        alive = {}
        for x, p in after.items():
            if rare.log_evalue(n, x, margin) >= target:
                crossed += p
            elif p > 1e-15:
                alive[x] = p
    assert 0.01 < crossed <= 0.05


def test_zero_errors_promote_after_434_units_at_a_margin_of_one_point() -> None:
    """Averaged with a grid that is still gated and counts as 1."""
    shown = [average([rare.log_evalue(n, 0, 0.01), 0.0]) >= math.log(20) for n in (433, 434)]
    assert shown == [False, True]


# ---- laws -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6), shares)
def test_any_batching_of_the_same_events_gives_the_same_value(
    batches: list[tuple[int, int]], share: float
) -> None:
    total = tuple(map(sum, zip(*batches, strict=True)))
    split = counts.log_evalue([(x0, x1, share) for x0, x1 in batches])
    assert split == pytest.approx(counts.log_evalue([(total[0], total[1], share)]), rel=1e-9, abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0.1, 1e5), st.floats(-1, 1)), min_size=1, max_size=6),
    st.floats(-0.5, 0.5),
    st.floats(1e-3, 0.5),
)
def test_evidence_of_strata_adds_in_any_order(
    parts: list[tuple[float, float]], null: float, unit: float
) -> None:
    def value(rows: list[tuple[float, float]]) -> float:
        return grid.log_evalue(sum(a for a, _ in rows), sum(a * e for a, e in rows), null, unit)

    assert value(parts) == pytest.approx(value(parts[::-1]), rel=1e-9, abs=1e-6)


@given(st.floats(0.1, 1e6), st.floats(-1, 1), st.floats(-1, 1), st.floats(1e-3, 1), st.floats(1e-3, 1e3))
def test_the_unit_of_measurement_does_not_matter(
    a: float, effect: float, null: float, unit: float, scale: float
) -> None:
    plain = grid.log_evalue(a, a * effect, null, unit)
    scaled = grid.log_evalue(a / scale**2, a * effect / scale, null * scale, unit * scale)
    assert scaled == pytest.approx(plain, rel=1e-9, abs=1e-6)


@given(st.floats(0.1, 1e4), st.floats(-1, 1), st.floats(-0.5, 0.5), st.floats(1e-3, 0.1), st.floats(1e-6, 1))
def test_a_larger_effect_or_a_smaller_null_is_more_evidence(
    a: float, effect: float, null: float, unit: float, more: float
) -> None:
    value = grid.log_evalue(a, a * effect, null, unit)
    assert grid.log_evalue(a, a * (effect + more), null, unit) >= value
    assert grid.log_evalue(a, a * effect, null - more, unit) >= value


@given(st.integers(1, 5000), st.floats(0.001, 0.9))
def test_an_error_is_evidence_against_and_a_good_unit_for_a_low_rate(n: int, margin: float) -> None:
    x = n // 2
    value = rare.log_evalue(n, x, margin)
    assert rare.log_evalue(n, x + 1 if x < n else x, margin) <= value
    assert rare.log_evalue(n + 1, x, margin) >= value


@given(st.integers(0, 10**9), st.integers(0, 10**9), shares)
def test_no_count_makes_a_value_that_is_not_a_number(x0: int, x1: int, share: float) -> None:
    assert math.isfinite(counts.log_evalue([(x0, x1, share)]))
    assert math.isfinite(srm.log_evalue([((x0, x1), (1 - share, share))]))
    assert math.isfinite(rare.log_evalue(x0 + x1 + 1, x1, 0.01))


def test_nothing_seen_is_no_evidence() -> None:
    assert grid.log_evalue(0.0, 0.0, 0.1, 0.02) == 0.0
    assert normal.log_evalue(0.0, 0.0, 0.0, 0.01) == 0.0
    assert counts.log_evalue([]) == pytest.approx(0.0, abs=1e-15)
    assert rare.log_evalue(0, 0, 0.01) == pytest.approx(0.0, abs=1e-15)
    assert srm.log_evalue([]) == 0.0
    assert srm.log_evalue([((0, 0), (0.75, 0.25))]) == pytest.approx(0.0, abs=1e-9)


def test_the_average_lies_between_and_lets_none_veto() -> None:
    assert average([-math.inf, math.log(40)]) == pytest.approx(math.log(20))
    assert average([0.0, 0.0, 0.0]) == pytest.approx(0.0)
