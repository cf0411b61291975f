"""Metric kinds: how a unit's value becomes whole-number sums, and how the sums of two arms are compared.

One row of KINDS owns everything about a kind: the names of its sums, their update, its estimate and its four tests.
Harm reads *running* sums (windows still open count); promotion reads *closed* ones. The file's ``kind`` picks the row,
never the data.

To add a kind: one row, its cases in tests/router/test_metric.py, its line in config/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from router.events import FIXED_POINT
from stats import evalues, intervals
from stats.estimates import (
    Estimate,
    mean_difference,
    proportion_difference,
    ratio_difference,
    share_ratio_difference,
)
from stats.moments import ratio, sample

Sums = Sequence[int]
SHOWN_ALPHA = 0.05


class Stratum(NamedTuple):
    """The sums of both arms in one stratum, and the treatment's share of their units."""

    control: Sums
    treatment: Sums
    share: float


class Level(NamedTuple):
    """A metric in one arm: units with a value, the value, and events where they are counted."""

    n: int
    value: float | None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to sum units up: names of the sums, a unit's part of them, the level of an arm, the effect of two."""

    names: tuple[str, ...]
    part: Callable[[int, int], tuple[int, ...]]
    level: Callable[[Sums], Level]
    effect: Callable[[Sums, Sums], Estimate | None]


def _binary_part(y: int, n: int) -> tuple[int, ...]:
    return (1, 1 if y > 0 else 0)


def _binary_level(sums: Sums) -> Level:
    n, x = sums
    return Level(n, x / n if n else None, x)


def _binary_effect(control: Sums, treatment: Sums) -> Estimate | None:
    return proportion_difference(control[0], control[1], treatment[0], treatment[1])


def _mean_part(y: int, n: int) -> tuple[int, ...]:
    return (1, y, y * y)


def _mean_level(sums: Sums) -> Level:
    n, sx, _ = sums
    return Level(n, sx / (n * FIXED_POINT) if n else None)


def _mean_effect(control: Sums, treatment: Sums) -> Estimate | None:
    return mean_difference(sample(*control), sample(*treatment))


def _ratio_part(y: int, n: int) -> tuple[int, ...]:
    return (1, n, y, n * n, n * y, y * y)


def _ratio_level(sums: Sums) -> Level:
    n, sx, sy = sums[:3]
    return Level(n, sy / (sx * FIXED_POINT) if sx else None)


def _ratio_effect(control: Sums, treatment: Sums) -> Estimate | None:
    return ratio_difference(ratio(*control), ratio(*treatment))


def _share_effect(control: Sums, treatment: Sums) -> Estimate | None:
    return share_ratio_difference(ratio(*control), ratio(*treatment), control[1], treatment[1])


RATIO_NAMES = ("n", "sx", "sy", "sxx", "sxy", "syy")
BINARY = Reading(("n", "x"), _binary_part, _binary_level, _binary_effect)
MEAN = Reading(("n", "sx", "sxx"), _mean_part, _mean_level, _mean_effect)
RATIO = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _ratio_effect)
SHARE_OF_REPORTS = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _share_effect)


class Information(NamedTuple):
    """A and B of METHODS: the sums over strata of 1/se^2 and of harm/se^2, gated strata left out."""

    a: float
    b: float
    missing: str

    @property
    def open(self) -> bool:
        """Whether any stratum may speak."""
        return self.a > 0


def harm_sign(metric: dict[str, Any]) -> int:
    """What an effect is multiplied by so that more is worse."""
    return 1 if metric["better"] == "lower" else -1


def information(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> Information:
    """Evidence adds over strata before mixing; a stratum speaks only behind its own gate."""
    sign = harm_sign(metric)
    a = b = 0.0
    missing = "" if strata else "units in both arms"
    for stratum in strata:
        estimate = reading.effect(stratum.control, stratum.treatment)
        if estimate is None:
            missing = missing or "a difference that varies"
        elif not estimate.open:
            missing = missing or estimate.missing
        else:
            a += estimate.information
            b += estimate.information * estimate.effect * sign
    return Information(a, b, "" if a > 0 else missing)


def point(reading: Reading, strata: Sequence[Stratum]) -> float | None:
    """The estimate to show, B/A over all strata that vary, gated or not; None when none does."""
    pairs = [estimate for s in strata if (estimate := reading.effect(s.control, s.treatment)) is not None]
    total = sum(estimate.information for estimate in pairs)
    return sum(estimate.information * estimate.effect for estimate in pairs) / total if total else None


def grid_unit(metric: dict[str, Any], test: str) -> float:
    """The effect a grid is centred on: MDE, margin, or for harm what lies between tolerance and margin."""
    if test == "harm":
        return float(metric["margin"] - metric["tolerance"] or metric["margin"])
    return float(metric["margin"] if test == "non_inferiority" else metric["mde"])


def clt_harm(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: harm <= tolerance, by the MDE grid."""
    info = information(reading, strata, metric)
    return evalues.mde_grid(info.a, info.b, metric["tolerance"], grid_unit(metric, "harm"))


def clt_non_inferiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: harm >= margin, by the MDE grid."""
    info = information(reading, strata, metric)
    return evalues.mde_grid(info.a, -info.b, -metric["margin"], grid_unit(metric, "non_inferiority"))


def clt_superiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: benefit <= 0, by the MDE grid."""
    info = information(reading, strata, metric)
    return evalues.mde_grid(info.a, -info.b, 0.0, grid_unit(metric, "superiority"))


def clt_futility(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: benefit >= MDE, by the MDE grid."""
    info = information(reading, strata, metric)
    return evalues.mde_grid(info.a, info.b, -metric["mde"], grid_unit(metric, "futility"))


RECIPROCALS = tuple(1 / r for r in evalues.HARM_RATIOS)


def _events(strata: Sequence[Stratum]) -> list[tuple[int, int, float]]:
    return [(s.control[1], s.treatment[1], s.share) for s in strata]


def rare_harm(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """Any harm: the exact conditional test. Harm above an absolute tolerance: the gated grid on the difference.

    The conditional test knows ratios only, and no ratio bounds a difference; so a tolerance above 0 needs the
    difference itself, which speaks behind its gate.
    """
    if metric["tolerance"] > 0:
        return clt_harm(reading, strata, metric)
    ratios = evalues.HARM_RATIOS if metric["better"] == "lower" else RECIPROCALS
    return evalues.rate_ratio(_events(strata), ratios)


def rare_non_inferiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """The zero-errors rule and the gated grid, averaged; a gated grid counts as e = 1."""
    grid = clt_non_inferiority(reading, strata, metric)
    if metric["better"] != "lower":
        return grid
    n, x = (sum(s.treatment[i] for s in strata) for i in (0, 1))
    return evalues.average([evalues.rare_below_margin(n, x, metric["margin"]), grid])


def rare_superiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """Fewer (or, where higher is better, more) events: the exact conditional test."""
    ratios = RECIPROCALS if metric["better"] == "lower" else evalues.HARM_RATIOS
    return evalues.rate_ratio(_events(strata), ratios)


Test = Callable[[Reading, Sequence[Stratum], dict[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of metric: its two readings and its tests. ``exact`` kinds have no gate."""

    name: str
    about: str
    running: Reading
    closed: Reading
    harm: Test = clt_harm
    non_inferiority: Test = clt_non_inferiority
    superiority: Test = clt_superiority
    futility: Test = clt_futility
    exact: bool = False


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("proportion", "share of units with the event; for shares of 5 % and more", SHARE_OF_REPORTS, BINARY),
        Kind(
            "rare_proportion",
            "share of units with at least one event; for rare events such as errors",
            BINARY,
            BINARY,
            rare_harm,
            rare_non_inferiority,
            rare_superiority,
            exact=True,
        ),
        Kind("mean", "average over units of a number per unit", RATIO, MEAN),
        Kind("ratio", "sum of values over number of reports, over units", RATIO, RATIO),
    )
}


def interval(
    reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any], alpha: float = SHOWN_ALPHA
) -> tuple[float, float] | None:
    """The confidence sequence of the effect, by inverting the additive grid; None behind the gate."""
    info = information(reading, strata, metric)
    if not info.open:
        return None
    low, high = intervals.mde_grid(info.a, info.b * harm_sign(metric), float(metric["mde"]), alpha)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
