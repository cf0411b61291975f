"""The MDE grid: one-sided, the default of every test of an estimate.

A mixture of Wald's likelihood ratios for effects of a half, one, two and four units above the null. Each is a
supermartingale for every effect at or below the null, so the test is valid for the whole one-sided hypothesis.

The weights are for an effect of one unit, since that is what most claims meet: a treatment like control, to be shown
within its margin or without its MDE, and harm of the size of the margin. Mean sample over that of a fixed test with power
.8, at one-sided .025, 148 looks per fixed sample; 240,000 paths of Brownian motion on seeds the search never saw:

=========================  ============  ===========  =====  =====  ===============  ===============
weights of 1/2, 1, 2, 4    at 1, to the  at 1, up to  at 2   at 4   at 1/2 (wider)   power at 1 by
                           end           3.4 samples                                 one fixed sample
=========================  ============  ===========  =====  =====  ===============  ===============
.07 .67 .18 .08 (these)    1.013         1.004        1.174  1.528  1.282            .602
.2 .5 .2 .1                1.042         1.036        1.186  1.496  1.167            .573
all on 1                   .974          .965         1.305  2.257  1.625            .645
=========================  ============  ===========  =====  =====  ===============  ===============

The Monte-Carlo error of the first column is .001; Wald's bound for a test that never accepts is .940 of a fixed sample, so
these are within 1.08 of it. What they cost is the column of half an effect. On binary outcomes (10 % in control, a unit of
one point, 8,000 runs) the first two rows are 1.002 and 1.037 at 1, and 1.186 and 1.197 at 2, each within .011; without
an effect .019 and .018 of .025 claim one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from math import exp, log

import numpy as np

from stats import arguments
from stats.evalues import Array, log_mixtures, log_sum_exp, threshold
from stats.intervals import Interval

STEPS = (0.5, 1.0, 2.0, 4.0)
WEIGHTS = (0.07, 0.67, 0.18, 0.08)
Weights = tuple[float, float, float, float]


@lru_cache
def _parts(weights: Weights) -> tuple[tuple[float, float, float], ...]:
    """Per step: the step, half its square, the log of its weight."""
    return tuple(
        (step, step * step / 2, math.log(weight)) for step, weight in zip(STEPS, weights, strict=True)
    )


def boundary(information: float, unit: float, alpha: float, weights: Weights = WEIGHTS) -> float:
    """The score ``weighted - null * information`` at which "effect <= null" is rejected.

    The log e-value is a convex, rising function of the score, so Newton's method from any point where it is above the
    target comes down to the root without a miss.

    Args:
        information: A, above 0.
        unit: the effect that the grid is centred on, above 0.
        alpha: within (0, 1/2).
        weights: of the steps, adding up to 1; others are for comparisons.

    Returns:
        The score, in effect over squared standard error; the log e-value there is ``log(1/alpha)`` to 1e-9.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("information", information, 0.0, math.inf)
    arguments.between("unit", unit, 0.0, math.inf)
    target = threshold(alpha)
    cost = unit * unit * information
    lines = [(step * unit, log_weight - half * cost) for step, half, log_weight in _parts(weights)]
    score = min((target - offset) / slope for slope, offset in lines)
    for _ in range(100):
        terms = [offset + slope * score for slope, offset in lines]
        log_e = log_sum_exp(terms)
        if log_e - target < 1e-12:
            break
        gradient = sum(slope * math.exp(term - log_e) for (slope, _), term in zip(lines, terms, strict=True))
        score -= (log_e - target) / gradient
    return score


def log_evalue(
    information: float, weighted: float, null: float, unit: float, weights: Weights = WEIGHTS
) -> float:
    """Evidence that the effect is above ``null``.

    Args:
        information: A, the sum over strata of 1/se^2; at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the largest effect under the null, in the metric's unit.
        unit: the effect above the null that the grid is centred on (MDE or margin), in the metric's unit, above 0;
            fixed before the start.
        weights: of the steps, adding up to 1; others are for comparisons.

    Returns:
        The log e-value; 0.0 without information.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For samples below the gate of the estimate: the normal likelihood is then no approximation.

    Source:
        Wald (1945), Sequential tests of statistical hypotheses, for the likelihood ratios; Robbins (1970), Statistical
        methods related to the law of the iterated logarithm, for mixing them.
    """
    arguments.score(information, weighted, null, "unit", unit)
    score = weighted - null * information
    if information == 0:
        return 0.0
    slope, cost = unit * score, unit * unit * information
    terms = [log_weight + step * slope - half * cost for step, half, log_weight in _parts(weights)]
    top, total = max(terms), 0.0
    for term in terms:  # a third faster than a sum over a list, and most calls of a look are this one
        total += exp(term - top)
    return top + log(total)


def log_evalues(information: Array, weighted: Array, null: float | Array, unit: float | Array) -> Array:
    """``log_evalue`` of arrays that broadcast against each other.

    Raises:
        ValueError: an argument out of range anywhere.
    """
    arguments.score(information, weighted, null, "unit", unit)
    score = weighted - null * information
    slope, cost = unit * score, unit * unit * information
    return log_mixtures(np.stack([step * slope - half * cost for step, half, _ in _parts(WEIGHTS)]), WEIGHTS)


def interval(information: float, weighted: float, unit: float, alpha: float) -> Interval:
    """The effects that neither of two one-sided tests of alpha/2 each rejects.

    Args:
        information: A, above 0.
        weighted: B.
        unit: the effect that the grid is centred on, above 0.
        alpha: within (0, 1/2), of both sides together.
    """
    arguments.alpha(alpha)
    radius = boundary(information, unit, alpha / 2)
    return Interval((weighted - radius) / information, (weighted + radius) / information)
