"""Differences and lifts of two proportions, with the gate of expected events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stats import arguments, relative
from stats.estimates import EXPECTED_EVENTS, Differences, Estimate, estimate, events_missing, gated, no_value

Counts = NDArray[np.int64]


def difference(n0: int, x0: int, n1: int, x1: int, factor: float = 1.0) -> Estimate:
    """Difference of two proportions, ``p1 - factor * p0``.

    Args:
        n0: units of control.
        x0: of them with the event, 0 .. n0.
        n1: units of treatment.
        x1: of them with the event, 0 .. n1.
        factor: of control, above 0; 1 plus or minus a relative margin.

    Returns:
        The estimate with the larger of the pooled and the unpooled variance: unpooled alone is 0 when both arms have
        been lucky, pooled alone too small when the treatment varies more. Gate: ``estimates.events_missing``.

    Raises:
        ValueError: counts out of range.

    Not valid:
        For rare events or a small share, where ``counts`` is exact and faster.

    Source:
        The pooled variance is that of the score test; the larger of both, and the gate, by measurement.
    """
    arguments.count("n0", n0)
    arguments.count("n1", n1)
    arguments.count("x0", x0, n0)
    arguments.count("x1", x1, n1)
    if n0 == 0 or n1 == 0:
        return no_value()
    p0, p1, rate = x0 / n0, x1 / n1, (x0 + x1) / (n0 + n1)
    square = factor * factor
    unpooled = square * p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
    pooled = rate * (1 - rate) * (square / n0 + 1 / n1)
    return estimate(p1 - factor * p0, max(unpooled, pooled), events_missing(min(n0, n1), rate))


def lift(n0: int, x0: int, n1: int, x1: int) -> Estimate:
    """Relative difference ``p1/p0 - 1`` by the delta method, to show; a claim takes ``difference`` with a factor.

    Args:
        n0: units of control.
        x0: of them with the event, 0 .. n0.
        n1: units of treatment.
        x1: of them with the event, 0 .. n1.

    Returns:
        The estimate in multiples of control's share; without a value while control has no event. Gate as for
        ``difference``.

    Raises:
        ValueError: counts out of range.
    """
    gate = difference(n0, x0, n1, x1)
    if gate.effect is None:
        return gate
    p0, p1 = x0 / n0, x1 / n1
    return relative.lift(p0, p0 * (1 - p0) / n0, p1, p1 * (1 - p1) / n1, gate.missing)


def differences(n0: Counts, x0: Counts, n1: Counts, x1: Counts, factor: float = 1.0) -> Differences:
    """``difference`` of many pairs of arms, each with at least one unit: what the tests need of it.

    Raises:
        ValueError: counts out of range anywhere, or an empty arm.
    """
    arguments.count("x0", x0, n0)
    arguments.count("x1", x1, n1)
    arguments.at_least("n0", n0, 1)
    arguments.at_least("n1", n1, 1)
    p0, p1, rate = x0 / n0, x1 / n1, (x0 + x1) / (n0 + n1)
    square = factor * factor
    unpooled = square * p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
    variance = np.maximum(unpooled, rate * (1 - rate) * (square / n0 + 1 / n1))
    spoken = np.minimum(n0, n1) * np.minimum(rate, 1 - rate) >= EXPECTED_EVENTS
    return gated(p1 - factor * p0, variance, spoken)
