"""Sizes, before the start: the smallest harm and margin that a number of units shows, and what other samples would ask.

They stand beside a forecast as yardsticks; nothing is decided by them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from router.claims import grid_unit
from router.methods import BETA
from router.prospect import (
    Arms,
    Asked,
    Baseline,
    absence_shown,
    arms,
    counted,
    gate,
    tested_as,
)
from stats import group_sequential, obrien_fleming, planning, sprt
from stats.brownian import crossing, expected_time

POWER = 0.8
YARDSTICKS = ("fixed_units", "fixed_power", "method_units", "two_sided_sd")


def least_harm(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> float | None:
    """The smallest harm, in the metric's unit, that is shown with a chance of 80 % by this many treatment units."""
    equal = arms(metric, baseline, 0.0, asked.share)
    if equal is None or units <= 0:
        return None
    tested = tested_as(metric)
    if tested in ("share", "number") or (tested == "rare" and metric["tolerance"] > 0):
        if gate(metric, equal, asked.share) > units:
            return None
        least = planning.smallest_effect(equal.information * units, asked.harm, POWER)
        return float(metric["tolerance"] + least)

    def shown(effect: float) -> bool:
        truth = arms(metric, baseline, effect, asked.share)
        if truth is None:
            return False
        chances = counted(metric, "harm", truth, asked.share, asked.harm, np.array([units]))
        return float(chances[-1]) >= POWER

    if tested == "ratio":
        return _least(shown, 0.01, 10.0 if metric["better"] == "lower" else 0.99)
    return _least(shown, equal.p0 / 100, 1 - equal.p0 if metric["better"] == "lower" else equal.p0)


def least_margin(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> float | None:
    """The smallest margin (of a goal to be superior: MDE) that is proven with a chance of 80 % by this many units.

    It is that of a treatment exactly as good as the control; of a goal to be superior, of one better by the MDE.
    """
    equal = arms(metric, baseline, 0.0, asked.share)
    if equal is None or units <= 0:
        return None
    tested = tested_as(metric)
    if tested == "ratio":
        return _least_ratio(metric, baseline, asked, units)
    rare = tested == "rare" and not asked.superior
    grid = None
    if gate(metric, equal, asked.share) <= units:
        grid = _least_effect(equal, asked, units, rare=tested == "rare")
    if not rare:
        return grid

    def passed(margin: float) -> bool:
        shown = absence_shown(metric | {"margin": margin}, equal, asked, np.array([units]))
        return float(shown[-1]) >= POWER

    found = [value for value in (grid, _least(passed, equal.p0, 0.999)) if value is not None]
    return min(found, default=None)


def _least_effect(equal: Arms, asked: Asked, units: float, *, rare: bool) -> float | None:
    """By the grid, or by the closed form of a horizon, which planned looks come near."""
    alpha = asked.promote / 2 if rare and not asked.superior else asked.promote
    if rare or math.isinf(asked.planned.units) or asked.planned.units > units:
        return planning.smallest_effect(equal.information * units, alpha, POWER)
    horizon = equal.information * asked.planned.units

    def shown(effect: float) -> bool:
        return obrien_fleming.conditional_power(0.0, 0.0, horizon, effect, alpha) >= POWER

    return _least(shown, 0.1 / math.sqrt(horizon), 20 / math.sqrt(horizon))


def _least_ratio(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> float | None:
    """Of ratios of rates: no change against ever wider margins, or ever larger benefits against no change."""
    falls = (metric["better"] == "higher") != asked.superior

    def shown(size: float) -> bool:
        truth = arms(metric, baseline, -size if asked.superior else 0.0, asked.share)
        if truth is None:
            return False
        sized = metric | {"margin": size}
        return (
            float(counted(sized, asked.test, truth, asked.share, asked.promote, np.array([units]))[-1])
            >= POWER
        )

    return _least(shown, 0.01, 0.99 if falls else 10.0)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least value for which a rising condition holds, to 5 %; None when it never does."""
    if low >= high or not holds(high):
        return None
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def yardsticks(metric: dict[str, Any], baseline: Baseline, asked: Asked, units: float) -> dict[str, Any]:
    """What other samples would ask of a metric that is tested by an estimate; None of any other.

    Args:
        metric: as a run keeps it.
        baseline: of control.
        asked: of the metric.
        units: treatment units at the end.

    Returns:
        ``fixed_units`` of control and treatment that one look at the end needs, for a chance of 80 %; ``fixed_power``, the
        chance of such a look at the end of this plan; ``method_units`` of the treatment that the file's method takes on
        average; ``two_sided_sd``, of the normal mixture that sees soonest what a fixed sample sees.
    """
    distance = grid_unit(metric, asked.test)
    truth = arms(metric, baseline, -distance if asked.superior else 0.0, asked.share)
    if truth is None or tested_as(metric) not in ("share", "number"):
        return dict.fromkeys(YARDSTICKS)
    v0, v1 = (p * (1 - p) if baseline.sd is None else baseline.sd**2 for p in truth[:2])
    needed = planning.fixed_information(distance, asked.promote, POWER)
    return {
        "fixed_units": list(planning.fixed_units(distance, v0, v1, asked.promote, POWER, asked.share)),
        "fixed_power": planning.fixed_power(truth.information * units, distance, asked.promote),
        "method_units": round(_mean_information(distance, truth, asked) / truth.information),
        "two_sided_sd": math.sqrt(planning.mixing_variance(needed, 2 * asked.promote)),
    }


def _mean_information(distance: float, truth: Arms, asked: Asked) -> float:
    """Mean information when the promotion's test ends, if the truth lies ``distance`` from its null."""
    planned, alpha = asked.planned, asked.promote
    if planned.method == "sprt":
        return sprt.course(distance, distance, alpha, BETA).information
    if math.isinf(planned.units):
        return planning.grid_expected(alpha) / distance**2
    horizon = planned.units * truth.information
    if planned.looks is None:
        return obrien_fleming.expected_information(horizon, distance, alpha)
    times = np.arange(1, planned.looks + 1) / planned.looks
    z = np.array(group_sequential.boundary(times.tolist(), alpha, 1, *planned.spending))
    exits = crossing(times.tolist(), z * np.sqrt(times), None, distance * math.sqrt(horizon))
    return horizon * expected_time(times.tolist(), exits)
