"""The prospect of one metric: the chances that its tests have spoken, by number of units, if a given effect is true.

Which test speaks for which kind is said by ``metric``; here is what to expect of them. Exact tests are walked through
exactly, the grid by its path; tests of one metric that are walked through apart are taken to exclude each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.claims import grid_unit
from router.metric import CONTINUOUS_UNITS
from router.reading import harm_sign
from stats.estimates import EXPECTED_EVENTS, MEAN_UNITS
from stats.planning import GridTest, grid_course, smallest_effect, unit_information
from stats.planning_rare import below_margin_course, forgiving_units, ratio_course

Floats = NDArray[np.float64]

SHARES = ("proportion", "rare_proportion")
LOOKS = 60
EVENT_LOOKS = 100
MOST_EVENTS = 40_000
POWER = 0.8


class Baseline(NamedTuple):
    """What a metric is like today.

    Attributes:
        rate: share of units with the event, above 0 and below 1; of proportions.
        sd: standard deviation of one unit's value, above 0, in the metric's unit; of a ratio R, of (y - R x)/mean x.
        reported: share of units with a value.
    """

    rate: float | None = None
    sd: float | None = None
    reported: float = 1.0


class Asked(NamedTuple):
    """What is asked of a metric: alpha of harm and of promotion, the treatment's share, whether to be superior."""

    harm: float
    promote: float
    share: float
    superior: bool


class Prospect(NamedTuple):
    """Cumulative chances by units: harm is shown, what a promotion asks is shown, the goal is shown to be futile."""

    harm: Floats
    passed: Floats
    futile: Floats


class Arms(NamedTuple):
    """The truth of a metric: rates of both arms, where it has rates, and information of one treatment unit."""

    p0: float
    p1: float
    information: float


def arms(metric: Mapping[str, Any], baseline: Baseline, effect: float, share: float) -> Arms | None:
    """The truth when the treatment is worse by ``effect``; None when a rate is unknown or cannot move that far.

    Args:
        metric: as a run keeps it.
        baseline: of control.
        effect: harm, in the metric's unit; negative is benefit.
        share: the treatment's share of the units of both arms.
    """
    if baseline.sd is not None:
        return Arms(0.0, 0.0, unit_information(baseline.sd**2, baseline.sd**2, share))
    p0 = baseline.rate
    if p0 is None:
        return None
    p1 = p0 + harm_sign(metric) * effect
    if not -1e-12 <= p1 <= 1 + 1e-12:
        return None
    p1 = min(max(p1, 0.0), 1.0)
    pooled = share * p1 + (1 - share) * p0
    variance = pooled * (1 - pooled)
    information = min(
        unit_information(p0 * (1 - p0), p1 * (1 - p1), share), unit_information(variance, variance, share)
    )
    return Arms(p0, p1, information)


def prospect(
    metric: dict[str, Any], baseline: Baseline, effect: float, asked: Asked, units: Floats
) -> Prospect | None:
    """The chances by ``units``, the treatment units so far; None when a rate cannot move that far."""
    truth = arms(metric, baseline, effect, asked.share)
    if truth is None:
        return None
    if metric["kind"] == "rare_proportion":
        return _rare(metric, truth, effect, asked, units)
    return _grid(metric, truth, effect, asked, units, asked.promote)


def gate(metric: Mapping[str, Any], truth: Arms, share: float) -> float:
    """Treatment units behind which the grid may speak."""
    smaller = min(1.0, (1 - share) / share)
    if metric["kind"] not in SHARES:
        return MEAN_UNITS / smaller
    pooled = share * truth.p1 + (1 - share) * truth.p0
    rarest = min(pooled, 1 - pooled)
    return EXPECTED_EVENTS / (smaller * rarest) if rarest > 0 else math.inf


def _grid(
    metric: dict[str, Any], truth: Arms, effect: float, asked: Asked, units: Floats, promote: float
) -> Prospect:
    opens = gate(metric, truth, asked.share)
    nothing = np.zeros(len(units))
    if opens >= units[-1]:
        return Prospect(nothing, nothing, nothing)
    looks = opens + (units[-1] - opens) * np.linspace(0.0, 1.0, LOOKS) ** 2
    information = looks * truth.information

    def by_units(chances: Floats) -> Floats:
        return np.interp(units, looks, chances, left=0.0)

    harm = GridTest(metric["tolerance"], grid_unit(metric, "harm"), asked.harm)
    proof = GridTest(metric["margin"], grid_unit(metric, "non_inferiority"), promote)
    if asked.superior:
        proof = GridTest(0.0, metric["mde"], promote)
    exits = grid_course(information, effect, harm, proof)
    passed, futile = by_units(exits.lower), nothing
    if asked.superior:
        goal = grid_course(information, effect, GridTest(-metric["mde"], metric["mde"], promote), proof)
        passed, futile = by_units(goal.lower), by_units(goal.upper)
    if metric["kind"] not in SHARES:
        ready = units * min(1.0, (1 - asked.share) / asked.share) >= CONTINUOUS_UNITS
        passed, futile = np.where(ready, passed, 0.0), np.where(ready, futile, 0.0)
    return Prospect(by_units(exits.upper), passed, futile)


def _rare(metric: dict[str, Any], truth: Arms, effect: float, asked: Asked, units: Floats) -> Prospect:
    grid = _grid(metric, truth, effect, asked, units, asked.promote / 2)
    lower_is_better = metric["better"] == "lower"
    harm = grid.harm
    if metric["tolerance"] == 0:
        harm = _ratio_shown(truth, asked.share, asked.harm, units, treatment=lower_is_better)
    if asked.superior:
        passed = _ratio_shown(truth, asked.share, asked.promote, units, treatment=not lower_is_better)
        return Prospect(harm, passed, grid.futile)
    return Prospect(harm, np.maximum(grid.passed, _absence_shown(metric, truth, asked, units)), grid.futile)


def _ratio_shown(truth: Arms, share: float, alpha: float, units: Floats, *, treatment: bool) -> Floats:
    """The exact conditional test that one arm has more events than the other."""
    rates = (truth.p0, truth.p1) if treatment else (truth.p1, truth.p0)
    part = share if treatment else 1 - share
    per_unit = truth.p1 + truth.p0 * (1 - share) / share
    most = min(MOST_EVENTS, int(units[-1] * per_unit))
    if most < 1:
        return np.zeros(len(units))
    looks = np.unique(np.ceil(most * np.linspace(0.01, 1.0, EVENT_LOOKS) ** 2).astype(np.int64))
    ratio = rates[1] / max(rates[0], 1e-12)
    return np.interp(units * per_unit, looks, ratio_course(looks, ratio, part, alpha), left=0.0)


def _absence_shown(metric: Mapping[str, Any], truth: Arms, asked: Asked, units: Floats) -> Floats:
    """The zero-errors rule on the arm whose rate would have to be at least the margin.

    Half of e is the grid's, which counts as 1 behind its gate: the rule itself must reach 2/alpha - 1.
    """
    if metric["margin"] >= 1:
        return np.zeros(len(units))
    rate, scale = truth.p1, 1.0
    if metric["better"] == "higher":
        rate, scale = truth.p0, (1 - asked.share) / asked.share
    sizes = forgiving_units(metric["margin"], asked.promote / (2 - asked.promote), float(units[-1]) * scale)
    if not len(sizes):
        return np.zeros(len(units))
    shown = np.concatenate(([0.0], below_margin_course(sizes, rate)))
    return shown[np.searchsorted(sizes, units * scale, side="right")]


def least_harm(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> float | None:
    """The smallest harm, in the metric's unit, that is shown with a chance of 80 % by this many treatment units."""
    equal = arms(metric, baseline, 0.0, asked.share)
    if equal is None or units <= 0:
        return None
    if metric["kind"] != "rare_proportion" or metric["tolerance"] > 0:
        if gate(metric, equal, asked.share) > units:
            return None
        return float(metric["tolerance"] + smallest_effect(equal.information * units, asked.harm, POWER))
    most = 1 - equal.p0 if metric["better"] == "lower" else equal.p0

    def shown(effect: float) -> bool:
        truth = arms(metric, baseline, effect, asked.share)
        if truth is None:
            return False
        lower_is_better = metric["better"] == "lower"
        chances = _ratio_shown(truth, asked.share, asked.harm, np.array([units]), treatment=lower_is_better)
        return float(chances[-1]) >= POWER

    return _least(shown, equal.p0 / 100, most)


def least_margin(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> float | None:
    """The smallest margin (of a goal to be superior: MDE) that is proven with a chance of 80 % by this many units.

    It is that of a treatment exactly as good as the control; of a goal to be superior, of one better by the MDE.
    """
    equal = arms(metric, baseline, 0.0, asked.share)
    if equal is None or units <= 0:
        return None
    rare = metric["kind"] == "rare_proportion" and not asked.superior
    alpha = asked.promote / 2 if rare else asked.promote
    grid = None
    if gate(metric, equal, asked.share) <= units:
        grid = smallest_effect(equal.information * units, alpha, POWER)
    if not rare:
        return grid

    def passed(margin: float) -> bool:
        return (
            float(_absence_shown(metric | {"margin": margin}, equal, asked, np.array([units]))[-1]) >= POWER
        )

    found = [value for value in (grid, _least(passed, equal.p0, 0.999)) if value is not None]
    return min(found, default=None)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least value for which a rising condition holds, to 5 %; None when it never does."""
    if low >= high or not holds(high):
        return None
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
