"""Plans against what happens: courses on a coarse grid of looks, and simulated or enumerated runs of the real tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats import counts, grid, planning, planning_rare, rare
from stats.mixtures import edge
from stats.planning import GridTest, fixed_information, grid_course

N80 = fixed_information(1.0, 0.025, 0.8)
ERRORS = 5  # standard errors a simulation may be off: a false alarm in about one of a million


@given(st.floats(0.1, 5), st.floats(0.001, 0.2), st.floats(0.3, 0.99))
def test_a_fixed_sample_of_the_information_has_the_power(effect: float, alpha: float, power: float) -> None:
    information = fixed_information(effect, alpha, power)
    if power > alpha:
        assert planning.fixed_power(information, effect, alpha) == pytest.approx(power, abs=1e-9)
    assert fixed_information(2 * effect, alpha, power) == pytest.approx(information / 4)


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.02, 0.98))
def test_units_give_at_least_the_information_that_was_asked(v0: float, v1: float, share: float) -> None:
    control, treatment = planning.fixed_units(0.3, v0, v1, 0.025, 0.8, share)
    assert 1 / (v0 / control + v1 / treatment) >= fixed_information(0.3, 0.025, 0.8) * (1 - 1e-12)


@given(st.floats(1e-3, 1e6), st.sampled_from([0.01, 0.05]), st.sampled_from([1, 2]))
def test_no_other_mixing_variance_shows_a_smaller_effect(
    information: float, alpha: float, sides: int
) -> None:
    tail = alpha if sides == 2 else 2 * alpha
    best = planning.mixing_variance(information, alpha, sides)

    def least(variance: float) -> float:
        r = variance * information
        return (1 + 1 / r) * (math.log1p(r) - 2 * math.log(tail))

    assert least(best) <= min(least(best * 1.05), least(best / 1.05))


@given(st.floats(0.01, 5), st.floats(0.1, 100), st.sampled_from([0.001, 0.025]))
def test_an_edge_is_where_the_mixture_reaches_its_threshold(
    unit: float, information: float, alpha: float
) -> None:
    slopes = unit * np.array(grid.STEPS)
    x = float(edge(np.log(grid.WEIGHTS) - information * slopes**2 / 2, slopes, alpha))
    assert grid.log_evalue(information, x, 0.0, unit) == pytest.approx(-math.log(alpha), abs=1e-9)


def test_the_grid_needs_what_was_measured_by_simulation() -> None:
    """With 148 looks a fixed sample the means were 1.004, 1.174 and 1.528 of it; endless looks need less."""
    for effect, measured in ((1.0, 1.004), (2.0, 1.174), (4.0, 1.528)):
        expected = planning.grid_expected(0.025, effect) * effect**2 / N80
        assert measured - 0.12 < expected < measured + 0.02
    assert float(np.interp(N80, *planning._unit_course(0.025))) == pytest.approx(0.602, abs=0.04)


def test_the_smallest_effect_is_shown_with_the_chance_it_was_made_for() -> None:
    effect = planning.smallest_effect(50.0, 0.05, 0.8)
    information = np.linspace(0.5, 50.0, 120)
    shown = grid_course(information, effect, GridTest(0.0, effect, 0.05)).upper[-1]
    assert shown == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.0])
def test_a_course_is_what_paths_looked_at_all_the_time_do(effect: float) -> None:
    """Harm above 0 and a margin of one unit, 2,500 paths of 1,000 looks; .015 is what the grid of looks may be off."""
    rng = np.random.default_rng([4, int(2 * effect)])
    rises, falls, most = GridTest(0.0, 1.0, 0.01), GridTest(1.0, 1.0, 0.05), 20.0
    looks = most * np.arange(1, 1001) / 1000
    paths = rng.normal(effect * looks[0], math.sqrt(looks[0]), (2500, 1000)).cumsum(axis=1)
    slopes, weights = np.array(grid.STEPS), np.log(grid.WEIGHTS)
    offsets = weights - looks[:, None] * slopes**2 / 2
    up = paths >= edge(offsets, slopes, rises.alpha)
    down = paths <= looks - edge(offsets, slopes, falls.alpha)
    first_up, first_down = (np.where(h.any(axis=1), h.argmax(axis=1), 10_000) for h in (up, down))
    found = [((first_up < 10_000) & (first_up <= first_down)).mean(), (first_down < first_up).mean()]
    course = grid_course(most * np.linspace(0.01, 1, 60) ** 2, effect, rises, falls)
    for share, chances in zip(found, course, strict=True):
        assert chances[-1] == pytest.approx(share, abs=0.015 + ERRORS * math.sqrt(0.25 / 2500) / 2)


@pytest.mark.parametrize(("true_ratio", "share"), [(2.0, 0.25), (5.0, 0.05), (1.0, 0.25)])
def test_the_course_of_the_conditional_test_is_exact(true_ratio: float, share: float) -> None:
    """Against the real test along the recursion over every event."""
    most, alpha = 150, 0.01
    chance = true_ratio * share / (true_ratio * share + 1 - share)
    inside, shown, expected = {0: 1.0}, 0.0, []
    for k in range(1, most + 1):
        moved: dict[int, float] = {}
        for x, mass in inside.items():
            for step, p in ((0, 1 - chance), (1, chance)):
                moved[x + step] = moved.get(x + step, 0.0) + mass * p
        inside = {}
        for x, mass in moved.items():
            if counts.log_evalue([(k - x, x, share)]) >= -math.log(alpha):
                shown += mass
            else:
                inside[x] = mass
        expected.append(shown)
    found = planning_rare.ratio_course(np.arange(1, most + 1), true_ratio, share, alpha)
    assert found == pytest.approx(expected, abs=1e-10)
    if true_ratio == 1.0:
        assert found[-1] <= alpha


@pytest.mark.parametrize("share", [0.25, 0.05])
def test_a_doubled_error_rate_is_found_in_the_mean_number_of_requests_measured(share: float) -> None:
    """Measured with looks every 50 or 10 treatment units; here after every event."""
    measured = {0.25: 1993, 0.05: 1447}[share]
    per_unit = 0.02 + 0.01 * (1 - share) / share
    looks = np.arange(1, int(12_000 * per_unit))
    undecided = 1 - planning_rare.ratio_course(looks, 2.0, share, 0.01)
    assert (1 + undecided.sum()) / per_unit == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.003, 0.01, 0.03])
def test_the_course_of_the_zero_errors_rule_is_exact(rate: float) -> None:
    """Against the real rule along the recursion over every unit."""
    margin, alpha, most = 0.02, 0.05, 900
    sizes = planning_rare.forgiving_units(margin, alpha, most)
    inside, shown, at = np.ones(1), 0.0, {}
    for n in range(1, most + 1):
        inside = np.convolve(inside, [1 - rate, rate])
        passes = [rare.log_evalue(n, x, margin) >= -math.log(alpha) for x in range(min(n, 30) + 1)]
        out = np.flatnonzero(passes)
        shown += float(inside[out].sum())
        inside[out] = 0.0
        at[n] = shown
    expected = [at[int(n)] for n in sizes]
    assert planning_rare.below_margin_course(sizes, rate) == pytest.approx(expected, abs=1e-9)
    assert at[most] == pytest.approx(expected[-1], abs=1e-9)  # in between it cannot pass
    if rate >= margin:
        assert at[most] <= alpha


@given(st.floats(0.001, 0.3), st.sampled_from([0.01, 0.05]))
@settings(max_examples=25, deadline=None)
def test_one_more_event_is_forgiven_just_where_the_rule_says(margin: float, alpha: float) -> None:
    sizes = planning_rare.forgiving_units(margin, alpha, 1e6)
    for events in (0, 1, 5, 20):
        n = int(sizes[events])
        assert rare.log_evalue(n, events, margin) >= -math.log(alpha) - 1e-5
        assert rare.log_evalue(n - 1, events, margin) < -math.log(alpha) + 1e-5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fixed_information(0.0, 0.025, 0.8), r"abs\(effect\)"),
        (lambda: fixed_information(1.0, 0.7, 0.8), "alpha"),
        (lambda: fixed_information(1.0, 0.05, 1.0), "power"),
        (lambda: planning.unit_information(0.0, 0.0, 0.5), "variance0"),
        (lambda: planning.unit_information(1.0, 1.0, 1.0), "share"),
        (lambda: planning.mixing_variance(1.0, 0.05, 3), "sides"),
        (lambda: planning.grid_information(0.05, 0.999), "power"),
        (lambda: planning_rare.ratio_course([0], 1.0, 0.5, 0.05), "events"),
        (lambda: planning_rare.ratio_course([1], -1.0, 0.5, 0.05), "true_ratio"),
        (lambda: planning_rare.forgiving_units(1.0, 0.05, 10), "margin"),
        (lambda: planning_rare.below_margin_course([5], 1.5), "1 - rate"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
