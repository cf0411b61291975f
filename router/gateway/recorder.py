"""What happened, in columns, until Redis has it: a bounded buffer per run, flushed by rows or by time.

An exposure is a row at the moment of assignment; the outcome of its request is written into the same row as long as
that row has not left, else into a row of its own. Each entry has the next number of (writer, run). An entry that got no
good answer keeps its number and its content and is sent again: it may have arrived. What does not fit into the buffer
is dropped, counted, and reported with the next entry.

Never here: a wait on the path of a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from router.errors import StoreUnavailable
from router.event_rows import ARM_MASK, BUCKET_MASK, FACTS_SHIFT, LATENCY_MAX_US, OUTCOME, pack_where
from router.events import Entry
from router.gateway.counters import Row
from router.gateway.run_buffer import Block, RunBuffer
from router.gateway.run_count import RunCount

# How far behind the clock `until` stays: an outcome's time is that of its request plus a duration, cut to whole ms.
UNTIL_BACK_MS = 20
BUCKET_AND_ARM = pack_where(BUCKET_MASK, ARM_MASK, 0)
TOGETHER = 32  # runs whose entries travel in one round trip
ALIVE_MS = 900  # a sign of life at least each second, though the flush only looks now and then


def clock() -> int:
    """Now, in UTC ms: the time of events."""
    return time.time_ns() // 1_000_000


class Log(Protocol):
    """Where entries go."""

    async def append_each(self, entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        """For each None, once it is written, or why it was refused; or raise StoreUnavailable for all of them."""


class Recorder:
    """All runs' buffers of one worker."""

    def __init__(self, log: Log, row: Row, writer: str, *, flush_rows: int, buffer_rows: int) -> None:
        self.writer = writer
        self.wake: Callable[[], None] = lambda: None
        self._log = log
        self._row = row
        self._flush_rows = flush_rows
        self._room = buffer_rows
        self._buffers: dict[str, RunBuffer] = {}
        self._written = row.tally("pointsman_entries", result="written")
        self._failed = row.tally("pointsman_entries", result="failed")

    def buffer(self, run: str, epoch: int) -> RunBuffer:
        """The buffer of a run."""
        if run not in self._buffers:
            self._buffers[run] = RunBuffer(run, epoch, self._row.run(run))
        return self._buffers[run]

    def running(self, runs: Iterable[tuple[str, int, int]], ended: Iterable[str] = ()) -> None:
        """These (run, epoch, revision) are in the flags from now on, and those runs no longer.

        Only what is in the flags announces that this writer lives.
        """
        for run in ended:
            if run in self._buffers:
                self._buffers[run].live = False
        for run, epoch, revision in runs:
            buffer = self.buffer(run, epoch)
            buffer.live, buffer.revision = True, revision

    @property
    def pending(self) -> int:
        """Rows that Redis has not acknowledged."""
        return sum(
            sum(len(block) for block in buffer.blocks) + (buffer.travelling[1] if buffer.travelling else 0)
            for buffer in self._buffers.values()
        )

    def exposed(
        self, buffer: RunBuffer, revision: int, unit: int, time: int, where: int, treatment: bool
    ) -> tuple[Block, int] | None:
        """A unit was assigned an arm; where its row stands, or None when there was no room."""
        block = self._block(buffer, revision, time, treatment)
        if block is None:
            return None
        rows = block.requests
        number = len(rows)
        rows.append(unit, time - block.base, where, 0)
        return block, number

    def ended(
        self,
        buffer: RunBuffer,
        place: tuple[Block, int],
        facts: int,
        latency_us: int,
        now: int,
        treatment: bool,
    ) -> None:
        """The request behind an exposure has ended, with these facts."""
        block, index = place
        rows = block.requests
        latency = latency_us if latency_us < LATENCY_MAX_US else LATENCY_MAX_US
        if not block.sent:
            rows.where[index] |= (facts | OUTCOME) << FACTS_SHIFT
            rows.latency[index] = latency
            return
        late = self._block(buffer, block.revision, now, treatment)
        if late is not None:
            time = max(0, block.base + rows.time[index] - late.base)
            where = rows.where[index] & BUCKET_AND_ARM | (facts | OUTCOME) << FACTS_SHIFT
            late.requests.append(rows.unit[index], time, where, latency)

    def reported(
        self,
        buffer: RunBuffer,
        revision: int,
        unit: int,
        metric: str,
        value: int,
        now: int,
        asked: int,
        key: int,
        arm: int,
    ) -> None:
        """A model server reported an outcome with its answer."""
        block = self._block(buffer, revision, now, arm > 0)
        if block is not None:
            index = block.names.setdefault(metric, len(block.names))
            block.outcomes.append(unit, index, value, now, asked, key, arm)

    def _counted_anew(self, buffer: RunBuffer) -> RunCount:
        """A shared record for a run that had given its own back."""
        buffer.count = self._row.run(buffer.run)
        return buffer.count

    def _block(self, buffer: RunBuffer, revision: int, now: int, treatment: bool) -> Block | None:
        """The block that takes one more row of this arm; None when it is dropped."""
        count = buffer.count or self._counted_anew(buffer)
        count.taken(treatment)
        if self._room <= 0:
            buffer.dropped[treatment] += 1
            count.dropped(treatment)
            return None
        block = buffer.open
        if block is None or block.revision != revision:
            block = buffer.open = Block(revision, now)
            buffer.blocks.append(block)
        self._room -= 1
        rows = block.rows
        rows[treatment] += 1
        if rows[0] + rows[1] >= self._flush_rows:
            buffer.open = None
            self.wake()
        return block

    async def flush(self, now: int) -> None:
        """Send what waits, the oldest first; and a sign of life where nothing did for a second.

        A run whose log Redis refuses keeps no other run waiting; a Redis that is silent is asked once.

        Raises:
            StoreUnavailable: Redis gave no good answer; everything unsent stays.
        """
        refused: StoreUnavailable | None = None
        buffers = list(self._buffers.values())
        for at in range(0, len(buffers), TOGETHER):
            refused = await self._flush_some(buffers[at : at + TOGETHER], now) or refused
        if refused is not None:
            raise refused

    async def _flush_some(self, buffers: list[RunBuffer], now: int) -> StoreUnavailable | None:
        """Send what waits in these, an entry of each in a round trip; the last refusal, if there is one."""
        refused: StoreUnavailable | None = None
        # What comes while these travel leaves with the next flush, or a busy worker would write a few rows an entry.
        left = {
            buffer.run: (buffer.travelling is not None) + max(1, len(buffer.blocks)) for buffer in buffers
        }
        while entries := self._entries(buffers, left, now):
            try:
                answers = await self._log.append_each([(buffer.run, entry) for buffer, entry in entries])
            except StoreUnavailable:
                self._failed.n += len(entries)
                raise
            for (buffer, entry), problem in zip(entries, answers, strict=True):
                left[buffer.run] -= 1
                if problem is None:
                    self._acknowledged(buffer, entry, now)
                else:
                    self._failed.n += 1
                    refused, left[buffer.run] = problem, 0
        for buffer in buffers:
            if buffer.travelling is None and not (
                buffer.live or buffer.in_flight or buffer.blocks or any(buffer.dropped)
            ):
                self._retire(buffer)
        return refused

    def _entries(
        self, buffers: list[RunBuffer], left: dict[str, int], now: int
    ) -> list[tuple[RunBuffer, Entry]]:
        """The next entry of each buffer that has one, of those that may send more."""
        found: list[tuple[RunBuffer, Entry]] = []
        for buffer in buffers:
            entry = self._next(buffer, now) if left[buffer.run] > 0 else None
            if entry is not None:
                found.append((buffer, entry))
        return found

    def _next(self, buffer: RunBuffer, now: int) -> Entry | None:
        """The entry to send now, if there is one; from here on its rows are in doubt."""
        if buffer.travelling is not None:
            return buffer.travelling[0]
        block = buffer.blocks.popleft() if buffer.blocks else None
        if (
            block is None
            and not any(buffer.dropped)
            and not buffer.seen
            and not (buffer.live and now - buffer.last_sent >= ALIVE_MS)
        ):
            return None
        if block is buffer.open:
            buffer.open = None
        if not buffer.blocks:
            buffer.until = max(buffer.until, now - UNTIL_BACK_MS)
        dropped = (buffer.dropped[0], buffer.dropped[1])
        buffer.dropped = [0, 0]
        revision = block.revision if block else buffer.revision
        entry = Entry(self.writer, buffer.seq + 1, buffer.epoch, revision, buffer.until, dropped=dropped)
        entry.sightings = buffer.sightings()
        rows = (0, 0)
        if block is not None:
            block.sent = True
            entry.base, entry.requests, entry.outcomes = block.base, block.requests, block.outcomes
            entry.names = tuple(block.names)
            rows = (block.rows[0], block.rows[1])
        count = buffer.count or self._counted_anew(buffer)
        count.sending(buffer.epoch, revision, buffer.seq, rows, dropped)
        buffer.travelling = (entry, sum(rows))
        return entry

    def _acknowledged(self, buffer: RunBuffer, entry: Entry, now: int) -> None:
        rows = buffer.travelling[1] if buffer.travelling else 0
        buffer.travelling = None
        buffer.seq = entry.seq
        buffer.last_sent = now
        if buffer.count is not None:
            buffer.count.settled(entry.seq)
        self._room += rows
        self._written.n += 1

    def _retire(self, buffer: RunBuffer) -> None:
        """Forget a run that has left the flags; should it come back, its numbers go on."""
        # Its number must not begin anew under the same writer, so the buffer stays; only its shared record is freed.
        if buffer.count is not None:
            self._row.release(buffer.count)
            buffer.count = None
