"""The two-sided normal mixture: has the effect this one value, or another in either direction?

The same function as the mixture SPRT and the asymptotic confidence sequences of other products; they differ only in
the variance of the mixing distribution. The rule here: its standard deviation is the MDE, fixed before the start.
"""

from __future__ import annotations

import math

import numpy as np

from stats import arguments
from stats.evalues import Array, threshold
from stats.intervals import Interval


def boundary(information: float, variance: float, alpha: float) -> float:
    """The distance of the score ``weighted - null * information`` from 0 at which "effect = null" is rejected.

    Args:
        information: A, above 0.
        variance: of the mixing distribution, above 0.
        alpha: within (0, 1/2).

    Raises:
        ValueError: an argument out of range.

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, equation 14.
    """
    arguments.between("information", information, 0.0, math.inf)
    arguments.between("variance", variance, 0.0, math.inf)
    r = variance * information
    return math.sqrt((1 + r) / variance * (math.log1p(r) + 2 * threshold(alpha)))


def log_evalue(information: float, weighted: float, null: float, variance: float) -> float:
    """Evidence that the effect is not ``null``.

    Args:
        information: A, the sum over strata of 1/se^2; at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the effect under the null, in the metric's unit.
        variance: of the mixing distribution, in that unit squared, above 0; fixed before the start.

    Returns:
        The log e-value; 0.0 without information.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For samples below the gate of the estimate. For a one-sided null: an effect far below ``null`` is as much
        evidence as one above (``grid`` and ``half_normal`` are one-sided).

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, equation 14.
    """
    arguments.score(information, weighted, null, "variance", variance)
    score = weighted - null * information
    r = variance * information
    return 0.5 * (variance * score * score / (1 + r) - math.log1p(r))


def log_evalues(information: Array, weighted: Array, null: float | Array, variance: float | Array) -> Array:
    """``log_evalue`` of arrays that broadcast against each other.

    Raises:
        ValueError: an argument out of range anywhere.
    """
    arguments.score(information, weighted, null, "variance", variance)
    score = weighted - null * information
    r = variance * information
    return np.asarray(0.5 * (variance * score * score / (1 + r) - np.log1p(r)))


def interval(information: float, weighted: float, variance: float, alpha: float) -> Interval:
    """The effects that are not rejected at alpha, at any look.

    Args:
        information: A, above 0.
        weighted: B.
        variance: of the mixing distribution, above 0.
        alpha: within (0, 1/2).

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, equation 14.
    """
    radius = boundary(information, variance, alpha)
    return Interval((weighted - radius) / information, (weighted + radius) / information)
