"""Confidence sequences: intervals that hold at every look at once, by inverting the e-values.

An effect lies outside exactly when its e-value reaches 1/alpha, so interval and test never disagree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stats import evalues


class Interval(NamedTuple):
    """From low to high, both ends included."""

    low: float
    high: float


def two_sided_normal(information: float, weighted: float, variance: float, alpha: float) -> Interval:
    """Inverse of ``evalues.two_sided_normal``.

    Args:
        information: A, the sum over strata of 1/se^2, above 0.
        weighted: B, the sum over strata of effect/se^2.
        variance: of the mixing distribution, above 0.
        alpha: within (0, 1).

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, equation 14.
    """
    r = variance * information
    radius = math.sqrt((1 + r) / (variance) * (math.log1p(r) - 2 * math.log(alpha))) / information
    return Interval(weighted / information - radius, weighted / information + radius)


def mde_grid_bound(information: float, weighted: float, unit: float, alpha: float) -> float:
    """The lower bound that ``evalues.mde_grid`` inverts to: the largest null that is rejected at alpha.

    The log e-value falls strictly in the null, so bisection finds the one root, to 1e-12 of the estimate's scale.
    """
    target = -math.log(alpha)
    point, se = weighted / information, 1 / math.sqrt(information)
    high, low = point, point - se
    while evalues.mde_grid(information, weighted, high, unit) >= target:
        high += se
    while evalues.mde_grid(information, weighted, low, unit) < target:
        low -= (point - low) + se
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if evalues.mde_grid(information, weighted, middle, unit) >= target:
            low = middle
        else:
            high = middle
    return low


def mde_grid(information: float, weighted: float, unit: float, alpha: float) -> Interval:
    """Two one-sided sequences of alpha/2 each."""
    low = mde_grid_bound(information, weighted, unit, alpha / 2)
    high = -mde_grid_bound(information, -weighted, unit, alpha / 2)
    return Interval(low, high)
