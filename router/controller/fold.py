"""The fold: packed entries after the cursor become unit records and whole-number sums, exactly once.

A batch is read, applied to the records it touches, and committed with its cursor by one script. Nothing is kept
between batches but what the store holds, so a crash at any instruction repeats or skips a whole batch, never a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from router.attribution import (
    CLOSED,
    DROPPED,
    FACTS,
    NEVER,
    OPEN,
    Plan,
    Record,
    Report,
    closed_value,
    left_lane,
    plans_of,
    running_value,
)
from router.bucketing import PPM
from router.controller.writers import Writers
from router.errors import Problem, SpecError
from router.events import (
    ARM_MASK,
    BUCKET_BITS,
    BUCKET_MASK,
    EXPOSURE,
    FACTS_SHIFT,
    OUTCOME,
    Entry,
    decode,
)
from router.metric import KINDS
from router.store.ledger import Batch, Ledger

ENTRIES_PER_BATCH = 16
ROWS_PER_BATCH = 4000
CLOSE_PER_BATCH = 2000
FACT_BITS = tuple(FACTS.values())
ANY_FACT = sum(FACT_BITS)

_record_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(Record)


class FoldState(msgspec.Struct):
    """What the fold itself remembers, committed with each batch."""

    writers: Writers = msgspec.field(default_factory=Writers)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    reports: dict[str, list[int]] = msgspec.field(
        default_factory=dict
    )  # metric -> count, first, last arrival


_state_encoder = msgspec.msgpack.Encoder()
_state_decoder = msgspec.msgpack.Decoder(FoldState)


class Fold:
    """The fold of one (run, partition) for as long as this process leads."""

    def __init__(self, ledger: Ledger, run: Mapping[str, Any], token: int) -> None:
        self.ledger = ledger
        self.token = token
        ledger.stamp(token)
        book = ledger.load()
        self.cursor = book.cursor
        self.moments = book.moments
        self.state = _state_decoder.decode(book.state) if book.state else FoldState()
        self.plans = plans_of(run["spec"]["metrics"])
        self.lanes = [(lane["start"], lane["share"]) for lane in reversed(run["spec"]["lanes"])]
        self.longest_window = max(plan.window_ms for plan in self.plans)
        self.coverage: list[list[int]] = run["coverage"]
        self._by_name = {plan.name: plan for plan in self.plans}
        self._reads_latency = any(plan.latency for plan in self.plans)
        self._names: dict[tuple[str, int, int, str], tuple[str, ...]] = {}
        self._stratum = str(run["epoch"])
        self._batch = Batch()
        self._records: dict[int, Record] = {}
        self.unread_since: int | None = None

    def advance(self, now: int, silence_ms: int, gap_wait_ms: int) -> int:
        """Fold one batch and close the units whose time has come; returns the entries folded."""
        rows = self.ledger.read(self.cursor, ENTRIES_PER_BATCH)
        entries = self._decoded(rows)
        self._begin(entries)
        cursor = self.cursor
        for entry_id, entry in entries:
            cursor = entry_id
            if entry is not None:
                self._apply(entry, arrival=int(entry_id.split(b"-")[0]))
        drained = len(entries) == len(rows) < ENTRIES_PER_BATCH
        watermark = self.state.writers.advance(now, silence_ms, gap_wait_ms) if drained else 0
        due = self.ledger.due(watermark, CLOSE_PER_BATCH) if drained else []
        if due:
            self._close(due, watermark)
        if rows or due:
            self._commit(cursor)
        self.unread_since = None if drained else int(cursor.split(b"-")[0])
        return len(entries) + len(due)

    def _decoded(self, rows: list[tuple[bytes, Mapping[bytes, bytes]]]) -> list[tuple[bytes, Entry | None]]:
        """Entries up to a bound of rows; what cannot be read goes to the dead letters with its reason."""
        entries: list[tuple[bytes, Entry | None]] = []
        size = 0
        for entry_id, fields in rows:
            try:
                entry = decode(fields)
                self._check_arms(entry)
            except SpecError as problem:
                self.ledger.dead_letter(entry_id, fields, str(problem))
                self._count("dead_letter")
                entries.append((entry_id, None))
                continue
            entries.append((entry_id, entry))
            size += len(entry.requests) + len(entry.outcomes)
            if size >= ROWS_PER_BATCH:
                break
        return entries

    def _check_arms(self, entry: Entry) -> None:
        arms = {where >> BUCKET_BITS & ARM_MASK for where in entry.requests.where}
        if arms and max(arms) >= len(self.lanes):
            raise SpecError([Problem("entry.rw", f"arms below {len(self.lanes)}", str(max(arms)))])

    def _begin(self, entries: list[tuple[bytes, Entry | None]]) -> None:
        self._batch = Batch()
        units: set[int] = set()
        for _, entry in entries:
            if entry is not None:
                units.update(entry.requests.unit)
                units.update(entry.outcomes.unit)
        self._records = self._load(units)

    def _load(self, units: set[int]) -> dict[int, Record]:
        wanted = list(units)
        found = self.ledger.units(wanted)
        return {
            unit: _record_decoder.decode(row) if row is not None else Record()
            for unit, row in zip(wanted, found, strict=True)
        }

    def _count(self, name: str, by: int = 1) -> None:
        self.state.counts[name] = self.state.counts.get(name, 0) + by

    def _apply(self, entry: Entry, arrival: int) -> None:
        if not self.state.writers.arrived(entry.writer, entry.seq, entry.until, arrival):
            self._count("repeated_entries")
            return
        for arm, dropped in enumerate(entry.dropped):
            if dropped:
                self._count(f"dropped|{arm}", dropped)
        rows = entry.requests
        base = entry.base
        sent = [0, 0]
        for unit, time, where, latency in zip(rows.unit, rows.time, rows.where, rows.latency, strict=True):
            sent[(where >> BUCKET_BITS) & ARM_MASK != 0] += 1
            self._request(unit, base + time, where, latency)
        for arm in (0, 1):
            if sent[arm]:
                self._count(f"sent|{arm}", sent[arm])
        self._outcomes(entry, arrival)

    def _request(self, unit: int, time: int, where: int, latency: int) -> None:
        record = self._records[unit]
        facts = where >> FACTS_SHIFT
        arm = (where >> BUCKET_BITS) & ARM_MASK
        if record.state != OPEN:
            return
        enters = facts & EXPOSURE and (record.entry == NEVER or time < record.entry or arm != record.arm)
        finishes = facts & OUTCOME and (record.done == NEVER or facts & ANY_FACT or self._reads_latency)
        if not enters and not finishes:
            return
        before = self._values(record)
        if enters:
            self._enter(unit, record, arm, where & BUCKET_MASK, time)
        if facts & OUTCOME:
            self._finish(record, time + latency // 1000, facts, latency)
        self._moved(unit, record, before)

    def _enter(self, unit: int, record: Record, arm: int, bucket: int, time: int) -> None:
        if record.entry != NEVER and arm != record.arm:
            # Two arms in one epoch: dropped in both whichever came first, so that the order of events does not matter.
            record.state = DROPPED
            self._add(arm, "", "x", 1)
            self._batch.due[unit] = None
            return
        record.arm, record.bucket, record.entry = arm, bucket, time
        self._batch.due[unit] = self._next_due(record)

    def _finish(self, record: Record, end: int, facts: int, latency: int) -> None:
        if record.done == NEVER or end < record.done:
            record.done = end
        for i, bit in enumerate(FACT_BITS):
            if facts & bit and (record.facts[i] == NEVER or end < record.facts[i]):
                record.facts[i] = end
        if self._reads_latency:
            record.latencies.append((end, latency))

    def _outcomes(self, entry: Entry, arrival: int) -> None:
        rows = entry.outcomes
        plans = [self._by_name.get(name) for name in entry.names]
        for row in zip(
            rows.unit, rows.metric, rows.value, rows.time, rows.asked, rows.key, rows.arm, strict=True
        ):
            unit, metric, value, time, asked, key, arm = row
            plan = plans[metric]
            if plan is None:
                self._count("unknown_metric")
                continue
            self._count(f"outcomes|{'unknown' if arm < 0 else min(arm, 1)}")
            self._reported(plan.name, arrival)
            self._report(unit, Report(plan.index, value, time, asked, key), entry.until)

    def _reported(self, name: str, arrival: int) -> None:
        seen = self.state.reports.setdefault(name, [0, arrival, arrival])
        seen[0] += 1
        seen[2] = max(seen[2], arrival)

    def _report(self, unit: int, report: Report, until: int) -> None:
        record = self._records[unit]
        if record.state != OPEN or record.closed >> report.metric & 1:
            self._count("late")
            return
        before = self._values(record)
        for kept in record.reports:
            if (kept.key, kept.metric) == (report.key, report.metric):
                self._count("duplicate")
                if kept.comes_before(report):
                    return
                record.reports.remove(kept)
                break
        record.reports.append(report)
        if record.entry == NEVER:
            record.waits_until = max(record.waits_until, until)
            self._batch.due[unit] = record.waits_until + 1
        self._moved(unit, record, before)

    def _next_due(self, record: Record) -> int | None:
        open_plans = [plan.deadline_ms for plan in self.plans if not record.closed >> plan.index & 1]
        return record.entry + min(open_plans) if open_plans else None

    def _values(self, record: Record) -> list[tuple[int, int] | None] | None:
        """Running values of an analysed unit; None for one that is not analysed."""
        if record.entry == NEVER or record.state == DROPPED:
            return None
        return [running_value(plan, record) for plan in self.plans]

    def _moved(self, unit: int, record: Record, before: list[tuple[int, int] | None] | None) -> None:
        """Book a changed record: its new values enter, its old ones leave."""
        after = self._values(record)
        self._batch.units[unit] = _record_encoder.encode(record)
        if before is None and after is not None:
            self._add(record.arm, "", "u", 1)
        elif before is not None and after is None:
            self._add(record.arm, "", "u", -1)
            self._add(record.arm, "", "x", 1)
        for plan in self.plans:
            old = before[plan.index] if before is not None else None
            new = after[plan.index] if after is not None else None
            if old != new and not record.closed >> plan.index & 1:
                self._book(record.arm, plan, "r", old, -1)
                self._book(record.arm, plan, "r", new, 1)

    def _book(self, arm: int, plan: Plan, key: str, value: tuple[int, int] | None, sign: int) -> None:
        if value is None:
            return
        reading = KINDS[plan.kind].running if key == "r" else KINDS[plan.kind].closed
        names = self._names.get((self._stratum, arm, plan.index, key))
        if names is None:
            names = tuple(f"{self._stratum}|{arm}|{plan.name}|{key}|{name}" for name in reading.names)
            self._names[self._stratum, arm, plan.index, key] = names
        for name, part in zip(names, reading.part(*value), strict=True):
            self._put(name, sign * part)

    def _add(self, arm: int, metric: str, key: str, by: int) -> None:
        self._put(f"{self._stratum}|{arm}|{metric}|{key}|n", by)

    def _put(self, name: str, by: int) -> None:
        if by:
            self.moments[name] = self._batch.moments[name] = self.moments.get(name, 0) + by

    def _close(self, due: list[int], watermark: int) -> None:
        """Close what is due: the watermark has passed, so no order of events can change it any more."""
        self._records |= self._load({unit for unit in due if unit not in self._records})
        for unit in due:
            record = self._records[unit]
            if record.entry == NEVER:
                self._count("orphan", len(record.reports))
                record.reports = []
                self._batch.due[unit] = None
                self._batch.units[unit] = _record_encoder.encode(record)
            elif self._batch.due.get(unit, 0) is not None and record.state == OPEN:
                self._close_unit(unit, record, watermark)

    def _close_unit(self, unit: int, record: Record, watermark: int) -> None:
        start, share = self.lanes[record.arm]
        end = record.entry + self.longest_window
        if left_lane(record, self.coverage, start, share, end, PPM):
            before = self._values(record)
            record.state = DROPPED
            self._batch.due[unit] = None
            self._moved(unit, record, before)
            return
        for plan in self.plans:
            if record.closed >> plan.index & 1 or record.entry + plan.deadline_ms >= watermark:
                continue
            value = closed_value(plan, record)
            self._book(record.arm, plan, "c", value, 1)
            if plan.fact < 0 and not plan.latency:
                self._close_reports(plan, record)
            record.closed |= 1 << plan.index
        due = self._next_due(record)
        if due is None:
            record.state = CLOSED
            record.reports, record.latencies = [], []
            self._add(record.arm, "", "c", 1)
        self._batch.due[unit] = due
        self._batch.units[unit] = _record_encoder.encode(record)

    def _close_reports(self, plan: Plan, record: Record) -> None:
        self._add(record.arm, plan.name, "m", 1)
        if any(report.metric == plan.index for report in record.reports):
            self._add(record.arm, plan.name, "p", 1)
            self._add(record.arm, plan.name, "e", 1)

    def _commit(self, cursor: bytes) -> None:
        state = _state_encoder.encode(self.state)
        self.ledger.commit(self.token, self.cursor, cursor, state, self._batch)
        self.cursor = cursor
