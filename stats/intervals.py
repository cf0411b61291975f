"""Confidence sequences: intervals that hold at every look at once, by inverting the e-values.

An effect lies outside exactly when its e-value reaches 1/alpha, so interval and test never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from stats import evalues

BISECTIONS = 45  # of a range of 2: to 6e-14


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
    radius = math.sqrt((1 + r) / variance * (math.log1p(r) - 2 * math.log(alpha))) / information
    return Interval(weighted / information - radius, weighted / information + radius)


def mde_grid_bound(information: float, weighted: float, unit: float, alpha: float) -> float:
    """The lower bound that ``evalues.mde_grid`` inverts to: the largest null that is rejected at alpha.

    With ``s = B - null*A`` the log e-value is a convex, rising function of s, so Newton's method from any point where
    it is above the target comes down to the root without a miss.

    Args:
        information: A, above 0.
        weighted: B.
        unit: the effect that the grid is centred on, above 0.
        alpha: within (0, 1).

    Returns:
        The bound, in the metric's unit; the log e-value there is ``log(1/alpha)`` to 1e-9.
    """
    target = -math.log(alpha)
    slopes = [k * unit for k in evalues.GRID]
    offsets = [
        math.log(weight) - information * slope * slope / 2
        for slope, weight in zip(slopes, evalues.GRID_WEIGHTS, strict=True)
    ]
    score = min((target - offset) / slope for slope, offset in zip(slopes, offsets, strict=True))
    for _ in range(100):
        terms = [offset + slope * score for slope, offset in zip(slopes, offsets, strict=True)]
        log_e = evalues.log_sum_exp(terms)
        if log_e - target < 1e-12:
            break
        gradient = sum(slope * math.exp(term - log_e) for slope, term in zip(slopes, terms, strict=True))
        score -= (log_e - target) / gradient
    return (weighted - score) / information


def mde_grid(information: float, weighted: float, unit: float, alpha: float) -> Interval:
    """Two one-sided sequences of alpha/2 each: ``mde_grid_bound`` from below and, mirrored, from above."""
    low = mde_grid_bound(information, weighted, unit, alpha / 2)
    high = -mde_grid_bound(information, -weighted, unit, alpha / 2)
    return Interval(low, high)


def rare_excess_bound(
    n: int, x: int, information: float, weighted: float, unit: float, alpha: float
) -> float:
    """Upper bound of how much one arm's rate exceeds another's, before and behind the gate.

    Args:
        n: units of the first arm.
        x: of them with the event.
        information: A of the difference first minus second; 0.0 when gated.
        weighted: B of that difference.
        unit: the margin that the grid is centred on, above 0.
        alpha: within (0, 1).

    Returns:
        The least margin at which ``average(rare_below_margin, mde_grid)`` reaches 1/alpha, within [-1, 1]: the same
        function as the test at that margin, so bound and test never disagree.
    """
    target = -math.log(alpha)

    def shown(margin: float) -> bool:
        grid = evalues.mde_grid(information, -weighted, -margin, unit)
        rare = evalues.rare_below_margin(n, x, margin) if margin > 0 else -math.inf
        return evalues.average([rare, grid]) >= target

    return least_shown(shown, -1.0, 1.0)


def least_shown(shown: Callable[[float], bool], low: float, high: float) -> float:
    """The least value for which a rising condition holds, by bisection; ``high`` if it never does."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if shown(middle):
            high = middle
        else:
            low = middle
    return high
