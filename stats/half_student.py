"""The t version for small samples, one-sided: the part of the mixture of ``student`` that lies above the null."""

from __future__ import annotations

import math

from scipy import optimize, special

from stats import arguments, student
from stats.evalues import threshold

_LEAST = 5e-324  # a tail below the smallest float counts as it


def _log_bayes_factor(t: float, freedom: int, rho: float) -> float:
    inside = t * math.sqrt((1 - rho) * (freedom + 1) / (freedom + rho * t * t))
    above = math.log(2 * max(float(special.stdtr(freedom + 1, inside)), _LEAST))
    return student.log_bayes_factor(t, freedom, rho) + above


def boundary(freedom: int, units: float, prior: float, alpha: float) -> float | None:
    """The ``t`` at which "effect <= null" is rejected.

    Args:
        freedom: degrees of freedom of the variance, above 0.
        units: effective units: the variance of one over the squared standard error.
        prior: units that the prior is worth, above 0.
        alpha: within (0, 1/2).

    Returns:
        None while no t rejects: too few units.

    Raises:
        ValueError: an argument out of range.
    """
    student.check(1.0, freedom, units, prior)
    target, rho, high = threshold(alpha), prior / (prior + units), 1.0
    while _log_bayes_factor(high, freedom, rho) < target:
        high *= 2
        if high > 1e9:
            return None
    root = optimize.brentq(
        lambda t: _log_bayes_factor(t, freedom, rho) - target, 0.0, high, xtol=1e-13, rtol=1e-13
    )
    return float(root)


def log_evalue(effect: float, se: float, freedom: int, units: float, null: float, prior: float) -> float:
    """Evidence that the effect is above ``null``.

    Args:
        effect: the estimate, in the metric's unit.
        se: its standard error by the pooled variance, above 0.
        freedom: degrees of freedom of that variance, above 0.
        units: effective units: the variance of one over the squared standard error (``means.small``).
        null: the largest effect under the null.
        prior: units that the prior is worth, above 0, fixed before the start: deviation^2 / mixing variance.

    Returns:
        The log e-value: that of ``student``, and the log of twice the posterior probability of an effect above the null
        under its mixture, a t distribution with one more degree of freedom.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For skewed values or unequal variances, and over strata. Exact at the null itself; below it each component's
        likelihood ratio rises in t, so e is less still.

    Source:
        Pérez-Ortiz, Lardy, de Heide, Grünwald (2024), E-statistics, group invariance and anytime-valid testing, for
        the invariant likelihood ratios; the half mixture is Bayes' rule applied to that of Lindon et al. (2022).
    """
    student.check(se, freedom, units, prior)
    arguments.between("effect", effect, -math.inf, math.inf)
    arguments.between("null", null, -math.inf, math.inf)
    t = (effect - null) / se
    return _log_bayes_factor(t, freedom, prior / (prior + units))


def bound(effect: float, se: float, freedom: int, units: float, prior: float, alpha: float) -> float | None:
    """The largest null that is rejected at alpha: a lower bound of the effect; None while there is none.

    Args:
        effect: the estimate, in the metric's unit.
        se: its standard error by the pooled variance, above 0.
        freedom: degrees of freedom of that variance, above 0.
        units: effective units.
        prior: units that the prior is worth, above 0.
        alpha: within (0, 1/2).
    """
    student.check(se, freedom, units, prior)
    radius = boundary(freedom, units, prior, alpha)
    return None if radius is None else effect - radius * se
