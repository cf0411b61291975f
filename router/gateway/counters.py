"""Counters in shared memory: one row per worker, one writer per row, summed by whoever is asked for metrics.

A worker that is killed leaves its row behind, so nothing it had counted is lost, and the rows of events that it took
and never got acknowledged can be told from it. The master absorbs the row and gives it to the next worker.

Never here: a lock, or a write into another process's row (row 0 is the master's).
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

WORD = 8
ROWS = 64
RUNS = 64
SLOTS = 2048
WRITER_OCTETS = 128
NAME_OCTETS = 96  # a run's name
KEY_OCTETS = 256  # a tally's name with its labels
# A row, in words: pid, number of tallies in use, writer; then run records; then values; then the tallies' names.
PID, USED, WRITER_AT = 0, 1, 2
RUNS_AT = WRITER_AT + WRITER_OCTETS // WORD
RUN_NAME_WORDS = NAME_OCTETS // WORD
# A run record: its name, then these words. Pairs are (control, treatments).
EPOCH, REVISION, SEQ, TAKEN, SETTLED, DOUBT, IN_DOUBT = (RUN_NAME_WORDS + at for at in (0, 1, 2, 3, 5, 7, 9))
RUN_WORDS = RUN_NAME_WORDS + 10
VALUES_AT = RUNS_AT + RUNS * RUN_WORDS
ROW_WORDS = VALUES_AT + SLOTS + SLOTS * KEY_OCTETS // WORD
ROW_OCTETS = ROW_WORDS * WORD
KEYS_AT = (VALUES_AT + SLOTS) * WORD
OVERFLOW = "pointsman_other_total"


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


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a writer took for one run and never got acknowledged; pairs are (control, treatments).

    ``doubt`` is the content of an entry that was on its way under ``seq + 1``: it may have arrived.
    """

    run: str
    epoch: int
    revision: int
    seq: int
    doubt: tuple[int, int]
    rest: tuple[int, int]
    in_doubt: bool


class RunCount:
    """The record of one run in a worker's row."""

    __slots__ = ("_at", "_words", "run")

    def __init__(self, words: memoryview[int], at: int, run: str) -> None:
        self._words = words
        self._at = at
        self.run = run

    def taken(self, treatment: bool, rows: int = 1) -> None:
        """Rows were taken into the buffer, or must be reported as lost."""
        self._words[self._at + TAKEN + treatment] += rows

    def sending(self, epoch: int, revision: int, rows: tuple[int, int]) -> None:
        """An entry with these rows is on its way under the next number."""
        words, at = self._words, self._at
        words[at + EPOCH], words[at + REVISION] = epoch, revision
        words[at + DOUBT], words[at + DOUBT + 1] = rows
        words[at + IN_DOUBT] = 1

    def settled(self, seq: int) -> None:
        """The entry under this number was acknowledged."""
        words, at = self._words, self._at
        words[at + IN_DOUBT] = 0
        words[at + SEQ] = seq
        words[at + SETTLED] += words[at + DOUBT]
        words[at + SETTLED + 1] += words[at + DOUBT + 1]


class Row:
    """One worker's row, as its only writer sees it."""

    def __init__(self, view: memoryview) -> None:
        self._octets = view
        self._words: memoryview[int] = view.cast("Q")
        self._tallies: dict[str, Tally] = {}
        self._other: Tally | None = None

    def begin(self, pid: int, writer: str) -> None:
        """Take a free row."""
        self._put(WRITER_AT * WORD, writer, WRITER_OCTETS)
        self._words[PID] = pid

    def tally(self, name: str, **labels: str) -> Tally:
        """The tally of that name and labels."""
        key = tally_key(name, **labels)
        if key not in self._tallies:
            self._tallies[key] = Tally(key)
        return self._tallies[key]

    def run(self, run: str) -> RunCount | None:
        """The record of a run, made if need be; None when there is no room for another."""
        name = run.encode()
        for number in range(RUNS):
            at = RUNS_AT + number * RUN_WORDS
            held = _text(self._octets, at * WORD, NAME_OCTETS)
            if held == run:
                return RunCount(self._words, at, run)
            if not held and len(name) <= NAME_OCTETS:
                self._put(at * WORD, run, NAME_OCTETS)
                return RunCount(self._words, at, run)
        return None

    def publish(self) -> None:
        """Copy the tallies to shared memory."""
        words = self._words
        for tally in self._tallies.values():
            if tally.n:
                if tally.slot < 0:
                    self._place(tally)
                words[VALUES_AT + tally.slot] = tally.n

    def _place(self, tally: Tally) -> None:
        """Give a tally its slot; the last slot is shared by all for which there is no room."""
        used = self._words[USED]
        fits = len(tally.key.encode()) <= KEY_OCTETS
        if used >= SLOTS - 1 or not fits:
            tally.slot = SLOTS - 1
            self._put(KEYS_AT + (SLOTS - 1) * KEY_OCTETS, OVERFLOW, KEY_OCTETS)
            return
        self._put(KEYS_AT + used * KEY_OCTETS, tally.key, KEY_OCTETS)
        tally.slot = used
        self._words[USED] = used + 1

    def _put(self, at: int, text: str, room: int) -> None:
        self._octets[at : at + room] = text.encode()[:room].ljust(room, b"\0")


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
        """What the writer of a row took and never got acknowledged."""
        found = []
        for record in range(RUNS):
            at = number * ROW_WORDS + RUNS_AT + record * RUN_WORDS
            run = _text(self._view, at * WORD, NAME_OCTETS)
            if not run:
                break
            words = self._words
            in_doubt = bool(words[at + IN_DOUBT])
            doubt = (words[at + DOUBT], words[at + DOUBT + 1]) if in_doubt else (0, 0)
            left = [max(0, words[at + TAKEN + arm] - words[at + SETTLED + arm] - doubt[arm]) for arm in (0, 1)]
            if any(left) or any(doubt):
                numbers = (words[at + EPOCH], words[at + REVISION], words[at + SEQ])
                found.append(Unsettled(run, *numbers, doubt, (left[0], left[1]), in_doubt))
        return found

    def absorb(self, number: int, lost: int) -> None:
        """Add the tallies of an ended worker to the master's row and free its row. Called by the master only."""
        into = self._master()
        for key, value in self._row_totals(number).items():
            into.tally(*key.split("\t")[:1], **dict(pair.split("=", 1) for pair in key.split("\t")[1:])).n += value
        if lost:
            into.tally("pointsman_events_dropped_total", reason="worker_killed").n += lost
        into.publish()
        start = number * ROW_OCTETS
        self._view[start : start + ROW_OCTETS] = bytes(ROW_OCTETS)
        self._given.discard(number)

    def _master(self) -> Row:
        if not hasattr(self, "_row_of_master"):
            self._row_of_master = self.row(0)
        return self._row_of_master

    def written(self) -> list[int]:
        """The rows that have, or had, a writer."""
        return [number for number in range(1, ROWS) if self._words[number * ROW_WORDS + PID]]

    def _row_totals(self, number: int) -> dict[str, int]:
        start = number * ROW_WORDS
        slots = [*range(self._words[start + USED]), SLOTS - 1]
        keys_at = number * ROW_OCTETS + KEYS_AT
        totals = {
            _text(self._view, keys_at + slot * KEY_OCTETS, KEY_OCTETS): self._words[start + VALUES_AT + slot]
            for slot in slots
        }
        return {key: value for key, value in totals.items() if key}

    def totals(self) -> dict[str, int]:
        """All tallies, summed over all rows."""
        sums: dict[str, int] = {}
        for number in range(ROWS):
            for key, value in self._row_totals(number).items():
                sums[key] = sums.get(key, 0) + value
        return sums

    def close(self) -> None:
        """Forget the file; processes that still have it keep their memory."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _text(view: memoryview, at: int, room: int) -> str:
    return bytes(view[at : at + room]).rstrip(b"\0").decode(errors="replace")
