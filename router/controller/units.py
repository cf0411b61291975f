"""Units: their records as events arrive, and their part of the sums as it changes.

A record changes only here. Each change books the difference of its values before and after, so the sums are those of
the records at any moment, whatever the order of events was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from router.attribution import Closed, Plan, closed_value, measured_value, plans_of, running_value
from router.bucketing import PPM
from router.controller.booking import Booking
from router.event_rows import ARM_MASK, BUCKET_BITS, BUCKET_MASK, EXPOSURE, FACTS_SHIFT, NO_COVARIATE, OUTCOME
from router.record import CLOSED, DROPPED, FACTS, NEVER, OPEN, Record, Report, left_lane
from router.store.ledger import Batch

FACT_BITS = tuple(FACTS.values())
ANY_FACT = sum(FACT_BITS)
Traits = tuple[int, int]  # covariate in fixed point and number of the segment
Values = list[Closed | None]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def record_of(row: bytes | None) -> Record:
    """A record as the store keeps it; a new one for a unit never seen."""
    return Record() if row is None else _decoder.decode(row)


class Units:
    """The units that one batch touches.

    Attributes:
        plans: how each metric reads a record.
        records: of all units that the batch touches, by digest.
        batch: what the next commit writes.
    """

    def __init__(self, run: Mapping[str, Any], booking: Booking) -> None:
        self.records: dict[int, Record] = {}
        self.batch = Batch()
        self._booking = booking
        self._metrics = run["spec"]["metrics"]
        self._lanes = [(lane["start"], lane["share"]) for lane in reversed(run["spec"]["lanes"])]
        self.learn(run)
        self._longest_window = max(plan.window_ms for plan in self.plans)
        self._reads_latency = any(plan.latency for plan in self.plans)
        self._reads_requests = any(plan.row.per == "requests" for plan in self.plans)

    def learn(self, run: Mapping[str, Any]) -> None:
        """What a run decides or is told while it lives: its coverage and frozen constants."""
        self.plans = plans_of(self._metrics, run.get("constants"))
        self._coverage: Sequence[Sequence[int]] = run["coverage"]
        # Whether a unit's place among the sums depends on more than its arm.
        self._places = self._booking.stratified or any(plan.freezes for plan in self.plans)

    def request(self, unit: int, time: int, where: int, latency: int, traits: Traits) -> None:
        """A row of a request: an exposure, the end of a request, or both."""
        record = self.records[unit]
        facts = where >> FACTS_SHIFT
        arm = (where >> BUCKET_BITS) & ARM_MASK
        if record.state != OPEN:
            return
        exposed = facts & EXPOSURE
        enters = exposed and (
            record.entry == NEVER
            or time < record.entry
            or arm != record.arm
            or (time == record.entry and traits > _traits(record))
        )
        finishes = facts & OUTCOME and (record.done == NEVER or facts & ANY_FACT or self._reads_latency)
        asks = exposed and self._reads_requests
        if not enters and not finishes and not asks:
            return
        before = self._values(record)
        if enters:
            self._enter(unit, record, arm, where & BUCKET_MASK, time, traits)
        if asks:
            if record.requests is None:
                record.requests = []
            record.requests.append(time)
        if facts & OUTCOME:
            self._finish(record, time + latency // 1000, facts, latency)
        self._moved(unit, record, before)

    def _enter(self, unit: int, record: Record, arm: int, bucket: int, time: int, traits: Traits) -> None:
        if record.entry != NEVER and arm != record.arm:
            # Two arms in one epoch: dropped in both whichever came first, so that the order of events does not matter.
            record.state = DROPPED
            self._booking.count(record.stratum, arm, "", "x", 1)
            self.batch.due[unit] = None
            return
        record.arm, record.bucket, record.entry = arm, bucket, time
        covariate, record.segment = traits
        record.covariate = None if covariate == NO_COVARIATE else covariate
        self.batch.due[unit] = self._next_due(record)

    def _finish(self, record: Record, end: int, facts: int, latency: int) -> None:
        if record.done == NEVER or end < record.done:
            record.done = end
        for i, bit in enumerate(FACT_BITS):
            if facts & bit and (record.facts[i] == NEVER or end < record.facts[i]):
                record.facts[i] = end
        if self._reads_latency:
            record.latencies.append((end, latency))

    def report(self, unit: int, report: Report, until: int) -> str:
        """An outcome; answers what it is counted as beside: ``late``, ``duplicate``, or nothing."""
        record = self.records[unit]
        if record.state != OPEN or record.closed >> report.metric & 1:
            return "late"
        before, counted = self._values(record), ""
        for kept in record.reports:
            if (kept.key, kept.metric) == (report.key, report.metric):
                counted = "duplicate"
                if kept.comes_before(report):
                    return counted
                record.reports.remove(kept)
                break
        record.reports.append(report)
        if record.entry == NEVER:
            record.waits_until = max(record.waits_until, until)
            self.batch.due[unit] = record.waits_until + 1
        self._moved(unit, record, before)
        return counted

    def _next_due(self, record: Record) -> int | None:
        open_plans = [plan.deadline_ms for plan in self.plans if not record.closed >> plan.index & 1]
        return record.entry + min(open_plans) if open_plans else None

    def _values(self, record: Record) -> Values | None:
        """Running values of an analysed unit, as they are booked; None for one that is not analysed."""
        if record.entry == NEVER or record.state == DROPPED:
            return None
        return [running_value(plan, record) for plan in self.plans]

    def _place(self, record: Record) -> None:
        """Where its values belong by all that is known now; what was booked elsewhere leaves there."""
        record.stratum = self._booking.stratum_of(record)
        for plan in self.plans:
            if plan.freezes:
                bit = 1 << plan.index
                record.known = record.known | bit if plan.knows(record) else record.known & ~bit

    def _moved(self, unit: int, record: Record, before: Values | None) -> None:
        """Book a changed record: its new values enter, its old ones leave."""
        booking, old_stratum = self._booking, record.stratum
        if self._places and record.entry != NEVER and record.state != DROPPED:
            self._place(record)
        after = self._values(record)
        stratum = record.stratum
        self.batch.units[unit] = _encoder.encode(record)
        if after is None and before is not None:
            booking.count(old_stratum, record.arm, "", "x", 1)
        elsewhere = stratum != old_stratum
        if before is not None and (after is None or elsewhere):
            booking.count(old_stratum, record.arm, "", "u", -1)
        if after is not None and (before is None or elsewhere):
            booking.count(stratum, record.arm, "", "u", 1)
        for plan in self.plans:
            old = before[plan.index] if before is not None else None
            new = after[plan.index] if after is not None else None
            if (old != new or elsewhere) and not record.closed >> plan.index & 1:
                booking.value(old_stratum, record.arm, plan, "r", old, -1)
                booking.value(stratum, record.arm, plan, "r", new, 1)

    def close(self, unit: int, watermark: int) -> int:
        """Close what is due of a unit: the watermark has passed, so no order of events can change it any more.

        Returns:
            Outcomes that never found their exposure.
        """
        record = self.records[unit]
        if record.entry == NEVER:
            orphans, record.reports = len(record.reports), []
            self.batch.due[unit] = None
            self.batch.units[unit] = _encoder.encode(record)
            return orphans
        if self.batch.due.get(unit, 0) is not None and record.state == OPEN:
            self._close_unit(unit, record, watermark)
        return 0

    def _close_unit(self, unit: int, record: Record, watermark: int) -> None:
        start, share = self._lanes[record.arm]
        end = record.entry + self._longest_window
        if left_lane(record, self._coverage, start, share, end, PPM):
            before = self._values(record)
            record.state = DROPPED
            self.batch.due[unit] = None
            self._moved(unit, record, before)
            return
        if self._places:
            self._moved(unit, record, self._values(record))
        booking = self._booking
        for plan in self.plans:
            if record.closed >> plan.index & 1 or record.entry + plan.deadline_ms >= watermark:
                continue
            booking.value(record.stratum, record.arm, plan, "c", closed_value(plan, record), 1)
            if plan.row.quantiles and (measured := measured_value(plan, record)) is not None:
                booking.bucket(record.stratum, record.arm, plan, measured)
            if plan.reported:
                self._close_reports(plan, record)
            record.closed |= 1 << plan.index
        due = self._next_due(record)
        if due is None:
            record.state = CLOSED
            record.reports, record.latencies, record.requests = [], [], None
            booking.count(record.stratum, record.arm, "", "c", 1)
        self.batch.due[unit] = due
        self.batch.units[unit] = _encoder.encode(record)

    def _close_reports(self, plan: Plan, record: Record) -> None:
        count, place = self._booking.count, (record.stratum, record.arm, plan.name)
        count(*place, "m", 1)
        if any(report.metric == plan.index for report in record.reports):
            count(*place, "p", 1)
            count(*place, "e", 1)


def _traits(record: Record) -> Traits:
    return (NO_COVARIATE if record.covariate is None else record.covariate), record.segment
