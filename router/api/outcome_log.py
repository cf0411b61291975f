"""Writes outcomes and stated exposures to the event log: group commit, so that an acknowledged outcome is a stored one.

A request hands in its rows and waits; one thread packs what all waiting requests brought into one entry per run,
appends it and lets them go. Nothing acknowledged can die with this process. A failed append keeps its entry and its
sequence number and is repeated first; who waited for it is told to repeat, and its idempotency keys make the second
copy harmless. Each live run gets an entry at least each second, empty if need be, so that the watermark moves on.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from router.errors import StoreUnavailable
from router.event_rows import CERTAIN, OutcomeRows, RequestRows
from router.events import Entry
from router.store.events import EventLog

HEARTBEAT_S = 0.8
LEARN_S = 3.0  # how often it is asked which runs live; a run with reports is known at once
RETRY_S = 0.2
ROWS_PER_ENTRY = 5000
SENTENCE = "outcomes: Redis does not take them now; nothing is lost if you repeat them with the same keys"


class Row(NamedTuple):
    """One checked outcome on its way to the log; ``time`` None means when it arrives."""

    run: str
    epoch: int
    unit: int
    metric: str
    value: int
    time: int | None
    asked: int
    key: int
    arm: int
    probability: int = CERTAIN


class Exposure(NamedTuple):
    """One use of a flag by somebody who routes himself; it happens when it arrives."""

    run: str
    epoch: int
    unit: int
    revision: int
    where: int


@dataclass(slots=True)
class _Group:
    """The requests whose rows go out together."""

    done: threading.Event = field(default_factory=threading.Event)
    failed: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Channel:
    """What is on its way for one run."""

    epoch: int
    seq: int = 0
    unsent: deque[Entry] = field(default_factory=deque)
    sent_at: float = float("-inf")


class OutcomeLog:
    """The one writer of this process."""

    def __init__(
        self,
        log: EventLog,
        live: Callable[[], Mapping[str, int]],
        now: Callable[[], int],
        *,
        limit: int,
        patience_s: float,
    ) -> None:
        started = time.time_ns() // 1_000_000
        self.writer = f"{socket.gethostname()}-{os.getpid()}-{started}-{secrets.token_hex(4)}"
        self._log, self._live, self._now = log, live, now
        self._limit, self._patience_s = limit, patience_s
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._pending: list[Row | Exposure] = []
        self._group = _Group()
        self._channels: dict[str, _Channel] = {}
        self._down: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the writing thread, once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="outcome-log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread after what is waiting has been tried once more."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * self._patience_s)

    def submit(self, rows: Sequence[Row | Exposure]) -> None:
        """Store rows; when this returns they are in Redis.

        Raises:
            StoreUnavailable: they may or may not have been stored; repeat them with the same keys.
        """
        if not rows:
            return
        self.start()
        runs = {row.run for row in rows}
        with self._lock:
            if runs & self._down or len(self._pending) + len(rows) > self._limit:
                raise StoreUnavailable(SENTENCE)
            now = self._now()
            self._pending += [
                row._replace(time=now) if isinstance(row, Row) and row.time is None else row for row in rows
            ]
            group = self._group
        self._wake.set()
        if not group.done.wait(self._patience_s) or runs & group.failed:
            raise StoreUnavailable(SENTENCE)

    def _write(self) -> None:
        learned = float("-inf")
        while True:
            self._wake.wait(RETRY_S if self._down else HEARTBEAT_S / 4)
            self._wake.clear()
            closing = self._closed
            if time.monotonic() - learned >= LEARN_S and not closing:
                learned = time.monotonic()
                self._know_live()
            self._flush()
            if closing:
                return
            if self._down:
                time.sleep(RETRY_S)

    def _know_live(self) -> None:
        """Learn which runs live; a channel of a run that has ended is forgotten once it is empty."""
        try:
            live = self._live()
        except StoreUnavailable:
            return  # the next append will tell who waits
        for run, epoch in live.items():
            self._channels.setdefault(run, _Channel(epoch))
        ended = [run for run, channel in self._channels.items() if run not in live and not channel.unsent]
        for run in ended:
            del self._channels[run]

    def _flush(self) -> None:
        with self._lock:
            rows, self._pending = self._pending, []
            group, self._group = self._group, _Group()
            until = self._now()  # under the lock: every later row arrives at or after it
        by_run: dict[str, list[Row | Exposure]] = {}
        for row in rows:
            by_run.setdefault(row.run, []).append(row)
        for run, brought in by_run.items():
            self._channels.setdefault(run, _Channel(brought[0].epoch))
        # A run whose log is broken must not keep the others waiting; a Redis that is silent is asked only once.
        enough = time.monotonic() + self._patience_s / 4
        for run, channel in self._channels.items():
            self._enqueue(channel, by_run.get(run, []), until)
            if time.monotonic() < enough:
                self._drain(run, channel)
        self._down = frozenset(run for run, channel in self._channels.items() if channel.unsent)
        group.failed |= self._down
        group.done.set()

    def _enqueue(self, channel: _Channel, rows: list[Row | Exposure], until: int) -> None:
        """Give rows their entries; without rows an entry only when the last one is a heartbeat ago."""
        quiet = not channel.unsent and time.monotonic() - channel.sent_at >= HEARTBEAT_S / 2
        for start in range(0, len(rows), ROWS_PER_ENTRY):
            channel.unsent.append(self._entry(channel, rows[start : start + ROWS_PER_ENTRY], until))
        if not rows and quiet:
            channel.unsent.append(self._entry(channel, [], until))

    def _entry(self, channel: _Channel, brought: list[Row | Exposure], until: int) -> Entry:
        channel.seq += 1
        rows = [row for row in brought if isinstance(row, Row)]
        exposures = [row for row in brought if isinstance(row, Exposure)]
        names = tuple(sorted({row.metric for row in rows}))
        outcomes, requests = OutcomeRows(), RequestRows()
        for exposure in exposures:
            requests.append(exposure.unit, 0, exposure.where, 0)
        for row in rows:
            time_ms = row.time if row.time is not None else until
            outcomes.append(
                row.unit, names.index(row.metric), row.value, time_ms, row.asked, row.key, row.arm
            )
            if row.probability != CERTAIN:
                outcomes.sampled(row.probability)
        revision = max((exposure.revision for exposure in exposures), default=0)
        return Entry(
            self.writer,
            channel.seq,
            channel.epoch,
            revision,
            until,
            until,
            requests=requests,
            outcomes=outcomes,
            names=names,
        )

    def _drain(self, run: str, channel: _Channel) -> None:
        """Append what waits, oldest first, until Redis does not take it."""
        while channel.unsent:
            try:
                self._log.append(run, channel.unsent[0])
            except StoreUnavailable:
                return
            channel.unsent.popleft()
            channel.sent_at = time.monotonic()
