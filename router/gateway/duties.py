"""What a worker does beside requests: it feeds the gate and carries away what the gate wrote down.

Flags come in by the watch; events go out by the flush; each second a heartbeat tells revisions, readiness and, for
writers that died, what they lost. All of it may fail for hours without a request noticing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from router.decision_id import Signer, unit_digester
from router.errors import StoreUnavailable
from router.flag import Arm
from router.forcing import Forcing
from router.gateway import losses
from router.gateway.access_log import AccessLog
from router.gateway.counters import Counters, Counts, Row, tally_key
from router.gateway.held import HeldFlags
from router.gateway.pages import Pages
from router.gateway.pool import upstream_of
from router.gateway.ports import Gate as GateLike
from router.gateway.probes import Probes
from router.gateway.recorder import Recorder, clock
from router.gateway.routing import Gate
from router.gateway.snapshot import CompiledRoute, Compiler, runs_on
from router.gateway.sticky import Sticky
from router.gateway.tracing import Tracing, provider_of
from router.gateway.versions import Versions
from router.lanes import RunningExperiment
from router.settings import Settings
from router.store.connect import connect_async, reachable
from router.store.events import AsyncEventLog
from router.store.keys import Keys
from router.store.secrets import Secrets
from router.store.sticky import StickyLog
from router.store.watch import FlagWatch

HEARTBEAT_S = 1.0
BEAT_AFTER_S = 0.1  # a burst of changes is told in one heartbeat, once all workers could route by it
LAST_CALLS_S = 2.5  # for the last calls to Redis, each of which is bounded itself
KEYS_AT_START_S = 3.0  # to read issuers' keys before the first request
RETRY_S = (0.1, 1.0)
HTTP_COUNTS = ("requests", "dials", "reused", "retries", "shed", "surplus_octets")
LOOK_S = 0.5  # between two looks at the override file, and at what issuers' keys are due


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
        self.counts = Counts()
        self._settings, self._log = settings, log
        self._counters, self._row = counters, row
        self._data_dir = Path(settings.data_dir)
        self._client = connect_async(settings.redis_url, settings.store_timeout_ms)
        self._keys = Keys(settings.prefix)
        self._events = AsyncEventLog(self._client, self._keys)
        self.recorder = Recorder(
            self._events, row, writer, flush_rows=settings.flush_rows, buffer_rows=settings.buffer_rows
        )
        digest = unit_digester(secrets.unit_key)
        self.gate = self._gate(secrets, digest)
        most = settings.sticky_units
        self._sticky = Sticky(StickyLog(self._client, self._keys, most), digest, most, row)
        self._probes = Probes(self._probed)
        self._versions = Versions(self.recorder, row, clock, settings.versions_ms / 1000)
        self._compiler = Compiler(
            lambda url, limits=None: upstream_of(url, self.counts, limits),
            row,
            settings.first_byte_timeout_ms,
            settings.total_timeout_ms,
            self._probes,
            self._sticky,
        )
        self.front, self._access_log, self._spans = self._dressed()
        self.flags = HeldFlags(self.gate, self._compiler, row, self._data_dir, log, self._swapped)
        self._watch = FlagWatch(self._client, self._keys, self.flags, settings.poll_ms)
        self.gate.pages = Pages(self.flags.state, self._totals, self._gauges)
        self._flush_now = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._stopping = asyncio.Event()
        self._remembers = asyncio.Event()
        self.recorder.wake = self._flush_now.set
        self._tasks: list[asyncio.Task[None]] = []
        self._stalls = row.tally("pointsman_loop_stalls")
        self._stalled_ms = row.tally("pointsman_loop_stalled_ms")
        self._http = {name: row.tally("pointsman_http", event=name) for name in HTTP_COUNTS}

    def _gate(self, secrets: Secrets, digest: Callable[[bytes], int]) -> Gate:
        """The gate without flags."""
        return Gate(
            self.recorder,
            Signer(secrets.decision_keys),
            digest,
            self._row,
            forcing=Forcing(secrets.decision_keys),
            hold_limit=self._settings.body_hold_limit,
            clock=clock,
        )

    def _dressed(self) -> tuple[GateLike, AccessLog | None, Any]:
        """The gate as clients meet it, with an access log and spans where the settings ask for them."""
        front: GateLike = self.gate
        log, provider = None, provider_of(self._settings.traces)
        if provider is not None:
            front = Tracing(front, provider.get_tracer("pointsman"))
        if self._settings.access_log:
            front = log = AccessLog(front, self._settings.access_log, self._row)
        return front, log, provider

    def stalled(self, seconds: float) -> None:
        """The loop stood still for so long."""
        self._stalls.n += 1
        self._stalled_ms.n += round(seconds * 1000)

    def _swapped(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> None:
        """These routes are in use from now on and those no longer."""
        self.recorder.running(runs_on(new), [run for run, _, _ in runs_on(old)])
        self._sticky.changed(_experiments(new), _experiments(old))
        self._versions.changed(new, old)
        self._compiler.servers.heard(self._probes.ready)
        self._beat_now.set()

    def _probed(self) -> None:
        """A server is ready, or no longer."""
        self._compiler.servers.heard(self._probes.ready)
        self._beat_now.set()

    def start(self) -> None:
        """Start everything that goes on beside requests."""
        self.flags.load()
        jobs: list[Coroutine[Any, Any, None]] = [
            self._watch.run(),
            self._flush_forever(),
            self._remember_forever(),
            self._beat_forever(),
            self._look_forever(),
            self._read_keys_forever(),
        ]
        self._tasks = [asyncio.get_running_loop().create_task(job) for job in jobs]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def asked(self) -> None:
        """Wait until Redis was asked once, and issuers for their keys: before that no request should come in."""
        for event in (self.flags.asked, self._remembers):
            await _wait(event, 2 * self._settings.store_timeout_ms / 1000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEYS_AT_START_S):
                await self._compiler.keysets.refresh()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends by an error of ours would leave the gate deaf: say so and let the master replace us."""
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._log.critical("a task beside the requests failed", exc_info=problem)
            os.kill(os.getpid(), signal.SIGTERM)

    async def _flush_forever(self) -> None:
        loop, pause = asyncio.get_running_loop(), 0.0
        while not self._stopping.is_set():
            # A timeout would end by an exception, ten times a second.
            timer = loop.call_later(self._settings.flush_ms / 1000, self._flush_now.set)
            await self._flush_now.wait()
            timer.cancel()
            self._flush_now.clear()
            self.publish()
            try:
                await self.recorder.flush(clock())
                pause = 0.0
            except StoreUnavailable:
                pause = min(max(pause * 2, RETRY_S[0]), RETRY_S[1])
                await _wait(self._stopping, pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _remember_forever(self) -> None:
        await _wait(self.flags.asked, 2 * self._settings.store_timeout_ms / 1000)
        pause = 0.0
        while not self._stopping.is_set():
            try:
                await self._sticky.exchange()
                pause = self._settings.flush_ms / 1000
            except StoreUnavailable:
                pause = min(max(pause * 2, RETRY_S[0]), RETRY_S[1])
            self._remembers.set()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    def publish(self) -> None:
        """Copy all counters to shared memory."""
        for name, tally in self._http.items():
            tally.n = getattr(self.counts, name)
        if self._access_log is not None:
            self._access_log.write()
        self._row.publish()

    async def _beat_forever(self) -> None:
        while not self._stopping.is_set():
            self._beat_now.clear()
            try:
                with reachable("heartbeat"):
                    document = msgspec.json.encode(self._document())
                    await self._client.hset(self._keys.gateways, self.writer, document)
                for path in losses.waiting(self._data_dir):
                    await losses.report(path, self._events, clock())
            except StoreUnavailable:
                await _wait(self._stopping, HEARTBEAT_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            await _wait(self._beat_now, HEARTBEAT_S)
            await _wait(self._stopping, BEAT_AFTER_S)

    async def _look_forever(self) -> None:
        """The one way in that needs no Redis."""
        while not self._stopping.is_set():
            self.flags.look_at_file()
            await _wait(self._stopping, LOOK_S)

    async def _read_keys_forever(self) -> None:
        """What issuers publish to verify their tokens by."""
        keysets = self._compiler.keysets
        while not self._stopping.is_set():
            await keysets.refresh()
            await _wait(keysets.came, LOOK_S)

    def _document(self) -> dict[str, Any]:
        """What the heartbeat says."""
        host, pid = os.uname().nodename, os.getpid()
        who = {"writer": self.writer, "role": "gateway", "host": host, "pid": pid, "time": clock()}
        told = {"change": self._watch.position, "ready": self._ready_arms()}
        return self.flags.summary() | who | told

    def _ready_arms(self) -> dict[str, bool]:
        """Arms that are compared: nothing else waits for them."""
        routes = self.gate.snapshot.experiments() if self.gate.snapshot else ()
        return {
            f"{route.flag.route}/{arm.name}": self._is_ready(route, arm)
            for route in routes
            for arm in route.flag.arms
            if arm.upstream
        }

    def _is_ready(self, route: CompiledRoute, arm: Arm) -> bool:
        return self._probes.of_arm(arm) and route.is_warm(arm.name)

    def _totals(self) -> Mapping[str, int]:
        self.publish()
        return self._counters.totals()

    def _gauges(self) -> dict[str, float]:
        gauges: dict[str, float] = {
            "pointsman_store_up": self.flags.up,
            "pointsman_store_wiped": self.flags.is_wiped,
            "pointsman_rows_pending": self.recorder.pending,
            "pointsman_overridden": self.flags.file.override is not None,
        }
        for route, revision in self.flags.revisions().items():
            gauges[tally_key("pointsman_flag_revision", route=route)] = revision
        routes = self.gate.snapshot.routes if self.gate.snapshot else {}
        for name, arm in self.flags.arms():
            key = tally_key("pointsman_arm_ready", route=name, arm=arm.name)
            gauges[key] = self._is_ready(routes[name], arm)
        return gauges

    async def stop(self) -> None:
        """Write what is left, say goodbye, let go."""
        for event in (self._stopping, self._flush_now, self._beat_now):
            event.set()
        for task in self._tasks:
            task.remove_done_callback(self._ended)
        watch, *others = self._tasks
        # A cancelled call could leave its answer to the next one on its connection: let these two come to their end.
        await asyncio.wait(others, timeout=LAST_CALLS_S)
        left = [task for task in (watch, *others) if not task.done()]
        while left:  # again and again: inside a client a cancellation may be taken for a timeout
            for task in left:
                task.cancel()
            _, waiting = await asyncio.wait(left, timeout=0.1)
            left = list(waiting)
        self._probes.stop()
        self._versions.stop()
        if self._access_log is not None:
            await self._access_log.written(LAST_CALLS_S)
        if self._spans is not None:
            await asyncio.to_thread(self._spans.force_flush, int(LAST_CALLS_S * 1000))
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_CALLS_S):
                await self._sticky.exchange()
                await self.recorder.flush(clock())
                with reachable("heartbeat"):
                    await self._client.hdel(self._keys.gateways, self.writer)
        self.publish()
        await self.flags.saved()
        await self._client.aclose()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _experiments(routes: Iterable[CompiledRoute]) -> list[RunningExperiment]:
    return [one for route in routes for one in route.flag.experiments]
