"""gunicorn's worker class: one uvloop per process, our protocol on gunicorn's sockets, no WSGI or ASGI in between.

On TERM it takes no new connections, goes on serving the open ones for a moment while every answer says
``Connection: close``, waits for open answers within the graceful time, writes its last events and ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import resource
import secrets
import signal
import sys
import time
from dataclasses import replace
from typing import Any

import uvloop
from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker

from router.gateway.duties import Duties
from router.gateway.plane import Plane
from router.gateway.ports import Limits
from router.gateway.recorder import clock
from router.local.parent import die_with_parent
from router.settings import Settings

TICK_S = 0.05
STALL_S = 0.1
NOTIFY_S = 1.0
LINGER_S = 1.0  # clients whose connection is idle get this long to hear that it closes
BACKLOG = 2048
OWN_DESCRIPTORS = 32  # of the loop, Redis, logs and listeners
# glibc gives back every block above 128 KB at once, and a read of the socket is larger: 742 page faults a megabyte.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_OCTETS, TRIM_OCTETS = 4 << 20, 16 << 20


def writer_name() -> str:
    """Who writes events: host, process, start and a random part; never the same twice."""
    host = re.sub(r"[^A-Za-z0-9.]", ".", os.uname().nodename)[:48]
    return f"{host}-{os.getpid()}-{clock()}-{secrets.token_hex(4)}"


def within_descriptors(limits: Limits) -> Limits:
    """As many connections as there are file descriptors for: each may need one more towards its model server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = limits.connections if hard == resource.RLIM_INFINITY else max(1, (hard - OWN_DESCRIPTORS) // 2)
    return replace(limits, connections=min(limits.connections, room))


class GatewayWorker(Worker):  # type: ignore[misc] # gunicorn has no types
    """One process of the data plane."""

    row_number: int  # given by the master before the fork

    def init_signals(self) -> None:
        """The loop handles the signals; until it runs they have their usual effect."""
        for name in self.SIGNALS:
            signal.signal(name, signal.SIG_DFL)

    def run(self) -> None:
        """Serve until told to stop."""
        if os.environ.get("POINTSMAN_PARENT"):
            die_with_parent(signal.SIGTERM)
        _keep_large_blocks()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        settings: Settings = self.app.settings
        counters, secret = self.app.counters, self.app.secrets
        writer = writer_name()
        row = counters.row(self.row_number)
        row.begin(os.getpid(), writer)
        duties = Duties(settings, secret, counters, row, writer, self.log)
        plane = Plane(duties.front, within_descriptors(Limits.of(settings)), loop)
        plane.counts = duties.counts
        tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, stop.set)
        duties.start()
        await duties.asked()
        servers = [
            await loop.create_server(plane.protocol, sock=listener.sock, backlog=BACKLOG, ssl=tls)
            for listener in self.sockets
        ]
        # What lives now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        ticking = [loop.create_task(self._tick(plane, duties)), loop.create_task(self._alive(stop))]
        await stop.wait()
        await self._drain(plane, servers, settings.graceful_timeout_ms / 1000)
        await duties.stop()
        for task in ticking:
            task.cancel()

    async def _tick(self, plane: Plane, duties: Duties) -> None:
        """One timer for all deadlines of all connections; it sees when the loop stood still."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(TICK_S)
            late = time.monotonic() - begun - TICK_S
            if late > STALL_S:
                duties.stalled(late)
            plane.tick()

    async def _alive(self, stop: asyncio.Event) -> None:
        """Tell the master that the loop turns; end when there is no master."""
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.warning("the master is gone")
                stop.set()
            await asyncio.sleep(NOTIFY_S)

    async def _drain(self, plane: Plane, servers: list[Any], patience_s: float) -> None:
        """Let every client go without a failed request."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        for server in servers:
            server.close()
        plane.draining = True
        linger = loop.time() + min(LINGER_S, patience_s / 2)
        await asyncio.sleep(TICK_S)  # whom the kernel has let in just now is no client yet
        while loop.time() < linger and plane.clients:
            await asyncio.sleep(TICK_S)
        plane.drain()
        while plane.clients and loop.time() < deadline:
            await asyncio.sleep(TICK_S)


def _keep_large_blocks() -> None:
    """Let the allocator keep the blocks of large reads."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, MMAP_OCTETS)
            libc.mallopt(M_TRIM_THRESHOLD, TRIM_OCTETS)
