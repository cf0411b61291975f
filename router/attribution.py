"""Attribution: which outcomes count for which unit, and the one value a unit has per metric.

A unit's record keeps what is undecided; its values are functions of the record alone, so any order and any repetition
of the same events give the same bits until the watermark has passed. A unit is analysed from its first exposure
(its entry) in the arm of that exposure; one that is seen in two arms, or leaves its lane while its window is open, is
dropped in both arms alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from router.events import ERROR, FIXED_POINT, REFUSED, SLOW, UNKNOWN_TIME

NEVER = -1
OPEN, CLOSED, DROPPED = 0, 1, 2
# The built-in facts of a request, and the bit that carries them.
FACTS = {"errors": ERROR, "slow": SLOW, "refused": REFUSED}


class Report(msgspec.Struct, array_like=True):
    """One undecided outcome: metric index, fixed-point value, its time, the time asked about, its key."""

    metric: int
    value: int
    time: int
    asked: int
    key: int


class Record(msgspec.Struct, array_like=True):
    """All that is kept of one unit.

    Attributes:
        arm: index of its arm; -1 before its first exposure is seen.
        entry: time of its first exposure, ms; -1 before.
        state: open, closed or dropped.
        done: end of its first finished request; -1 while none has.
        facts: end of its first request with each built-in fact, in the order of FACTS; -1 for none.
        closed: bit i is set when metric i is closed.
        latencies: (end, microseconds) of finished requests; kept only where a metric reads them.
        reports: undecided outcomes.
        waits_until: an outcome without exposure is kept until the watermark has passed this.
    """

    arm: int = -1
    bucket: int = 0
    entry: int = NEVER
    state: int = OPEN
    done: int = NEVER
    facts: list[int] = msgspec.field(default_factory=lambda: [NEVER] * len(FACTS))
    closed: int = 0
    latencies: list[tuple[int, int]] = msgspec.field(default_factory=list)
    reports: list[Report] = msgspec.field(default_factory=list)
    waits_until: int = NEVER


@dataclass(frozen=True, slots=True)
class Plan:
    """How one metric reads a record; made once per run."""

    index: int
    name: str
    kind: str
    window_ms: int
    grace_ms: int
    absent_is_zero: bool
    value: str
    fact: int  # index into Record.facts; -1 for other metrics
    latency: bool

    @property
    def deadline_ms(self) -> int:
        """From entry to the moment its value is final."""
        return self.window_ms + self.grace_ms


def plans_of(metrics: Sequence[Mapping[str, Any]]) -> list[Plan]:
    """The reading plan of each metric of a run's spec."""
    facts = list(FACTS)
    return [
        Plan(
            index=i,
            name=metric["name"],
            kind=metric["kind"],
            window_ms=metric["window_ms"],
            grace_ms=metric["grace_ms"],
            absent_is_zero=metric["absent"] == "zero",
            value=metric["value"],
            fact=facts.index(metric["name"]) if metric["builtin"] and metric["name"] in facts else -1,
            latency=metric["builtin"] and metric["name"] == "latency",
        )
        for i, metric in enumerate(metrics)
    ]


Value = tuple[int, int]  # fixed-point y, and n: reports or requests it stands for


def reports_of(plan: Plan, record: Record) -> list[Report]:
    """The reports of a metric that count: inside the window, about a request at or after entry."""
    end = record.entry + plan.window_ms
    counted = [
        report
        for report in record.reports
        if report.metric == plan.index
        and record.entry <= report.time < end
        and (report.asked == UNKNOWN_TIME or report.asked >= record.entry)
    ]
    counted.sort(key=lambda report: (report.time, report.key))
    return counted


def running_value(plan: Plan, record: Record) -> Value | None:
    """The value so far of a unit whose window may still be open; None when it has none."""
    if record.entry == NEVER:
        return None
    if plan.fact >= 0:
        return _fact(plan, record), 1
    if plan.latency:
        return _latency(plan, record)
    counted = reports_of(plan, record)
    if not counted:
        return (0, 1) if plan.absent_is_zero else None
    if plan.absent_is_zero or plan.kind == "rare_proportion":
        return closed_value(plan, record)
    return sum(report.value for report in counted), len(counted)


def closed_value(plan: Plan, record: Record) -> Value | None:
    """The value of a unit whose window has closed; None when it has none."""
    if plan.fact >= 0:
        return None if record.done == NEVER else (_fact(plan, record), 1)
    if plan.latency:
        value = _latency(plan, record)
        return value if value is None or plan.kind == "ratio" else (value[0] // value[1], 1)
    counted = reports_of(plan, record)
    if not counted:
        return (0, 1) if plan.absent_is_zero else None
    return _aggregate(plan.value, [report.value for report in counted]), _weight(plan, counted)


def _weight(plan: Plan, counted: Sequence[Report]) -> int:
    return len(counted) if plan.kind == "ratio" else 1


def _aggregate(value: str, values: Sequence[int]) -> int:
    if value == "any":
        return FIXED_POINT if any(v > 0 for v in values) else 0
    if value == "first":
        return values[0]
    if value == "last":
        return values[-1]
    if value == "largest":
        return max(values)
    total = sum(values)
    return total if value == "sum" else total // len(values)


def _fact(plan: Plan, record: Record) -> int:
    first = record.facts[plan.fact]
    return FIXED_POINT if first != NEVER and first < record.entry + plan.window_ms else 0


def _latency(plan: Plan, record: Record) -> Value | None:
    end = record.entry + plan.window_ms
    counted = [us for time, us in record.latencies if time < end]
    # A latency is in milliseconds: 1,000 microseconds are one unit of the metric.
    return (sum(counted) * FIXED_POINT // 1000, len(counted)) if counted else None


def left_lane(
    record: Record, history: Sequence[Sequence[int]], start: int, share: int, until: int, ppm: int
) -> bool:
    """Whether the lane drew back from the unit's bucket between its entry and ``until``.

    Args:
        record: the unit.
        history: (time, revision, coverage) of the epoch, in order.
        start: left edge of its lane.
        share: width of its lane.
        until: end of its longest window, ms.
        ppm: what coverage is counted in.
    """
    offset = record.bucket - start
    return any(
        record.entry < time < until and share * coverage // ppm <= offset for time, _, coverage in history
    )
