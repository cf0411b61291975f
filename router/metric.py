"""Metric kinds: how the sums of two arms are compared, and by which tests.

One row of KINDS owns everything about a kind: its two readings, its interval and its four tests. Harm reads *running*
sums (windows still open count); promotion reads *closed* ones. The file's ``kind`` picks the row, never the data.

To add a kind: one row, its cases in tests/router/test_metric.py, its line in config/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.reading import BINARY, MEAN, RATIO, SHARE_OF_REPORTS, Reading, Stratum, harm_sign, information
from stats import counts, evalues, grid, rare

CONTINUOUS_UNITS = 1000  # per arm over all strata before a continuous metric may promote


def grid_unit(metric: dict[str, Any], test: str) -> float:
    """The effect a grid is centred on: MDE, margin, or for harm what lies between tolerance and margin."""
    if test == "harm":
        between = metric["margin"] - metric["tolerance"]
        return float(between if between > 0 else metric["margin"])
    return float(metric["margin"] if test == "non_inferiority" else metric["mde"])


def clt_harm(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: harm <= tolerance, by the MDE grid."""
    info = information(reading, strata, metric)
    return grid.log_evalue(info.a, info.b, metric["tolerance"], grid_unit(metric, "harm"))


def clt_non_inferiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: harm >= margin, by the MDE grid."""
    info = information(reading, strata, metric)
    return grid.log_evalue(info.a, -info.b, -metric["margin"], grid_unit(metric, "non_inferiority"))


def clt_superiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: benefit <= 0, by the MDE grid."""
    info = information(reading, strata, metric)
    return grid.log_evalue(info.a, -info.b, 0.0, grid_unit(metric, "superiority"))


def clt_futility(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: benefit >= MDE, by the MDE grid."""
    info = information(reading, strata, metric)
    return grid.log_evalue(info.a, info.b, -metric["mde"], grid_unit(metric, "futility"))


def _events(strata: Sequence[Stratum]) -> list[tuple[int, int, float]]:
    return [(s.control[1], s.treatment[1], s.share) for s in strata]


def rare_harm(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """Any harm: the exact conditional test. Harm above an absolute tolerance: the gated grid on the difference.

    The conditional test knows ratios only, and no ratio bounds a difference; so a tolerance above 0 needs the
    difference itself, which speaks behind its gate.
    """
    if metric["tolerance"] > 0:
        return clt_harm(reading, strata, metric)
    mixture = counts.MORE if metric["better"] == "lower" else counts.FEWER
    return counts.log_evalue(_events(strata), 1.0, mixture)


def _counts(strata: Sequence[Stratum], arm: int) -> tuple[int, int]:
    sums = [stratum.arms[arm] for stratum in strata]
    return sum(row[0] for row in sums), sum(row[1] for row in sums)


def _shown_below(strata: Sequence[Stratum], arm: int, margin: float, difference: float) -> float:
    """One arm's rate exceeds the other's by less than ``margin``: the zero-errors rule on that arm, and the grid."""
    if margin >= 1:
        return difference
    n, x = _counts(strata, arm)
    return evalues.average([rare.log_evalue(n, x, margin), difference])


def rare_non_inferiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """The zero-errors rule and the gated grid, averaged; a gated grid counts as e = 1.

    The rule reads the arm whose rate would have to be at least the margin: the treatment where lower is better, the
    control where higher is.
    """
    arm = 1 if metric["better"] == "lower" else 0
    return _shown_below(strata, arm, metric["margin"], clt_non_inferiority(reading, strata, metric))


def rare_futility(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """H0: benefit >= MDE, as non-inferiority with the arms exchanged."""
    arm = 0 if metric["better"] == "lower" else 1
    return _shown_below(strata, arm, metric["mde"], clt_futility(reading, strata, metric))


def rare_superiority(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> float:
    """Fewer (or, where higher is better, more) events: the exact conditional test."""
    mixture = counts.FEWER if metric["better"] == "lower" else counts.MORE
    return counts.log_evalue(_events(strata), 1.0, mixture)


def clt_interval(
    reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any], unit: float, alpha: float
) -> tuple[float, float] | None:
    """The confidence sequence of the effect, by inverting the additive grid; None behind the gate."""
    info = information(reading, strata, metric)
    if not info.open:
        return None
    return grid.interval(info.a, info.b * harm_sign(metric), unit, alpha)


def rare_interval(
    reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any], unit: float, alpha: float
) -> tuple[float, float] | None:
    """The confidence sequence of a difference of rare shares; it needs no gate.

    The edge of benefit inverts the non-inferiority test. The edge of harm inverts the same function with the arms
    exchanged, at half its alpha; the other half goes to the exact conditional test, which when it rejects "no more
    events" lifts that edge to 0.
    """
    if not strata:
        return None
    info, sign = information(reading, strata, metric), harm_sign(metric)
    worse, other = (1, 0) if sign > 0 else (0, 1)
    most = rare.excess_bound(*_counts(strata, worse), info.a, info.b, unit, alpha / 2)
    least = -rare.excess_bound(*_counts(strata, other), info.a, -info.b, unit, alpha / 4)
    mixture = counts.MORE if sign > 0 else counts.FEWER
    if least < 0 <= most and counts.log_evalue(_events(strata), 1.0, mixture) >= math.log(4 / alpha):
        least = 0.0
    return (least, most) if sign > 0 else (-most, -least)


Test = Callable[[Reading, Sequence[Stratum], dict[str, Any]], float]
Shown = Callable[[Reading, Sequence[Stratum], dict[str, Any], float, float], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of metric: its two readings, its tests and its interval.

    ``exact`` kinds speak without a gate; ``units`` of each arm with a closed window must be there before a promotion.
    """

    name: str
    about: str
    running: Reading
    closed: Reading
    harm: Test = clt_harm
    non_inferiority: Test = clt_non_inferiority
    superiority: Test = clt_superiority
    futility: Test = clt_futility
    interval: Shown = clt_interval
    exact: bool = False
    units: int = 0

    def promoting(self, strata: Sequence[Stratum], metric: dict[str, Any]) -> dict[str, float]:
        """The tests that may promote, on closed windows; all 0 while an arm has fewer units than promotion asks."""
        if self.units_missing(strata):
            return dict.fromkeys(("non_inferiority", "superiority", "futility"), 0.0)
        return {
            "non_inferiority": self.non_inferiority(self.closed, strata, metric),
            "superiority": self.superiority(self.closed, strata, metric),
            "futility": self.futility(self.closed, strata, metric),
        }

    def units_missing(self, strata: Sequence[Stratum]) -> str:
        """What a promotion still waits for, in words."""
        least = min(_counts(strata, arm)[0] for arm in (0, 1))
        return (
            f"{self.units} units with a closed window in each arm (now {least})" if least < self.units else ""
        )


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "proportion",
            "share of units with the event; for shares of 5 % and more",
            SHARE_OF_REPORTS,
            BINARY,
        ),
        Kind(
            "rare_proportion",
            "share of units with at least one event; for rare events such as errors",
            BINARY,
            BINARY,
            rare_harm,
            rare_non_inferiority,
            rare_superiority,
            rare_futility,
            rare_interval,
            exact=True,
        ),
        Kind("mean", "average over units of a number per unit", RATIO, MEAN, units=CONTINUOUS_UNITS),
        Kind(
            "ratio", "sum of values over number of reports, over units", RATIO, RATIO, units=CONTINUOUS_UNITS
        ),
    )
}
