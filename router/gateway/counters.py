"""Counters in shared memory: one row per worker, one writer per row, summed by whoever is asked for metrics.

A worker that is killed leaves its row behind, so nothing it had counted is lost, and the rows of events that it took
and never got acknowledged can be told from it. The master absorbs the row and gives it to the next worker.

Never here: a lock, or a write into another process's row (row 0 is the master's).
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from router.gateway.run_count import (
    NAME_OCTETS,
    NAME_WORDS,
    RECORD_WORDS,
    WORD,
    RunCount,
    private_count,
)
from router.gateway.unsettled import Unsettled

ROWS = 64
RUNS = 64
SLOTS = 2048
WRITER_OCTETS = 128
KEY_OCTETS = 256  # a tally's name with its labels
# A row, in words: pid, number of tallies in use, writer; then run records; then values; then the tallies' names.
PID, USED, WRITER_AT = 0, 1, 2
RUNS_AT = WRITER_AT + WRITER_OCTETS // WORD
VALUES_AT = RUNS_AT + RUNS * RECORD_WORDS
KEYS_AT = (VALUES_AT + SLOTS) * WORD
ROW_WORDS = VALUES_AT + SLOTS + SLOTS * KEY_OCTETS // WORD
ROW_OCTETS = ROW_WORDS * WORD
LAST = SLOTS - 1
OTHER = "pointsman_other"
ARMS = ("control", "treatment")


class Counts:
    """What the HTTP side counts; plain numbers, published by whoever owns the process."""

    __slots__ = ("dials", "refused", "requests", "retries", "reused", "shed", "surplus_octets")

    def __init__(self) -> None:
        self.requests = 0
        self.dials = 0
        self.reused = 0
        self.retries = 0
        self.refused = 0
        self.shed = 0
        self.surplus_octets = 0


class Tally:
    """One counter of this process: a plain number on the hot path, copied to shared memory at each tick."""

    __slots__ = ("key", "n", "slot")

    def __init__(self, key: str) -> None:
        self.key = key
        self.n = 0
        self.slot = -1


def tally_key(name: str, **labels: str) -> str:
    """The name under which a tally is summed over workers."""
    return "\t".join((name, *(f"{label}={value}" for label, value in labels.items())))


class Row:
    """One worker's row, as its only writer sees it."""

    def __init__(self, view: memoryview) -> None:
        self._octets = view
        self._words: memoryview[int] = view.cast("Q")
        self._tallies: dict[str, Tally] = {}

    def begin(self, pid: int, writer: str) -> None:
        """Take a free row."""
        _put(self._octets, WRITER_AT * WORD, writer, WRITER_OCTETS)
        self._words[PID] = pid

    def tally(self, name: str, **labels: str) -> Tally:
        """The tally of that name and labels."""
        return self.tally_of(tally_key(name, **labels))

    def tally_of(self, key: str) -> Tally:
        """The tally of that key."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(key)
        return tally

    def run(self, run: str) -> RunCount:
        """The record of a run; one that others cannot see when there is no room for another."""
        records = [self._record(number) for number in range(RUNS)]
        names = [bytes(record[:NAME_WORDS].tobytes()).rstrip(b"\0") for record in records]
        wanted = run.encode()
        for name in (wanted, b""):
            if name in names and len(wanted) <= NAME_OCTETS:
                return RunCount(records[names.index(name)], run)
        return private_count(run)

    def release(self, count: RunCount) -> None:
        """Forget the record of a run that has ended; what it counted goes to the tallies."""
        for key, value in run_totals(count).items():
            self.tally_of(key).n += value
        self.publish()
        for number in range(RUNS):
            record = self._record(number)
            if RunCount(record).run == count.run:
                record[:] = memoryview(bytes(RECORD_WORDS * WORD)).cast("Q")

    def _record(self, number: int) -> memoryview[int]:
        at = RUNS_AT + number * RECORD_WORDS
        return self._words[at : at + RECORD_WORDS]

    def publish(self) -> None:
        """Copy the tallies to shared memory."""
        words, other = self._words, 0
        for tally in self._tallies.values():
            if tally.n and tally.slot < 0:
                self._place(tally)
            if tally.slot == LAST:
                other += tally.n
            elif tally.n:
                words[VALUES_AT + tally.slot] = tally.n
        if other:
            words[VALUES_AT + LAST] = other

    def _place(self, tally: Tally) -> None:
        """Give a tally its slot; the last slot is shared by all for which there is no room."""
        used = self._words[USED]
        if used >= LAST or len(tally.key.encode()) > KEY_OCTETS:
            tally.slot = LAST
            _put(self._octets, KEYS_AT + LAST * KEY_OCTETS, OTHER, KEY_OCTETS)
            return
        _put(self._octets, KEYS_AT + used * KEY_OCTETS, tally.key, KEY_OCTETS)
        tally.slot = used
        self._words[USED] = used + 1


class Counters:
    """The whole table. Made by the master before it forks; every process sees the same memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        size = ROWS * ROW_OCTETS
        if path is None:
            self._memory = mmap.mmap(-1, size)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size)
                self._memory = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        self._view = memoryview(self._memory)
        self._words: memoryview[int] = self._view.cast("Q")
        self._given: set[int] = set()
        self._master = self.row(0)

    def row(self, number: int) -> Row:
        """A row, for its writer."""
        return Row(self._view[number * ROW_OCTETS : (number + 1) * ROW_OCTETS])

    def reserve(self) -> int:
        """The number of a free row, for a worker about to be forked. Called by the master only.

        Raises:
            OSError: there are more workers than rows.
        """
        for number in range(1, ROWS):
            if number not in self._given:
                self._given.add(number)
                return number
        raise OSError(f"more than {ROWS - 1} workers at once")

    def writer(self, number: int) -> str:
        """Who wrote, or writes, a row."""
        return _text(self._view, number * ROW_OCTETS + WRITER_AT * WORD, WRITER_OCTETS)

    def unsettled(self, number: int) -> list[Unsettled]:
        """What the writer of a row took and never got acknowledged, by run."""
        found = (count.unsettled() for count in self._runs(number))
        return [run for run in found if any((*run.doubt, *run.rest))]

    def absorb(self, number: int) -> None:
        """Add what an ended worker counted to the master's row and free its row. Called by the master only."""
        for key, value in self._row_totals(number).items():
            self._master.tally_of(key).n += value
        for count in self._runs(number):
            for arm, lost in zip(ARMS, count.unsettled().lost, strict=True):
                self._master.tally("pointsman_rows_dropped", run=count.run, arm=arm).n += lost
        self._master.publish()
        start = number * ROW_OCTETS
        self._view[start : start + ROW_OCTETS] = bytes(ROW_OCTETS)
        self._given.discard(number)

    def written(self) -> list[int]:
        """The rows that have, or had, a writer."""
        return [number for number in range(1, ROWS) if self._words[number * ROW_WORDS + PID]]

    def totals(self) -> dict[str, int]:
        """All tallies, summed over all rows."""
        sums: dict[str, int] = {}
        for number in (0, *self.written()):
            for key, value in self._row_totals(number).items():
                sums[key] = sums.get(key, 0) + value
        return sums

    def _runs(self, number: int) -> list[RunCount]:
        starts = (number * ROW_WORDS + RUNS_AT + record * RECORD_WORDS for record in range(RUNS))
        counts = (RunCount(self._words[at : at + RECORD_WORDS]) for at in starts)
        return [count for count in counts if count.run]

    def _row_totals(self, number: int) -> dict[str, int]:
        start = number * ROW_WORDS
        keys_at = number * ROW_OCTETS + KEYS_AT
        totals: dict[str, int] = {}
        for slot in (*range(self._words[start + USED]), LAST):
            key = _text(self._view, keys_at + slot * KEY_OCTETS, KEY_OCTETS)
            if key:
                totals[key] = self._words[start + VALUES_AT + slot]
        for count in self._runs(number):
            for key, value in run_totals(count).items():
                totals[key] = totals.get(key, 0) + value
        return totals

    def close(self) -> None:
        """Forget the file; processes that still have it keep their memory."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def run_totals(count: RunCount) -> dict[str, int]:
    """A run's record as tallies."""
    dropped = zip(ARMS, count.dropped_rows(), strict=True)
    return {
        tally_key("pointsman_rows_taken", run=count.run): sum(count.taken_rows()),
        tally_key("pointsman_rows_flushed", run=count.run): sum(count.flushed_rows()),
        **{tally_key("pointsman_rows_dropped", run=count.run, arm=arm): rows for arm, rows in dropped},
    }


def _put(view: memoryview, at: int, text: str, room: int) -> None:
    view[at : at + room] = text.encode()[:room].ljust(room, b"\0")


def _text(view: memoryview, at: int, room: int) -> str:
    return bytes(view[at : at + room]).rstrip(b"\0").decode(errors="replace")
