"""CUPED: a covariate known before the exposure takes its share out of the variance of a difference of means.

Units without the covariate get the mean of the others and an indicator of their own, so nobody is dropped. One slope
for both arms: the arms' covariates agree in expectation, by randomisation, so any slope leaves the effect unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stats.estimates import Estimate, estimate, no_value, units_missing
from stats.evalues import Array
from stats.means import TWO_UNITS
from stats.moments import FIXED_POINT
from stats.pairs import Totals


class Arm(NamedTuple):
    """One arm's whole-number sums.

    Attributes:
        present: units with the covariate: x the covariate, y the outcome, both in fixed point.
        absent: (n, sy, syy) of units without it.
    """

    present: Totals
    absent: tuple[int, int, int] = (0, 0, 0)

    @property
    def n(self) -> int:
        """Units of the arm."""
        return self.present.n + self.absent[0]


class Adjusted(NamedTuple):
    """Means and covariance of (outcome, covariate, indicator), of one unit of an arm."""

    n: int
    mean: Array
    covariance: Array


def _adjusted(arm: Arm, centre: int, total: int) -> Adjusted:
    """Exact in whole numbers until the last division.

    The covariate is measured from ``centre / total``, its mean over both arms, where the units without one stand.
    """
    n, p = arm.n, arm.present
    away = p.sx * total - p.n * centre
    first = np.array([p.sy + arm.absent[1], away / total, p.n * FIXED_POINT], dtype=float)
    sums = (p.sy + arm.absent[1], away, p.n)
    squares = (
        (p.syy + arm.absent[2], p.sxy * total - p.sy * centre, p.sy),
        (None, p.sxx * total * total - 2 * p.sx * centre * total + p.n * centre * centre, away),
        (None, None, p.n),
    )
    units = (FIXED_POINT, FIXED_POINT * total, 1)
    covariance = np.empty((3, 3))
    for i in range(3):
        for j in range(i, 3):
            whole = n * (squares[i][j] or 0) - sums[i] * sums[j]
            covariance[i, j] = covariance[j, i] = whole / (n * (n - 1) * units[i] * units[j])
    return Adjusted(n, first / (n * FIXED_POINT), covariance)


def _slopes(arms: tuple[Adjusted, Adjusted]) -> Array:
    """The common slope on covariate and indicator: within-arm cross products, added over both arms."""
    cross = sum((arm.n - 1) * arm.covariance for arm in arms)
    slopes, *_ = np.linalg.lstsq(np.asarray(cross)[1:, 1:], np.asarray(cross)[1:, 0], rcond=1e-12)
    return np.asarray(slopes)


def _variance(arm: Adjusted, outcome: float, slopes: Array) -> float:
    """Of ``outcome * mean y - slopes . mean (covariate, indicator)``."""
    weights = np.array([outcome, *(-slopes)])
    return float(weights @ arm.covariance @ weights) / arm.n


def _fit(arm0: Arm, arm1: Arm) -> tuple[Adjusted, Adjusted, Array]:
    total = arm0.present.n + arm1.present.n
    centre = arm0.present.sx + arm1.present.sx
    arms = (_adjusted(arm0, centre, max(1, total)), _adjusted(arm1, centre, max(1, total)))
    return *arms, _slopes(arms)


def difference(arm0: Arm, arm1: Arm, factor: float = 1.0) -> Estimate:
    """Difference of two means, ``m1 - factor * m0``, adjusted by the covariate.

    Args:
        arm0: control.
        arm1: treatment.
        factor: of control, above 0; 1 plus or minus a relative margin. It multiplies the outcome, not the covariate:
            what is taken away has mean 0 only when the covariate's means are subtracted one for one.

    Returns:
        The estimate, ``(y1 - factor y0) - slope (x1 - x0)`` with a common slope; gate as for means. Without any
        covariate it is the plain difference with the unpooled variance.

    Not valid:
        For a covariate that the treatment can change: it must be known before the exposure.

    Source:
        Deng, Xu, Kohavi, Walker (2013), Improving the sensitivity of online controlled experiments by utilizing
        pre-experiment data; Lindon et al. (2022) for looking at every moment.
    """
    if min(arm0.n, arm1.n) < 2:
        return no_value(TWO_UNITS)
    own0, own1, slopes = _fit(arm0, arm1)
    effect = own1.mean[0] - factor * own0.mean[0] - slopes @ (own1.mean[1:] - own0.mean[1:])
    variance = _variance(own1, 1.0, slopes) + _variance(own0, factor, slopes)
    return estimate(float(effect), variance, units_missing(min(arm0.n, arm1.n)))


def lift(arm0: Arm, arm1: Arm) -> Estimate:
    """Relative difference: the adjusted difference over control's plain mean, by the delta method, to show.

    Control's mean stands in numerator and denominator, and there it is not adjusted: its outcome weighs 1 + lift, its
    covariate 1. To scale the adjusted variance as a whole by (1 + lift)^2 is the well-known error.

    Args:
        arm0: control.
        arm1: treatment.

    Returns:
        The estimate in multiples of control's mean; without a value unless that is above 0. Gate as for means.
    """
    plain = difference(arm0, arm1)
    if plain.effect is None:
        return plain
    level = (arm0.present.sy + arm0.absent[1]) / (arm0.n * FIXED_POINT)
    if not level > 0:
        return no_value("a level of control above 0")
    effect = plain.effect / level
    own0, own1, slopes = _fit(arm0, arm1)
    variance = _variance(own1, 1.0, slopes) + _variance(own0, 1 + effect, slopes)
    return estimate(effect, variance / level**2, plain.missing)
