"""Wald's sequential probability ratio test: the one test that also accepts.

One likelihood ratio of "the effect is one unit above the null" to "it is at the null" gives both answers: high enough
it rejects, low enough it accepts. Overshoot only makes both errors rarer. There is no horizon; a deadline that comes
first leaves the question open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from stats import arguments


class Thresholds(NamedTuple):
    """Log likelihood ratios that end the test.

    Attributes:
        accept: at or below it the null is accepted; below 0.
        reject: at or above it the null is rejected; above 0.
    """

    accept: float
    reject: float


class Course(NamedTuple):
    """What to expect of a test.

    Attributes:
        rejects: chance that it ends by rejecting the null.
        information: mean information at the end, in 1/effect^2.
    """

    rejects: float
    information: float


def thresholds(alpha: float, beta: float) -> Thresholds:
    """Wald's thresholds.

    Args:
        alpha: chance to reject although the null is true; of a canary, to roll back a good one. Within (0, 1/2).
        beta: chance to accept although the alternative is true; of a canary, to promote one at the margin.

    Returns:
        ``log(beta / (1 - alpha))`` and ``log((1 - beta) / alpha)``. Guaranteed are alpha/(1 - beta) and
        beta/(1 - alpha), and the sum of both errors is at most alpha + beta.

    Raises:
        ValueError: an error rate outside (0, 1/2).

    Source:
        Wald (1945), Sequential tests of statistical hypotheses.
    """
    arguments.alpha(alpha)
    arguments.alpha(beta, "beta")
    return Thresholds(math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha))


def boundary(information: float, unit: float, alpha: float, beta: float) -> Thresholds:
    """``thresholds`` as scores ``weighted - null * information`` at this much information.

    Args:
        information: A, above 0.
        unit: distance of the alternative from the null, in the metric's unit, above 0.
        alpha: as in ``thresholds``.
        beta: as in ``thresholds``.
    """
    arguments.between("information", information, 0.0, math.inf)
    arguments.between("unit", unit, 0.0, math.inf)
    accept, reject = thresholds(alpha, beta)
    half = information * unit / 2
    return Thresholds(accept / unit + half, reject / unit + half)


def log_evalue(information: float, weighted: float, null: float, unit: float) -> float:
    """Log likelihood ratio of "effect = null + unit" to "effect = null": an e-value against "effect <= null".

    Args:
        information: A, the sum over strata of 1/se^2; at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the largest effect under the null, in the metric's unit.
        unit: the MDE, or the margin, in the metric's unit, above 0; fixed before the start.

    Returns:
        The log e-value; its negative is the log e-value against "effect >= null + unit".

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For samples below the gate of the estimate. For effects in between, either answer may come.

    Source:
        Wald (1945), Sequential tests of statistical hypotheses.
    """
    arguments.at_least("information", information, 0.0)
    arguments.between("unit", unit, 0.0, math.inf)
    score = weighted - null * information
    arguments.between("weighted - null * information", score, -math.inf, math.inf)
    return unit * score - information * unit * unit / 2


def rate_log_evalue(strata: Iterable[tuple[int, int, float]], ratio: float, null: float = 1.0) -> float:
    """Log likelihood ratio of a ratio of rates to the null's: exact, given the events.

    Args:
        strata: (events of control, events of treatment, the treatment's share of both arms' units) of each stratum;
            the share strictly between 0 and 1.
        ratio: rate of the treatment over that of the control at the margin, above 0.
        null: the ratio of an unchanged treatment.

    Returns:
        The log e-value against the null ratio, for a canary: roll back at or above ``thresholds(...).reject``, promote
        at or below ``.accept``. 0.0 without events: a canary without any error needs the zero-errors rule.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For events that come in bursts from one unit: count units with at least one event.

    Source:
        Wald (1945), Sequential tests of statistical hypotheses, on the share of events that the treatment has.
    """
    arguments.between("ratio", ratio, 0.0, math.inf)
    arguments.between("null", null, 0.0, math.inf)
    total = 0.0
    for x0, x1, share in strata:
        arguments.count("events of control", x0)
        arguments.count("events of treatment", x1)
        arguments.between("share", share, 0.0, 1.0)
        total += x1 * math.log(ratio / null)
        total += (x0 + x1) * (math.log1p((null - 1) * share) - math.log1p((ratio - 1) * share))
    return total


def course(effect: float, unit: float, alpha: float, beta: float) -> Course:
    """How the test goes on average, overshoot neglected.

    Args:
        effect: true distance from the null, in the metric's unit; 0.0 is the null, ``unit`` the alternative.
        unit: distance of the alternative from the null, in the metric's unit, above 0.
        alpha: as in ``thresholds``.
        beta: as in ``thresholds``.

    Source:
        Wald (1945), Sequential tests of statistical hypotheses: operating characteristic and average sample number.
    """
    arguments.between("effect", effect, -math.inf, math.inf)
    arguments.between("unit", unit, 0.0, math.inf)
    low, high = thresholds(alpha, beta)
    drift = unit * effect - unit * unit / 2
    root = -2 * drift / (unit * unit)
    if abs(root) < 1e-9:
        return Course(-low / (high - low), -low * high / (unit * unit))
    rejects = math.expm1(root * low) / (math.expm1(root * low) - math.expm1(root * high))
    return Course(rejects, (rejects * high + (1 - rejects) * low) / drift)
