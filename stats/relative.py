"""Relative effects: the lift to show, and an interval of the lift that never disagrees with a relative claim."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize

from stats import arguments, grid
from stats.estimates import Estimate, estimate, no_value
from stats.evalues import threshold
from stats.intervals import Interval
from stats.strata import Information


def lift(level0: float, variance0: float, level1: float, variance1: float, missing: str) -> Estimate:
    """``level1 / level0 - 1`` by the delta method.

    Args:
        level0: of control, in the metric's unit.
        variance0: of that level (not of one unit).
        level1: of the treatment.
        variance1: of that level.
        missing: what the outcome's own gate waits for.

    Returns:
        The estimate; without a value unless control's level is above 0. ``var = (v1 + (m1/m0)^2 v0) / m0^2``.

    Not valid:
        While control's level is within a few standard errors of 0: the ratio is skewed then. A claim with a relative
        margin takes the linear form of ``claims``, which has no ratio.

    Source:
        Deng, Knoblich, Lu (2018), Applying the delta method in metric analytics.
    """
    if not level0 > 0:
        return no_value("a level of control above 0")
    ratio = level1 / level0
    return estimate(ratio - 1, (variance1 + ratio * ratio * variance0) / (level0 * level0), missing)


def interval(at: Callable[[float], Information], unit: float, alpha: float) -> Interval | None:
    """The lifts that the grid does not reject, by inverting the linear form ``m1 - (1 + lift) m0``.

    A lift lies outside exactly when the relative claim with that margin is shown.

    Args:
        at: evidence by factor: ``strata.gather`` of estimates made with it, in multiples of control's level.
        unit: the relative effect that the grid is centred on, above 0.
        alpha: within (0, 1/2), of both sides together.

    Returns:
        None while every stratum is silent. An end is -1 or a lift of a million when nothing nearer is rejected.

    Source:
        Fieller (1954), Some problems in interval estimation, for inverting the linear form.
    """
    arguments.between("unit", unit, 0.0, math.inf)
    arguments.alpha(alpha)
    target = threshold(alpha / 2)
    if not at(1.0).open:
        return None

    def excess(lift: float, sign: int) -> float:
        found = at(1 + lift)
        return grid.log_evalue(found.a, sign * found.b, 0.0, unit) - target

    centre = _centre(at)
    low = _edge(lambda lift: excess(lift, 1), centre, -1.0)
    return Interval(low, _edge(lambda lift: excess(lift, -1), centre, 1e6))


def _centre(at: Callable[[float], Information]) -> float:
    """The lift whose score is 0."""
    return float(optimize.brentq(lambda lift: at(1 + lift).b, -1.0, 1e6, xtol=1e-12))


def _edge(excess: Callable[[float], float], centre: float, end: float) -> float:
    """The root nearest to the centre, by steps that double."""
    step, inner = math.copysign(1e-4, end - centre), centre
    while True:
        outer = inner + step
        if (end - outer) * step <= 0:
            return end if excess(end) < 0 else float(optimize.brentq(excess, inner, end, xtol=1e-14))
        if excess(outer) >= 0:
            return float(optimize.brentq(excess, inner, outer, xtol=1e-14))
        step, inner = 2 * step, outer
