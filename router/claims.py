"""The tests of the kinds: four claims about a metric (harm, non-inferiority, superiority, futility), and intervals.

Three families: ``grid`` by the normal likelihood of an estimate, ``rare`` by units with an event, ``count`` by events per
exposure. Each test is one natural-log e-value for the sums of all strata; the tables in ``router.metric`` pick them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from router.events import FIXED_POINT
from router.reading import COUNTS, Reading, Stratum, harm_sign, information
from stats import claims, counts, evalues, grid, logrank, ordinal, rare, relative
from stats.claims import Claim
from stats.counts import FEWER, MORE, Mixture
from stats.strata import gather

Metric = Mapping[str, Any]
Test = Callable[[Reading, Sequence[Stratum], Metric], float]
Shown = Callable[[Reading, Sequence[Stratum], Metric, float, float], tuple[float, float] | None]
_R = TypeVar("_R")

NO_BOUND = 1e6  # the end of a relative interval that nothing bounds yet


def claim_of(metric: Metric, test: str) -> Claim:
    """What a test of this metric shows: sign, null, and the multiple of control's level."""
    better, share = metric["better"], bool(metric.get("relative"))
    if test == "harm":
        return claims.harm(better, metric["tolerance"], relative=share)
    if test == "non_inferiority":
        return claims.non_inferiority(better, metric["margin"], relative=share)
    if test == "futility":
        return claims.futility(better, metric["mde"], relative=share)
    return claims.superiority(better)


def grid_unit(metric: Metric, test: str) -> float:
    """The effect a grid is centred on: MDE, margin, or for harm what lies between tolerance and margin."""
    if test == "harm":
        between = metric["margin"] - metric["tolerance"]
        return float(between if between > 0 else metric["margin"])
    return float(metric["margin"] if test == "non_inferiority" else metric["mde"])


def by_case(
    case: Callable[[Metric], bool], then: Callable[..., _R], other: Callable[..., _R]
) -> Callable[..., _R]:
    """The one test or the other, by what the file says of the metric."""

    def chosen(reading: Reading, strata: Sequence[Stratum], metric: Metric, *rest: float) -> _R:
        return (then if case(metric) else other)(reading, strata, metric, *rest)

    return chosen


# ---- by the normal likelihood of an estimate ------------------------------------------------------------------------


def _by_grid(test: str) -> Test:
    def log_evalue(reading: Reading, strata: Sequence[Stratum], metric: Metric) -> float:
        claim = claim_of(metric, test)
        found = information(reading, strata, metric, claim.factor)
        return grid.log_evalue(found.a, claim.sign * found.b, claim.null, grid_unit(metric, test))

    return log_evalue


grid_harm = _by_grid("harm")  # H0: harm <= tolerance
grid_non_inferiority = _by_grid("non_inferiority")  # H0: harm >= margin
grid_superiority = _by_grid("superiority")  # H0: benefit <= 0
grid_futility = _by_grid("futility")  # H0: benefit >= MDE


def grid_interval(
    reading: Reading, strata: Sequence[Stratum], metric: Metric, unit: float, alpha: float
) -> tuple[float, float] | None:
    """The confidence sequence of the effect, by inverting the additive grid; None behind the gate."""
    if metric.get("relative"):
        return relative.interval(lambda factor: information(reading, strata, metric, factor), unit, alpha)
    found = information(reading, strata, metric)
    return grid.interval(found.a, found.b, unit, alpha) if found.open else None


# ---- by counts of events per exposure -------------------------------------------------------------------------------


def events(reading: Reading, strata: Sequence[Stratum]) -> list[counts.Stratum]:
    """(events of control, of treatment, the treatment's share of the exposure): requests for a rate, else units."""
    if reading is not COUNTS:
        return [(s.control[1], s.treatment[1], s.share) for s in strata]
    rows = []
    for control, treatment, _ in strata:
        if control[1] and treatment[1]:
            share = treatment[1] / (control[1] + treatment[1])
            rows.append((control[2] // FIXED_POINT, treatment[2] // FIXED_POINT, share))
    return rows


def mixture_of(claim: Claim, test: str) -> Mixture:
    """Ratios on the claim's side of its null: far away to show a change, on the way to no change to exclude one."""
    if test in ("non_inferiority", "futility"):
        return counts.within(claim.factor)
    mixture = MORE if claim.sign > 0 else FEWER
    return Mixture(tuple(claim.factor * ratio for ratio in mixture.ratios), mixture.weights)


def _exactly(reading: Reading, strata: Sequence[Stratum], metric: Metric, test: str) -> float:
    claim = claim_of(metric, test)
    return counts.log_evalue(events(reading, strata), claim.factor, mixture_of(claim, test))


def _by_counts(test: str) -> Test:
    """The exact conditional test of a ratio of rates; of an absolute margin, which no ratio bounds, the gated grid."""
    by_grid = _by_grid(test)

    def log_evalue(reading: Reading, strata: Sequence[Stratum], metric: Metric) -> float:
        if metric.get("relative") or claim_of(metric, test).null == 0:
            return _exactly(reading, strata, metric, test)
        return by_grid(reading, strata, metric)

    return log_evalue


def _by_both(test: str) -> Test:
    """What the conditional test and the gated grid both show of events per request.

    The first holds for few events, but takes them for Poisson at one rate: a rate that moves while heavy units shift the
    arms' shares of requests, or bursts from one unit, mislead it. The second takes its variance over units, but wants many.
    """
    by_counts, by_grid = _by_counts(test), _by_grid(test)

    def log_evalue(reading: Reading, strata: Sequence[Stratum], metric: Metric) -> float:
        return min(by_counts(reading, strata, metric), by_grid(reading, strata, metric))

    return log_evalue


count_harm = _by_counts("harm")
count_non_inferiority = _by_counts("non_inferiority")
count_superiority = _by_counts("superiority")
count_futility = _by_counts("futility")
rate_harm = _by_both("harm")
rate_non_inferiority = _by_both("non_inferiority")
rate_superiority = _by_both("superiority")
rate_futility = _by_both("futility")


def count_interval(
    reading: Reading, strata: Sequence[Stratum], metric: Metric, unit: float, alpha: float
) -> tuple[float, float] | None:
    """Of relative differences the exact interval of the ratio of rates, less 1; of absolute ones the grid's."""
    if not metric.get("relative"):
        return grid_interval(reading, strata, metric, unit, alpha)
    rows = events(reading, strata)
    if not rows or not any(x0 + x1 for x0, x1, _ in rows):
        return None
    low, high = counts.interval(rows, alpha)
    return low - 1, NO_BOUND if high is None else high - 1


def rate_interval(
    reading: Reading, strata: Sequence[Stratum], metric: Metric, unit: float, alpha: float
) -> tuple[float, float] | None:
    """What either test leaves standing; None behind the gate."""
    by_grid = grid_interval(reading, strata, metric, unit, alpha)
    by_counts = count_interval(reading, strata, metric, unit, alpha)
    if by_grid is None or by_counts is None:
        return None
    return min(by_grid[0], by_counts[0]), max(by_grid[1], by_counts[1])


# ---- by units with at least one event, where events are rare -------------------------------------------------------


rare_harm = count_harm
rare_superiority = count_superiority


def arm_counts(strata: Sequence[Stratum], arm: int) -> tuple[int, int]:
    """The first two sums of one arm over all strata: units and, of a rare kind, those with an event."""
    sums = [stratum.arms[arm] for stratum in strata]
    return sum(row[0] for row in sums), sum(row[1] for row in sums)


def _rare_below(test: str, worse: Callable[[Metric], int], margin: str) -> Test:
    """One arm's rate exceeds the other's by less than a margin: the zero-errors rule on that arm, and the grid.

    The average of both; a gated grid counts as e = 1. The rule reads the arm whose rate would have to be at least the
    margin. A relative margin needs events: the exact conditional test.
    """
    by_grid = _by_grid(test)

    def log_evalue(reading: Reading, strata: Sequence[Stratum], metric: Metric) -> float:
        if metric.get("relative"):
            return _exactly(reading, strata, metric, test)
        difference = by_grid(reading, strata, metric)
        if metric[margin] >= 1:
            return difference
        n, x = arm_counts(strata, worse(metric))
        return evalues.average([rare.log_evalue(n, x, metric[margin]), difference])

    return log_evalue


rare_non_inferiority = _rare_below("non_inferiority", lambda m: 1 if m["better"] == "lower" else 0, "margin")
rare_futility = _rare_below("futility", lambda m: 0 if m["better"] == "lower" else 1, "mde")


def rare_interval(
    reading: Reading, strata: Sequence[Stratum], metric: Metric, unit: float, alpha: float
) -> tuple[float, float] | None:
    """The confidence sequence of a difference of rare shares; it needs no gate.

    The edge of benefit inverts the non-inferiority test. The edge of harm inverts the same function with the arms
    exchanged, at half its alpha; the other half goes to the exact conditional test, which when it rejects "no more
    events" lifts that edge to 0.
    """
    if not strata:
        return None
    if metric.get("relative"):
        return count_interval(reading, strata, metric, unit, alpha)
    found, sign = information(reading, strata, metric), harm_sign(metric)
    worse, other = (1, 0) if sign > 0 else (0, 1)
    more = sign * found.b
    most = rare.excess_bound(*arm_counts(strata, worse), found.a, more, unit, alpha / 2)
    least = -rare.excess_bound(*arm_counts(strata, other), found.a, -more, unit, alpha / 4)
    mixture = MORE if sign > 0 else FEWER
    if least < 0 <= most and counts.log_evalue(events(reading, strata), 1.0, mixture) >= math.log(4 / alpha):
        least = 0.0
    return (least, most) if sign > 0 else (-most, -least)


# ---- by the age of first events, and the order of ratings ----------------------------------------------------------


def is_log_rank(metric: Metric) -> bool:
    """Whether ages of first events are compared, once windows have closed."""
    return metric.get("test") == "log_rank"


def is_converters(metric: Metric) -> bool:
    """Whether first events are counted as they come, whatever their age."""
    return not is_log_rank(metric)


def _ages(strata: Sequence[Stratum]) -> list[logrank.Age]:
    """First events by part of the window; all units are followed through the whole window."""
    rows = []
    for control, treatment, _ in strata:
        risk0, risk1 = control[0], treatment[0]
        for events0, events1 in zip(control[2:], treatment[2:], strict=True):
            if events0 or events1:
                rows.append(logrank.Age(risk0, risk1, events0, events1))
            risk0, risk1 = risk0 - events0, risk1 - events1
    return rows


def _by_log_rank(test: str) -> Test:
    def log_evalue(reading: Reading, strata: Sequence[Stratum], metric: Metric) -> float:
        claim = claim_of(metric, test)
        return logrank.log_evalue(_ages(strata), claim.factor, mixture_of(claim, test))

    return log_evalue


log_rank_non_inferiority = _by_log_rank("non_inferiority")
log_rank_superiority = _by_log_rank("superiority")
log_rank_futility = _by_log_rank("futility")


def win_probability(strata: Sequence[Stratum], metric: Metric) -> dict[str, Any]:
    """The chance that a treatment unit rates higher than a control unit, ties half, over strata; to show."""
    scale = metric.get("scale") or len(strata[0].control) - 1 if strata else 2
    wins = [ordinal.win_probability(s.control[1 : scale + 1], s.treatment[1 : scale + 1]) for s in strata]
    found = gather(estimate._replace(missing="") for estimate in wins if estimate.se is not None)
    if not found.open:
        return {"win_probability": None}
    return {"win_probability": 0.5 + found.b / found.a, "win_probability_se": found.a**-0.5}
