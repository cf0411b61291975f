"""Ratios of sums over units: their difference and lift, by the delta method on unit totals.

The unit of analysis is the unit of assignment, so that requests of one unit need not be independent.
"""

from __future__ import annotations

from stats import relative
from stats.estimates import Estimate, estimate, events_missing, no_value, units_missing
from stats.moments import FIXED_POINT
from stats.pairs import Totals, ratio, spread

TWO_UNITS = "two units with a report in each arm"


def _too_few(arm0: Totals, arm1: Totals) -> bool:
    return min(arm0.n, arm1.n) < 2 or arm0.sx <= 0 or arm1.sx <= 0


def difference(arm0: Totals, arm1: Totals, factor: float = 1.0) -> Estimate:
    """Difference of two ratios of sums, ``R1 - factor * R0``; gate as for means.

    Args:
        arm0: totals of control, y in fixed point.
        arm1: totals of treatment.
        factor: of control, above 0; 1 plus or minus a relative margin.

    Returns:
        The estimate with the larger of the pooled and the unpooled variance.

    Raises:
        ValueError: the sums contradict each other.

    Not valid:
        Exactly: the variance is first-order, and looks of running totals are taken for Brownian motion. Increments of
        one unit go together, which makes a crossing rarer (Slepian's inequality), never likelier.

    Source:
        Deng, Knoblich, Lu (2018), Applying the delta method in metric analytics.
    """
    if _too_few(arm0, arm1):
        return no_value(TWO_UNITS)
    own0, own1 = ratio(arm0), ratio(arm1)
    square = factor * factor
    weight0, weight1 = arm0.n / arm0.sx**2, arm1.n / arm1.sx**2
    residual = own0.variance / weight0 * (arm0.n - 1) + own1.variance / weight1 * (arm1.n - 1)
    pooled = residual / (arm0.n + arm1.n - 2) * (square * weight0 + weight1)
    variance = max(square * own0.variance + own1.variance, pooled)
    return estimate(own1.value - factor * own0.value, variance, units_missing(min(arm0.n, arm1.n)))


def share_difference(arm0: Totals, arm1: Totals, factor: float = 1.0) -> Estimate:
    """Difference of two shares of reports, of which a unit may give several, ``R1 - factor * R0``.

    Args:
        arm0: totals of control: x its reports, y those with the event, in fixed point.
        arm1: totals of treatment.
        factor: of control, above 0.

    Returns:
        The estimate with the larger of the unpooled variance and the one pooled about the common share, both over
        units, so that reports of one unit that go together are not taken for independent ones. With one report a unit
        it is ``proportions.difference``. The gate counts units, at the pooled share.

    Raises:
        ValueError: the sums contradict each other.
    """
    if _too_few(arm0, arm1):
        return no_value(TWO_UNITS)
    own0, own1 = ratio(arm0), ratio(arm1)
    square = factor * factor
    sx, sy = arm0.sx + arm1.sx, arm0.sy + arm1.sy
    residual = (spread(arm0, sx, sy) + spread(arm1, sx, sy)) / (arm0.n + arm1.n)
    pooled = residual * (square * arm0.n / arm0.sx**2 + arm1.n / arm1.sx**2)
    missing = events_missing(min(arm0.n, arm1.n), sy / (sx * FIXED_POINT))
    variance = max(square * own0.variance + own1.variance, pooled)
    return estimate(own1.value - factor * own0.value, variance, missing)


def lift(arm0: Totals, arm1: Totals) -> Estimate:
    """Relative difference ``R1/R0 - 1`` by the delta method, to show; a claim takes ``difference`` with a factor.

    Args:
        arm0: totals of control, y in fixed point.
        arm1: totals of treatment.

    Returns:
        The estimate in multiples of control's ratio; without a value unless that is above 0. Gate as for means.

    Raises:
        ValueError: the sums contradict each other.
    """
    if _too_few(arm0, arm1):
        return no_value(TWO_UNITS)
    own0, own1 = ratio(arm0), ratio(arm1)
    missing = units_missing(min(arm0.n, arm1.n))
    return relative.lift(own0.value, own0.variance, own1.value, own1.variance, missing)
