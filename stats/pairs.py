"""Whole-number sums of pairs (x, y) per unit: ratios of sums, and an outcome with its covariate."""

from __future__ import annotations

from typing import NamedTuple

from stats.moments import FIXED_POINT


class Totals(NamedTuple):
    """Six sums over units; they merge by adding, to the bit.

    Attributes:
        n: units.
        sx: sum of x: plain whole numbers (reports, requests) in a ratio, fixed-point values of a covariate.
        sy: sum of y times ``scale``.
        sxx: sum of x squared.
        sxy: sum of x times y, times ``scale``.
        syy: sum of y squared, times ``scale`` squared.
    """

    n: int
    sx: int
    sy: int
    sxx: int
    sxy: int
    syy: int

    def merge(self, other: Totals) -> Totals:
        """The sums over the units of both."""
        return Totals(*(mine + more for mine, more in zip(self, other, strict=True)))


class Ratio(NamedTuple):
    """A ratio of sums over units and the variance of its estimate.

    Attributes:
        n: units, at least 0.
        value: sum of y over sum of x; 0.0 when no unit has an x.
        variance: variance of ``value`` itself, not of one unit; 0.0 when n is below 2.
    """

    n: int
    value: float
    variance: float


def spread(totals: Totals, sx: int, sy: int, scale: int = FIXED_POINT) -> float:
    """Sum over units of (y - R x)^2 about the ratio R = sy / sx, in y's unit squared.

    Args:
        totals: of the units.
        sx: denominator of R, above 0; the totals' own, or that of both arms together.
        sy: numerator of R, times ``scale``.
        scale: what one unit of y is in fixed point.
    """
    whole = totals.syy * sx * sx - 2 * totals.sxy * sy * sx + totals.sxx * sy * sy
    return whole / (sx * sx * scale * scale)


def ratio(totals: Totals, scale: int = FIXED_POINT) -> Ratio:
    """Ratio of sums and its variance by the delta method on unit totals, cluster-robust.

    Args:
        totals: of one arm.
        scale: what one unit of y is in fixed point.

    Returns:
        The ratio in y's unit per x; ``var = (s_y^2 - 2 R s_xy + R^2 s_x^2) / (n mean_x^2)``.

    Raises:
        ValueError: the sums contradict each other (a negative spread).

    Not valid:
        Below some tens of units per arm: the variance is first-order.

    Source:
        Deng, Knoblich, Lu (2018), Applying the delta method in metric analytics.
    """
    n, sx, sy = totals[:3]
    value = sy / (sx * scale) if sx > 0 else 0.0
    if n < 2 or sx <= 0:
        return Ratio(n, value, 0.0)
    residual = spread(totals, sx, sy, scale)
    if residual < 0:
        raise ValueError(f"sums contradict each other: {totals}")
    return Ratio(n, value, residual * n / ((n - 1) * sx * sx))
