"""What a worker does beside requests: it feeds the gate and carries away what the gate wrote down.

Flags come in by the watch and are kept on disk; events go out by the flush; each second a heartbeat tells revisions,
readiness and, for writers that died, what they lost. All of it may fail for hours without a request noticing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from router.decision_id import Signer, unit_digester
from router.errors import SpecError, StoreUnavailable
from router.flag import Flag
from router.gateway import disk, losses
from router.gateway.counters import Counters, Row, tally_key
from router.gateway.pages import Pages
from router.gateway.ports import Counts
from router.gateway.probes import Probes
from router.gateway.recorder import Recorder
from router.gateway.routing import Gate
from router.gateway.snapshot import CompiledRoute, Compiler, Snapshot
from router.gateway.upstream import Upstream
from router.settings import Settings
from router.store.connect import connect_async, reachable
from router.store.events import AsyncEventLog
from router.store.keys import Keys
from router.store.secrets import Secrets
from router.store.watch import FlagWatch

HEARTBEAT_S = 1.0
LAST_FLUSH_S = 2.0
RETRY_S = (0.1, 1.0)
HTTP_COUNTS = ("requests", "dials", "reused", "retries", "surplus_octets")


def clock() -> int:
    """Now, in UTC ms: the time of events."""
    return time.time_ns() // 1_000_000


class Duties:
    """The gate of one worker, and the tasks around it."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        counters: Counters,
        row: Row,
        writer: str,
        log: logging.Logger,
    ) -> None:
        self.writer = writer
        self.store_id = ""  # whose flags route now
        self.counts = Counts()
        self._settings = settings
        self._counters = counters
        self._row = row
        self._log = log
        self._data_dir = Path(settings.data_dir)
        self._client = connect_async(settings.redis_url, settings.store_timeout_ms)
        self._keys = Keys(settings.prefix)
        self._events = AsyncEventLog(self._client, self._keys)
        self.recorder = Recorder(
            self._events, row, writer, flush_rows=settings.flush_rows, buffer_rows=settings.buffer_rows
        )
        self._compiler = Compiler(
            lambda url: Upstream(url, self.counts),
            row,
            settings.first_byte_timeout_ms,
            settings.total_timeout_ms,
        )
        self.gate = Gate(
            self.recorder,
            Signer(secrets.decision_keys),
            unit_digester(secrets.unit_key),
            row,
            hold_limit=settings.body_hold_limit,
            clock=clock,
        )
        self.gate.pages = Pages(self.state, self._totals, self._gauges)
        self._probes = Probes(self._news)
        self._flush_now = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._asked = asyncio.Event()
        self.recorder.wake = self._flush_now.set
        self._tasks: list[asyncio.Task[None]] = []
        self._store_up = False
        self._wiped = False
        self._corrupt: dict[str, str] = {}
        self._saving: asyncio.Future[None] | None = None
        self._http = {name: row.tally("pointsman_http", event=name) for name in HTTP_COUNTS}

    def revisions(self) -> Mapping[str, int]:
        """The revision of each route that routes now."""
        routes = self.gate.snapshot.routes if self.gate.snapshot else {}
        return {name: route.flag.revision for name, route in routes.items()}

    def moved(self, flags: Mapping[str, Flag], gone: set[str], store_id: str) -> None:
        """Compile what is new and swap the snapshot."""
        compiled = self._compile(flags.values())
        self._wiped = False
        self._swap((self.gate.snapshot or Snapshot({}, "")).changed(compiled, gone, store_id))
        self._save()

    def corrupt(self, route: str, problem: str) -> None:
        """A flag cannot be read; its last good predecessor stays."""
        if self._corrupt.get(route) != problem:
            self._row.tally("pointsman_flag_problems", route=route).n += 1
            self._log.error("flag %s cannot be read, its last good one stays: %s", route, problem)
            self._corrupt[route] = problem

    def wiped(self) -> None:
        """The store is empty though flags route here; they stay."""
        if not self._wiped:
            self._log.error(
                "the store has no flags any more; the last good ones stay until routes are applied again"
            )
        self._wiped = True

    def reached(self, reachable: bool) -> None:
        """Whether Redis answered the last question."""
        if reachable != self._store_up:
            self._log.warning(
                "Redis answers" if reachable else "Redis gives no good answer; routing by the snapshot"
            )
        self._store_up = reachable
        self._asked.set()
        if reachable and self.gate.snapshot is None:
            self._swap(Snapshot({}, ""))  # a store without flags is an answer too

    def _compile(self, flags: Any) -> dict[str, CompiledRoute]:
        compiled = {}
        for flag in flags:
            try:
                compiled[flag.route] = self._compiler.compile(flag)
            except SpecError as problem:
                self.corrupt(flag.route, str(problem))
            else:
                self._corrupt.pop(flag.route, None)
        return compiled

    def _swap(self, snapshot: Snapshot) -> None:
        self.gate.snapshot = snapshot
        self.store_id = snapshot.store_id
        self.recorder.running(snapshot.running())
        self._compiler.keep(arm.upstream for route in snapshot.routes.values() for arm in route.flag.arms)
        self._probes.watch(arm.upstream for route in snapshot.routes.values() for arm in route.flag.arms)
        self._news()

    def _news(self) -> None:
        self._beat_now.set()

    def load_kept(self) -> None:
        """Begin with the flags kept on disk, if there are any."""
        kept = disk.load(self._data_dir)
        if kept is None:
            return
        store_id, flags, problems = kept
        for problem in problems:
            self._log.error("kept flags: %s", problem)
        if flags:
            self._swap(Snapshot(self._compile(flags), store_id))

    def _save(self) -> None:
        """Keep the flags of now; one write at a time, the latest last."""
        if self._saving is not None and not self._saving.done():
            self._saving.add_done_callback(lambda _: self._save())
            return
        snapshot = self.gate.snapshot
        if snapshot is not None:
            flags = [route.flag for route in snapshot.routes.values()]
            loop = asyncio.get_running_loop()
            self._saving = loop.run_in_executor(None, self._write, snapshot.store_id, flags)

    def _write(self, store_id: str, flags: list[Flag]) -> None:
        try:
            disk.save(self._data_dir, store_id, flags)
        except OSError as problem:
            self._log.error("flags could not be kept on disk: %s", problem)

    def start(self) -> None:
        """Start everything that goes on beside requests."""
        self.load_kept()
        watch = FlagWatch(self._client, self._keys, self, self._settings.poll_ms)
        jobs: list[Coroutine[Any, Any, None]] = [watch.run(), self._flush_forever(), self._beat_forever()]
        self._tasks = [asyncio.get_running_loop().create_task(job) for job in jobs]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def asked(self) -> None:
        """Wait until Redis was asked once, whatever it answered: before that no request should come in."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._settings.store_timeout_ms / 1000):
                await self._asked.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends by an error of ours would leave the gate deaf: say so and let the master replace us."""
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._log.critical("a task beside the requests failed", exc_info=problem)
            os.kill(os.getpid(), 15)

    async def _flush_forever(self) -> None:
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.flush_ms / 1000):
                    await self._flush_now.wait()
            self._flush_now.clear()
            self.publish()
            try:
                await self.recorder.flush(clock())
                pause = 0.0
            except StoreUnavailable:
                pause = min(max(pause * 2, RETRY_S[0]), RETRY_S[1])
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def publish(self) -> None:
        """Copy all counters to shared memory."""
        for name, tally in self._http.items():
            tally.n = getattr(self.counts, name)
        self._row.publish()

    async def _beat_forever(self) -> None:
        while True:
            self._beat_now.clear()
            try:
                with reachable("heartbeat"):
                    await self._client.hset(
                        self._keys.gateways, self.writer, msgspec.json.encode(self._document())
                    )
                for path in losses.waiting(self._data_dir):
                    await losses.report(path, self._events, clock())
            except StoreUnavailable:
                await asyncio.sleep(HEARTBEAT_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._beat_now.wait()

    def _document(self) -> dict[str, Any]:
        """What the heartbeat says."""
        host, pid = os.uname().nodename, os.getpid()
        who = {"writer": self.writer, "role": "gateway", "host": host, "pid": pid, "time": clock()}
        return (
            who
            | {key: value for key, value in self.state().items() if key != "ready"}
            | {"ready": self._ready_arms()}
        )

    def _ready_arms(self) -> dict[str, bool]:
        routes = self.gate.snapshot.routes if self.gate.snapshot else {}
        return {
            f"{name}/{arm.name}": self._probes.of(arm.upstream)
            for name, route in routes.items()
            for arm in route.flag.arms
        }

    def state(self) -> dict[str, Any]:
        """Whether this worker may get traffic, and on what it stands."""
        return {
            "ready": self.gate.snapshot is not None,
            "store": "wiped" if self._wiped else "up" if self._store_up else "away",
            "revisions": dict(self.revisions()),
            "corrupt": self._corrupt,
        }

    def _totals(self) -> Mapping[str, int]:
        self.publish()
        return self._counters.totals()

    def _gauges(self) -> dict[str, float]:
        gauges: dict[str, float] = {
            "pointsman_store_up": self._store_up,
            "pointsman_store_wiped": self._wiped,
            "pointsman_rows_pending": self.recorder.pending,
        }
        for route, revision in self.revisions().items():
            gauges[tally_key("pointsman_flag_revision", route=route)] = revision
        for name, ready in self._ready_arms().items():
            route, _, arm = name.rpartition("/")
            gauges[tally_key("pointsman_arm_ready", route=route, arm=arm)] = ready
        return gauges

    async def stop(self) -> None:
        """Write what is left, say goodbye, let go."""
        for task in self._tasks:
            task.remove_done_callback(self._ended)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._probes.stop()
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_FLUSH_S):
                await self.recorder.flush(clock())
                with reachable("heartbeat"):
                    await self._client.hdel(self._keys.gateways, self.writer)
        self.publish()
        if self._saving is not None:
            await self._saving
        self._compiler.keep(())
        await self._client.aclose()
