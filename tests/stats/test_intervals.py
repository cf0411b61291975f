from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import evalues, grid, intervals, normal, rare

informations = st.floats(0.5, 1e6)
effects = st.floats(-0.9, 0.9)
units = st.floats(0.002, 0.3)
alphas = st.floats(0.001, 0.3)


@given(informations, effects, units, alphas)
def test_at_the_edge_of_the_grid_interval_the_e_value_is_one_over_alpha(
    a: float, effect: float, unit: float, alpha: float
) -> None:
    low = grid.bound(a, a * effect, unit, alpha)
    scale = max(1.0, 4 * unit * a)  # of the exponents that cancel
    assert grid.log_evalue(a, a * effect, low, unit) == pytest.approx(-math.log(alpha), abs=1e-9 * scale)


@given(informations, effects, units, alphas, st.floats(-2, 2))
def test_an_effect_is_outside_exactly_when_its_e_value_rejects(
    a: float, effect: float, unit: float, alpha: float, null: float
) -> None:
    low, high = grid.interval(a, a * effect, unit, alpha)
    above = grid.log_evalue(a, a * effect, null, unit)
    below = grid.log_evalue(a, -a * effect, -null, unit)
    target = math.log(2 / alpha)
    near = 1e-6 * max(1.0, 4 * unit * a)
    if abs(above - target) > near:
        assert (null < low) is (above > target)
    if abs(below - target) > near:
        assert (null > high) is (below > target)
    assert low < effect < high


@given(informations, effects, st.floats(1e-4, 1.0), alphas, st.floats(-2, 2))
def test_the_two_sided_interval_is_the_inverse_of_its_test(
    a: float, effect: float, variance: float, alpha: float, null: float
) -> None:
    low, high = normal.interval(a, a * effect, variance, alpha)
    log_e = normal.log_evalue(a, a * effect, null, variance)
    if abs(log_e + math.log(alpha)) > 1e-6:
        assert (not low <= null <= high) is (log_e > -math.log(alpha))


@given(informations, effects, units, alphas)
def test_more_information_narrows_around_the_same_estimate_and_alpha_widens(
    a: float, effect: float, unit: float, alpha: float
) -> None:
    low, high = grid.interval(a, a * effect, unit, alpha)
    wide_low, wide_high = grid.interval(a, a * effect, unit, alpha / 2)
    assert wide_low < low
    assert high < wide_high
    mirrored = grid.interval(a, -a * effect, unit, alpha)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((low, high))


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
