"""The one-sided normal mixture: over effects above the null only, half-normal.

The generic one-sided test: less sharp at the MDE than the grid, and never far from sharp at any larger effect.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from stats import arguments
from stats.evalues import Array, threshold
from stats.intervals import Interval

_FAR = -30.0  # below it the normal tail nears the smallest float


def _log_tail(u: float) -> float:
    """``u^2/2 + log(2 Phi(u))``, rising and convex in u; by the asymptotic series far below 0, where erfc underflows."""
    if u > _FAR:
        return u * u / 2 + math.log(math.erfc(-u / math.sqrt(2)))
    inverse = 1 / (u * u)
    series = -inverse * (1 - 3 * inverse * (1 - 5 * inverse * (1 - 7 * inverse)))
    return math.log1p(series) - math.log(-u) - 0.5 * math.log(math.pi / 2)


def boundary(information: float, variance: float, alpha: float) -> float:
    """The score ``weighted - null * information`` at which "effect <= null" is rejected.

    Args:
        information: A, above 0.
        variance: of the normal distribution that is halved, above 0.
        alpha: within (0, 1/2).

    Returns:
        The root by Newton's method, which comes down to it without a miss from where the tail is left out; the closed
        form of Waudby-Smith et al., equation 134, is a little above it.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("information", information, 0.0, math.inf)
    arguments.between("variance", variance, 0.0, math.inf)
    r = variance * information
    target = threshold(alpha) + 0.5 * math.log1p(r)
    u = math.sqrt(2 * target)
    for _ in range(100):
        excess = _log_tail(u) - target
        if excess < 1e-13:
            break
        u -= excess / (u + math.sqrt(2 / math.pi) * math.exp(-u * u / 2) / math.erfc(-u / math.sqrt(2)))
    return u * math.sqrt((1 + r) / variance)


def log_evalue(information: float, weighted: float, null: float, variance: float) -> float:
    """Evidence that the effect is above ``null``.

    Args:
        information: A, the sum over strata of 1/se^2; at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the largest effect under the null, in the metric's unit.
        variance: of the normal distribution that is halved, in that unit squared, above 0; fixed before the start.

    Returns:
        The log e-value; 0.0 without information.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For samples below the gate of the estimate.

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, proposition 6 (one-sided normal
        mixture).
    """
    arguments.score(information, weighted, null, "variance", variance)
    score = weighted - null * information
    r = variance * information
    return _log_tail(score * math.sqrt(variance / (1 + r))) - 0.5 * math.log1p(r)


def log_evalues(information: Array, weighted: Array, null: float | Array, variance: float | Array) -> Array:
    """``log_evalue`` of arrays that broadcast against each other.

    Raises:
        ValueError: an argument out of range anywhere.
    """
    arguments.score(information, weighted, null, "variance", variance)
    score = weighted - null * information
    r = variance * information
    u = score * np.sqrt(variance / (1 + r))
    below = np.log(special.erfcx(-np.minimum(u, 0.0) / math.sqrt(2)))
    above = np.maximum(u, 0.0) ** 2 / 2 + np.log1p(special.erf(np.maximum(u, 0.0) / math.sqrt(2)))
    return np.asarray(np.where(u > 0, above, below) - 0.5 * np.log1p(r))


def interval(information: float, weighted: float, variance: float, alpha: float) -> Interval:
    """The effects that neither of two one-sided tests of alpha/2 each rejects."""
    arguments.alpha(alpha)
    radius = boundary(information, variance, alpha / 2)
    return Interval((weighted - radius) / information, (weighted + radius) / information)
