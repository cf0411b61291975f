"""Outcomes that never came: what can still be said, and what a known sampling of labels makes good.

An arm that suppresses feedback wins on the average among those who answer. The bounds here assume nothing about the
silent ones: an effect is only "better" when its worst case is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stats import arguments
from stats.intervals import Interval


class Reported(NamedTuple):
    """One arm, of which some units reported.

    Attributes:
        n: units of the arm whose window has closed.
        reported: of them with a value, 0 .. n.
        total: sum of their values, in the metric's own unit.
    """

    n: int
    reported: int
    total: float


class Weighted(NamedTuple):
    """Sums over the labelled units of one arm, each with weight w = 1 / (its known chance of being labelled).

    Attributes:
        w: sum of w.
        wy: sum of w*y.
        ww: sum of w^2.
        wwy: sum of w^2*y.
        wwyy: sum of w^2*y^2.
    """

    w: float
    wy: float
    ww: float
    wwy: float
    wwyy: float


class Mean(NamedTuple):
    """A mean and the variance of its estimate, in the metric's unit and that unit squared."""

    value: float
    variance: float


def manski(arm0: Reported, arm1: Reported, low: float, high: float) -> Interval | None:
    """Effects that are possible whatever the silent units would have said.

    Args:
        arm0: control.
        arm1: treatment.
        low: least possible value of a unit, in the metric's unit.
        high: greatest possible value; 0 and 1 for an event.

    Returns:
        Bounds of the difference of means; as wide as the shares of silent units of both arms together, times
        high - low. None when an arm has no units. To test the worst case, hand sums that are filled up with ``low`` or
        ``high`` to the test: the bounds themselves carry no sampling error.

    Raises:
        ValueError: counts or totals out of range.

    Source:
        Manski (1990), Nonparametric bounds on treatment effects.
    """
    arguments.between("high - low", high - low, 0.0, math.inf)
    for arm in (arm0, arm1):
        arguments.count("n", arm.n)
        arguments.count("reported", arm.reported, arm.n)
        if not arm.reported * low <= arm.total <= arm.reported * high:
            raise arguments.wrong("total", f"{arm.reported} values from {low:g} to {high:g}", arm.total)
    if not arm0.n or not arm1.n:
        return None
    least, most = ([_filled(arm, value) for arm in (arm0, arm1)] for value in (low, high))
    return Interval(least[1] - most[0], most[1] - least[0])


def _filled(arm: Reported, value: float) -> float:
    return (arm.total + (arm.n - arm.reported) * value) / arm.n


def lee(
    values: Sequence[float], counts0: Sequence[int], counts1: Sequence[int], n0: int, n1: int
) -> Interval | None:
    """Bounds of the effect on units that report in either arm, where one arm makes reporting rarer, never likelier.

    The arm that reports more often is trimmed, from above and from below, until both report equally often.

    Args:
        values: the distinct values, rising, in the metric's unit.
        counts0: control's units with each of them.
        counts1: treatment's.
        n0: units of control whose window has closed, silent ones included.
        n1: units of treatment.

    Returns:
        The bounds; equal to the plain difference when both arms report alike. A tied value at the cut is trimmed in
        part. None when an arm has no units or no reports.

    Raises:
        ValueError: lengths differ, values do not rise, counts out of range.

    Not valid:
        When the treatment makes some units report and others fall silent: then only Manski's bounds hold.

    Source:
        Lee (2009), Training, wages, and sample selection: estimating sharp bounds on treatment effects, proposition 1a.
    """
    points, arm0, arm1 = np.asarray(values, float), np.asarray(counts0), np.asarray(counts1)
    if not points.shape == arm0.shape == arm1.shape or bool(np.any(np.diff(points) <= 0)):
        raise arguments.wrong("values", "rising values with a count in each arm", list(values))
    for name, counts, n in (("counts0", arm0, n0), ("counts1", arm1, n1)):
        arguments.count(name, counts)
        arguments.count("units with a value", int(counts.sum()), n)
    if not arm0.sum() or not arm1.sum():
        return None
    rate0, rate1 = int(arm0.sum()) / n0, int(arm1.sum()) / n1
    lows0, highs0 = _trimmed(points, arm0, min(1.0, rate1 / rate0))
    lows1, highs1 = _trimmed(points, arm1, min(1.0, rate0 / rate1))
    return Interval(lows1 - highs0, highs1 - lows0)


def _trimmed(points: NDArray[np.float64], counts: NDArray[np.int64], keep: float) -> tuple[float, float]:
    """Means of the lowest and of the highest ``keep`` of the values."""
    shares = counts / counts.sum()
    below = np.concatenate(([0.0], np.cumsum(shares)[:-1]))
    lowest = np.clip(keep - below, 0.0, shares)
    highest = np.clip(below + shares - (1 - keep), 0.0, shares)
    return float(points @ lowest / lowest.sum()), float(points @ highest / highest.sum())


def inverse_probability(sums: Weighted) -> Mean | None:
    """Mean over all units of an arm when only some were labelled, each with a known chance.

    Args:
        sums: over the labelled units. They merge by addition.

    Returns:
        The ratio sum(w*y) / sum(w) with its delta variance sum(w^2 (y - mean)^2) / sum(w)^2; the difference of two arms
        has the sum of their variances. None without labels.

    Raises:
        ValueError: a sum that is negative where it cannot be, or not finite.

    Not valid:
        When the chance was 0 for some units, was guessed from the data, or depended on an unrecorded outcome; and below
        some tens of labels an arm, since the variance is first-order.

    Source:
        Hájek (1971), discussion of Basu; Horvitz, Thompson (1952), A generalization of sampling without replacement.
    """
    for name in ("w", "ww", "wwyy"):
        arguments.at_least(name, getattr(sums, name), 0.0)
    for name in ("wy", "wwy"):
        arguments.between(name, getattr(sums, name), -math.inf, math.inf)
    if sums.w == 0:
        return None
    mean = sums.wy / sums.w
    squares = sums.wwyy - 2 * mean * sums.wwy + mean * mean * sums.ww
    return Mean(mean, max(0.0, squares) / (sums.w * sums.w))
