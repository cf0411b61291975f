"""The fold: packed entries after the cursor become unit records and whole-number sums, exactly once.

A batch is read, applied to the records it touches, and committed with its cursor by one script. Nothing is kept
between batches but what the store holds, so a crash at any instruction repeats or skips a whole batch, never a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import msgspec

from router.controller.booking import Booking
from router.controller.units import Traits, Units, record_of
from router.controller.writers import Writers
from router.errors import Problem, SpecError
from router.event_rows import ARM_MASK, BUCKET_BITS, CERTAIN, NO_COVARIATE, OTHER_SEGMENT, RequestRows
from router.events import Entry, decode
from router.identity import Seen
from router.record import Record, Report
from router.store.ledger import Batch, Ledger

ENTRIES_PER_BATCH = 16
ROWS_PER_BATCH = 4000
CLOSE_PER_BATCH = 2000
NO_TRAITS: Traits = (NO_COVARIATE, OTHER_SEGMENT)


class FoldState(msgspec.Struct):
    """What the fold itself remembers, committed with each batch."""

    writers: Writers = msgspec.field(default_factory=Writers)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    reports: dict[str, list[int]] = msgspec.field(
        default_factory=dict
    )  # metric -> count, first, last arrival
    seen: Seen = msgspec.field(default_factory=Seen)


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
        self._booking = Booking(self.moments, run)
        self._units = Units(run, self._booking)
        self._by_name = {plan.name: plan for plan in self._units.plans}
        self._arms = len(run["spec"]["lanes"])
        self.unread_since: int | None = None
        self.learn(run)

    def learn(self, run: Mapping[str, Any]) -> None:
        """What a run decides or is told while it lives: its coverage, declared rolls and frozen constants."""
        self._booking.learn(run)
        self._units.learn(run)

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
        if arms and max(arms) >= self._arms:
            raise SpecError([Problem("entry.rw", f"arms below {self._arms}", str(max(arms)))])

    def _begin(self, entries: list[tuple[bytes, Entry | None]]) -> None:
        self._units.batch = Batch()
        self._booking.changed = {}
        units: set[int] = set()
        for _, entry in entries:
            if entry is not None:
                units.update(entry.requests.unit)
                units.update(entry.outcomes.unit)
        self._units.records = self._load(units)

    def _load(self, units: set[int]) -> dict[int, Record]:
        wanted = list(units)
        found = self.ledger.units(wanted)
        return {unit: record_of(row) for unit, row in zip(wanted, found, strict=True)}

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
        request = self._units.request
        columns = (rows.unit, rows.time, rows.where, rows.latency, _traits_of(rows))
        for unit, time, where, latency, traits in zip(*columns, strict=True):
            sent[(where >> BUCKET_BITS) & ARM_MASK != 0] += 1
            request(unit, base + time, where, latency, traits)
        for arm in (0, 1):
            if sent[arm]:
                self._count(f"sent|{arm}", sent[arm])
        for one in entry.sightings:
            for time in (one.first, one.last):
                self.state.seen.answered(one.arm, one.name, self._booking.rolls_before(time))
        self._outcomes(entry, arrival)

    def _outcomes(self, entry: Entry, arrival: int) -> None:
        rows = entry.outcomes
        plans = [self._by_name.get(name) for name in entry.names]
        sampled: Iterable[int] = rows.probability or repeat(CERTAIN, len(rows))
        columns = (rows.unit, rows.metric, rows.value, rows.time, rows.asked, rows.key, rows.arm, sampled)
        for unit, metric, value, time, asked, key, arm, probability in zip(*columns, strict=True):
            plan = plans[metric]
            if plan is None:
                self._count("unknown_metric")
                continue
            if not plan.accepts(value, probability):
                self._count("malformed")
                continue
            self._count(f"outcomes|{'unknown' if arm < 0 else min(arm, 1)}")
            self._reported(plan.name, arrival)
            report = Report(plan.index, value, time, asked, key, probability)
            without_effect = self._units.report(unit, report, entry.until)
            if without_effect:
                self._count(without_effect)

    def _reported(self, name: str, arrival: int) -> None:
        seen = self.state.reports.setdefault(name, [0, arrival, arrival])
        seen[0] += 1
        seen[2] = max(seen[2], arrival)

    def _close(self, due: list[int], watermark: int) -> None:
        units = self._units
        units.records |= self._load({unit for unit in due if unit not in units.records})
        for unit in due:
            orphans = units.close(unit, watermark)
            if orphans:
                self._count("orphan", orphans)

    def _commit(self, cursor: bytes) -> None:
        state = _state_encoder.encode(self.state)
        batch = self._units.batch
        batch.moments = self._booking.changed
        self.ledger.commit(self.token, self.cursor, cursor, state, batch)
        self.cursor = cursor


def _traits_of(rows: RequestRows) -> Iterable[Traits]:
    """Covariate and segment of each row; most entries have neither."""
    if not rows.covariate and not rows.segment:
        return repeat(NO_TRAITS, len(rows))
    covariates: Iterable[int] = rows.covariate or repeat(NO_COVARIATE, len(rows))
    segments: Iterable[int] = rows.segment or repeat(OTHER_SEGMENT, len(rows))
    return zip(covariates, segments, strict=True)
