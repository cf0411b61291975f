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

from router.events import FIXED_POINT, UNKNOWN_TIME
from router.metric import KINDS, Kind
from router.reading import AGES, Reading
from router.record import FACTS, NEVER, Record, Report


@dataclass(frozen=True, slots=True)
class Plan:
    """How one metric reads a record; made once per run, and again when a limit is frozen.

    Attributes:
        row: the row of its kind; ``running`` and ``closed`` are its readings for this metric.
        fact: index into Record.facts; -1 for other metrics.
        latency: whether it reads the built-in latency.
        reported: whether its values come as outcomes, and are not built in.
        settled: whether its running value is the closed one of what has been reported so far.
        takes: the least and the largest value that can be read, and what they are multiples of, in fixed point.
        freezes: whether its limit is a quantile of control.
        limit: what values are held against, fixed point; None for other kinds, and while it is not frozen.
        since: units that entered before are not held against it, ms.
    """

    index: int
    name: str
    row: Kind
    running: Reading
    closed: Reading
    window_ms: int
    grace_ms: int
    absent_is_zero: bool
    value: str
    fact: int
    latency: bool
    reported: bool
    settled: bool
    takes: tuple[int, int, int]
    sampled: bool
    adjusted: bool
    cap: int | None
    freezes: bool
    limit: int | None
    since: int = NEVER

    @property
    def deadline_ms(self) -> int:
        """From entry to the moment its value is final."""
        return self.window_ms + self.grace_ms

    def accepts(self, value: int, probability: int) -> bool:
        """Whether a reported value can be read: what its kind takes, with a probability where labels are sampled."""
        low, high, step = self.takes
        return low <= value <= high and not value % step and (probability > 0 or not self.sampled)

    def knows(self, record: Record) -> bool:
        """Whether the unit entered after the limit was frozen."""
        return self.limit is not None and record.entry >= self.since


def plans_of(metrics: Sequence[Mapping[str, Any]], constants: Mapping[str, Any] | None = None) -> list[Plan]:
    """The reading plan of each metric of a run's spec, with the constants frozen so far."""
    known = constants or {}
    return [_plan(index, metric, known.get(metric["name"])) for index, metric in enumerate(metrics)]


def _plan(index: int, metric: Mapping[str, Any], frozen: Mapping[str, int] | None) -> Plan:
    facts, row = list(FACTS), KINDS[metric["kind"]]
    fact = facts.index(metric["name"]) if metric["builtin"] and metric["name"] in facts else -1
    latency = metric["builtin"] and metric["name"] == "latency"
    zero = metric["absent"] == "zero"
    return Plan(
        index=index,
        name=metric["name"],
        row=row,
        running=row.reading(metric, "r"),
        closed=row.reading(metric, "c"),
        window_ms=metric["window_ms"],
        grace_ms=metric["grace_ms"],
        absent_is_zero=zero,
        value=metric["value"],
        fact=fact,
        latency=latency,
        reported=fact < 0 and not latency,
        settled=row.settled or (zero and not latency),
        takes=row.takes.bounds(metric),
        sampled=bool(metric.get("sampled")),
        adjusted=row.reading(metric, "c") is row.adjusted,
        cap=metric.get("cap"),
        freezes="quantile" in metric,
        limit=frozen["limit"] if frozen else metric.get("over"),
        since=frozen["since"] if frozen else NEVER,
    )


Value = tuple[int, int]  # fixed-point y, and n: what y is counted over
Closed = tuple[int | None, ...]  # a value as its reading of closed windows takes it


def reports_of(plan: Plan, record: Record) -> list[Report]:
    """The reports of a metric that count: inside the window, about a request at or after entry."""
    if not record.reports:
        return []
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
    if plan.settled:
        return settled_value(plan, record)
    if plan.sampled:
        return _weighted(reports_of(plan, record))
    values = _counted(plan, record)
    if plan.cap is not None:
        values = [_capped(plan, value) for value in values]
    return (sum(values), len(values)) if values else None


def closed_value(plan: Plan, record: Record) -> Closed | None:
    """The value of a unit whose window has closed; None when it has none."""
    if plan.fact >= 0:
        return None if record.done == NEVER else (_fact(plan, record), 1)
    if plan.sampled:
        return _weighted(reports_of(plan, record))
    value = settled_value(plan, record)
    return value if value is None or not plan.adjusted else (*value, record.covariate)


def measured_value(plan: Plan, record: Record) -> int | None:
    """What a unit's reports come to, before it is held against a limit; None without any."""
    values = _counted(plan, record)
    return _aggregate(plan, values) if values else None


def settled_value(plan: Plan, record: Record) -> Value | None:
    """The unit's one value of what has been reported so far."""
    if plan.freezes and not record.known >> plan.index & 1:
        return None
    if plan.row.per == "age":
        return _first_event(plan, record)
    values = _counted(plan, record)
    if not values and not (plan.absent_is_zero and plan.reported):
        return None
    y = _aggregate(plan, values) if values else 0
    if plan.limit is not None:
        y = FIXED_POINT if y > plan.limit else 0
    if plan.row.per == "requests":
        end = record.entry + plan.window_ms
        return y, sum(record.entry <= time < end for time in record.requests or ())
    return y, len(values) if values and plan.row.per == "reports" else 1


def _counted(plan: Plan, record: Record) -> list[int]:
    """Values inside the window, the earliest first; a latency is in milliseconds."""
    if not plan.latency:
        return [report.value for report in reports_of(plan, record)]
    end = record.entry + plan.window_ms
    return [us * (FIXED_POINT // 1000) for time, us in record.latencies if time < end]


def _aggregate(plan: Plan, values: Sequence[int]) -> int:
    value = plan.value
    if value == "any":
        return FIXED_POINT if any(v > 0 for v in values) else 0
    if value == "first":
        return _capped(plan, values[0])
    if value == "last":
        return _capped(plan, values[-1])
    if value == "largest":
        return _capped(plan, max(values))
    total = sum(values)
    return _capped(plan, total if value == "sum" else total // len(values))


def _capped(plan: Plan, value: int) -> int:
    return value if plan.cap is None else max(-plan.cap, min(plan.cap, value))


def _weighted(counted: Sequence[Report]) -> Value | None:
    """Labels that were asked for with a known probability stand for one over it: weighted sums of y and of 1."""
    weights = [FIXED_POINT * FIXED_POINT // report.probability for report in counted if report.probability]
    if not weights:
        return None
    return sum(w * report.value for w, report in zip(weights, counted, strict=True)), sum(weights)


def _first_event(plan: Plan, record: Record) -> Value:
    """Whether the event came, and in which part of the window it first did."""
    times = [report.time for report in reports_of(plan, record) if report.value > 0]
    if not times:
        return 0, 0
    return FIXED_POINT, (times[0] - record.entry) * AGES // plan.window_ms


def _fact(plan: Plan, record: Record) -> int:
    first = record.facts[plan.fact]
    return FIXED_POINT if first != NEVER and first < record.entry + plan.window_ms else 0
