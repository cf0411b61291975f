"""Spending, boundaries by recursion, and paths that leave a region."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from stats.brownian import crossing, expected_time
from stats.group_sequential import boundary, conditional_power, futility_boundary
from stats.spending import SPENDING, spent

PARAMETERS = {"obrien_fleming": 0.0, "pocock": 0.0, "power": 2.0, "hwang_shih_decani": -4.0}
FUNCTIONS = st.sampled_from(sorted(SPENDING))
TIMES = st.lists(st.floats(0.02, 1.3), min_size=1, max_size=8, unique_by=lambda t: round(t, 2)).map(sorted)
ALPHAS = st.sampled_from([0.001, 0.025, 0.05, 0.2])


def scores(z: tuple[float, ...], times: list[float]) -> np.ndarray:
    return np.asarray(z) * np.sqrt(times)


@pytest.mark.parametrize("name", sorted(SPENDING))
def test_spending_rises_from_nothing_to_the_whole_and_stays(name: str) -> None:
    t = np.linspace(0, 2, 201)
    values = spent(t, 0.025, name, PARAMETERS[name])
    assert values[0] == pytest.approx(0, abs=1e-300)
    assert np.all(np.diff(values) >= 0)
    assert np.allclose(values[100:], 0.025, rtol=1e-12)


@given(TIMES, ALPHAS, FUNCTIONS)
@settings(max_examples=60, deadline=None)
def test_all_looks_together_spend_exactly_what_is_allowed(
    times: list[float], alpha: float, name: str
) -> None:
    parameter = PARAMETERS[name]
    up = crossing(times, scores(boundary(times, alpha, 1, name, parameter), times)).upper
    assert np.cumsum(up) == pytest.approx(spent(np.array(times), alpha, name, parameter), abs=2e-10)


@given(TIMES, ALPHAS)
@settings(max_examples=30, deadline=None)
def test_two_sides_share_alpha_and_mirror_each_other(times: list[float], alpha: float) -> None:
    edges = scores(boundary(times, alpha, 2), times)
    exits = crossing(times, edges, -edges)
    assert exits.upper == pytest.approx(exits.lower, abs=1e-12)
    assert exits.upper.sum() == pytest.approx(spent(times[-1], alpha / 2), abs=2e-10)


def test_the_look_that_overruns_the_horizon_spends_what_is_left_and_nothing_is_left_after_it() -> None:
    times = [0.5, 0.9, 1.2, 1.5]
    z = boundary(times, 0.025)
    assert math.isfinite(z[2])
    assert z[3] == math.inf
    assert crossing(times, scores(z, times)).upper.sum() == pytest.approx(0.025, abs=1e-10)


def test_one_look_is_the_fixed_test() -> None:
    assert boundary([1.0], 0.025) == pytest.approx([-ndtri(0.025)], abs=1e-12)
    assert boundary([1.0], 0.05, 2) == pytest.approx([-ndtri(0.025)], abs=1e-12)


def test_a_look_with_hardly_anything_to_spend_waits() -> None:
    assert boundary([0.001, 1.0], 0.025)[0] == math.inf


def test_boundaries_are_computed_once() -> None:
    times = np.linspace(0.05, 1, 20).tolist()
    assert boundary(times, 0.025) is boundary(times, 0.025)


@given(st.floats(0.01, 5), st.floats(-3, 3), st.floats(-5, 5), st.floats(0.1, 5))
def test_the_first_look_is_a_normal_tail(time: float, drift: float, low: float, width: float) -> None:
    exits = crossing([time], [low + width], [low], drift)
    root = math.sqrt(time)
    assert exits.upper[0] == pytest.approx(ndtr((drift * time - low - width) / root), abs=1e-12)
    assert exits.lower[0] == pytest.approx(ndtr((low - drift * time) / root), abs=1e-12)


def test_a_path_leaves_as_often_as_simulated_ones_do() -> None:
    """The chance of a false alarm is below 1e-6: five standard errors."""
    rng = np.random.default_rng(4)
    times, runs = np.linspace(0.2, 1, 5), 20_000
    paths = rng.normal(1.5 * 0.2, math.sqrt(0.2), (runs, 5)).cumsum(axis=1)
    outside = (paths >= 1.8) | (paths <= -0.4)
    first = np.where(outside.any(axis=1), outside.argmax(axis=1), 4)
    up = outside.any(axis=1) & (paths[np.arange(runs), first] >= 1.8)
    exits = crossing(times.tolist(), [1.8] * 5, [-0.4] * 5, 1.5)
    share = exits.upper.sum()
    assert up.mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / runs))
    assert times[first].mean() == pytest.approx(
        expected_time(times.tolist(), exits), abs=5 * times[first].std() / math.sqrt(runs)
    )


def test_an_empty_region_is_left_at_once_upwards_first() -> None:
    exits = crossing([1.0, 2.0], [0.0, 0.0], [5.0, 0.0])
    assert exits.upper[0] == pytest.approx(0.5)
    assert exits.lower[0] == pytest.approx(0.5)
    assert exits.upper[1] == exits.lower[1] == 0


@given(st.floats(0.05, 0.3), st.floats(2.0, 4.0))
@settings(max_examples=20, deadline=None)
def test_giving_up_costs_at_most_beta(beta: float, drift: float) -> None:
    times = [0.25, 0.5, 0.75, 1.0]
    upper = boundary(times, 0.025)
    lower = futility_boundary(times, upper, drift, beta)
    assert all(low <= high for low, high in zip(lower, upper, strict=True))
    exits = crossing(times, scores(upper, times), scores(lower, times), drift)
    assert exits.lower.sum() <= beta + 1e-9
    assert crossing(times, scores(upper, times), scores(lower, times), 0.0).upper.sum() <= 0.025


def test_conditional_power_is_the_mean_of_what_follows() -> None:
    """Averaged over the first look it is the power of the last one."""
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    drift, critical, t = 2.8, 1.96, 0.4
    means = [conditional_power(value + drift * math.sqrt(t), t, drift, critical) for value in z]
    assert np.dot(weights, means) / math.sqrt(2 * math.pi) == pytest.approx(ndtr(drift - critical), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boundary([], 0.05), "times"),
        (lambda: boundary([0.5, 0.5], 0.05), "times"),
        (lambda: boundary([0.0, 0.5], 0.05), "times"),
        (lambda: boundary([0.5, math.nan], 0.05), "times"),
        (lambda: boundary([0.5], 0.5), "alpha"),
        (lambda: boundary([0.5], 0.05, 3), "sides: expected 1 or 2, found 3"),
        (lambda: boundary([0.5], 0.05, 1, "pococ"), "spending: expected one of"),
        (lambda: boundary([0.5], 0.05, 1, "power"), "parameter: expected a power above 0"),
        (lambda: crossing([1.0, 2.0], [1.0]), "one edge for each of 2 looks"),
        (lambda: conditional_power(1.0, 1.0, 1.0, 2.0), "t: expected"),
        (lambda: futility_boundary([1.0], [2.0], 0.0, 0.1), "drift"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
