"""The t version for small samples, two-sided: a normal mixture over effects in units of the unknown deviation.

No plug-in variance, so it needs no gate: for values that are normal it holds at every sample size.
"""

from __future__ import annotations

import math

from stats import arguments
from stats.evalues import threshold
from stats.intervals import Interval


def check(se: float, freedom: int, units: float, prior: float) -> None:
    """Arguments that both t versions share.

    Raises:
        ValueError: one of them is not above 0.
    """
    arguments.between("se", se, 0.0, math.inf)
    arguments.between("freedom", freedom, 0.0, math.inf)
    arguments.between("units", units, 0.0, math.inf)
    arguments.between("prior", prior, 0.0, math.inf)


def boundary(freedom: int, units: float, prior: float, alpha: float) -> float | None:
    """The distance from 0 of ``t`` at which "effect = null" is rejected.

    Args:
        freedom: degrees of freedom of the variance, above 0.
        units: effective units: the variance of one over the squared standard error.
        prior: units that the prior is worth, above 0: deviation^2 / mixing variance.
        alpha: within (0, 1/2).

    Returns:
        None while no t rejects: too few units.

    Raises:
        ValueError: an argument out of range.
    """
    check(1.0, freedom, units, prior)
    rho = prior / (prior + units)
    tail = math.exp(2 / (freedom + 1) * (threshold(alpha) - 0.5 * math.log(rho)))
    if rho * tail >= 1:
        return None
    return math.sqrt(freedom * (tail - 1) / (1 - rho * tail))


def log_evalue(effect: float, se: float, freedom: int, units: float, null: float, prior: float) -> float:
    """Evidence that the effect is not ``null``.

    Args:
        effect: the estimate, in the metric's unit.
        se: its standard error by the pooled variance, above 0.
        freedom: degrees of freedom of that variance, above 0.
        units: effective units: the variance of one over the squared standard error (``means.small``).
        null: the effect under the null.
        prior: units that the prior is worth, above 0, fixed before the start: deviation^2 / mixing variance; 100 looks
            for effects of a tenth of a deviation.

    Returns:
        The log e-value.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For skewed values or unequal variances, and over strata: t statistics do not add.

    Source:
        Lindon, Ham, Tingley, Bojinov (2022), Anytime-valid linear models and regression adjusted causal inference
        (arXiv 2210.08589), the t statistic's Bayes factor.
    """
    check(se, freedom, units, prior)
    arguments.between("effect", effect, -math.inf, math.inf)
    arguments.between("null", null, -math.inf, math.inf)
    return log_bayes_factor((effect - null) / se, freedom, prior / (prior + units))


def log_bayes_factor(t: float, freedom: int, rho: float) -> float:
    """The log e-value of a t statistic; ``rho`` is the prior's part of all units, within (0, 1)."""
    square = t * t / freedom
    return 0.5 * math.log(rho) + (freedom + 1) / 2 * (math.log1p(square) - math.log1p(rho * square))


def interval(
    effect: float, se: float, freedom: int, units: float, prior: float, alpha: float
) -> Interval | None:
    """The effects that are not rejected at alpha, at any look; None while that would be all of them.

    Args:
        effect: the estimate, in the metric's unit.
        se: its standard error by the pooled variance, above 0.
        freedom: degrees of freedom of that variance, above 0.
        units: effective units.
        prior: units that the prior is worth, above 0.
        alpha: within (0, 1/2).
    """
    check(se, freedom, units, prior)
    radius = boundary(freedom, units, prior, alpha)
    return None if radius is None else Interval(effect - radius * se, effect + radius * se)
