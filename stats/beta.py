"""The two-sided Beta mixture over the share of events that fall in the treatment, exactly.

For metrics where any difference matters and neither direction is harm by itself.
"""

from __future__ import annotations

import math

from scipy import optimize

from stats import arguments
from stats.counts import RatioInterval
from stats.evalues import threshold

CONCENTRATION = 100.0  # events that the prior around "no difference" is worth


def log_evalue(
    x0: int, x1: int, share: float, null: float = 1.0, concentration: float = CONCENTRATION
) -> float:
    """Evidence that the ratio of rates is not ``null``.

    Args:
        x0: events of control.
        x1: events of treatment.
        share: the treatment's share of the exposure, within (0, 1).
        null: the rate ratio under the null, above 0.
        concentration: of the Beta distribution around the share that the null expects, above 0.

    Returns:
        The log e-value; 0.0 without events. It depends on totals only. Strata multiply: add their log e-values.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For events that come in bursts from one unit, and for a one-sided null.

    Source:
        Lindon, Malek (2022), Anytime-valid inference for multinomial count data, for two arms; Robbins (1970) for
        the Beta-binomial mixture.
    """
    arguments.between("share", share, 0.0, 1.0)
    arguments.between("null", null, 0.0, math.inf)
    inside = null * share / (null * share + 1 - share)
    return _log_bayes_factor(x0, x1, math.log(inside) - math.log1p(-inside), inside, concentration)


def _log_bayes_factor(x0: int, x1: int, log_odds: float, centre: float, concentration: float) -> float:
    """Beta(concentration * centre, concentration * (1 - centre)) against the one share with these log odds."""
    arguments.count("x0", x0)
    arguments.count("x1", x1)
    arguments.between("concentration", concentration, 0.0, math.inf)
    a, b = concentration * centre, concentration * (1 - centre)
    prior = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    posterior = math.lgamma(a + x1) + math.lgamma(b + x0) - math.lgamma(a + b + x0 + x1)
    # The logs of both shares from their odds: a share close to 1 has no distance from it left as a number.
    return posterior - prior + x1 * _log_one_plus_exp(-log_odds) + x0 * _log_one_plus_exp(log_odds)


def _log_one_plus_exp(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def interval(
    x0: int, x1: int, share: float, alpha: float, concentration: float = CONCENTRATION
) -> RatioInterval:
    """The rate ratios that are not rejected at alpha, with the mixture held around "no difference".

    The mixture is one for all nulls, so 1 lies outside exactly when ``log_evalue`` with null 1 reaches 1/alpha; the
    value is convex in the log odds, with its least at the share of events that was seen.

    Args:
        x0: events of control.
        x1: events of treatment.
        share: the treatment's share of the exposure, within (0, 1).
        alpha: within (0, 1/2).
        concentration: of the Beta distribution around ``share``, above 0.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("share", share, 0.0, 1.0)
    target = threshold(alpha)
    at_share = math.log(share) - math.log1p(-share)

    def excess(log_odds: float) -> float:
        return _log_bayes_factor(x0, x1, log_odds, share, concentration) - target

    def edge(direction: int) -> float:
        seen = math.log(x1 + 0.5) - math.log(x0 + 0.5) if not (x0 and x1) else math.log(x1 / x0)
        far = seen + direction
        while excess(far) < 0:
            far += direction * 2
        return float(optimize.brentq(excess, seen, far, xtol=1e-13, rtol=1e-13)) - at_share

    low = math.exp(edge(-1)) if x1 else 0.0
    return RatioInterval(low, math.exp(edge(1)) if x0 else None)
