"""Requests by a fixed schedule, whose latency counts from the moment they were due: a stall is everyone's who waits.

The sockets are driven by ``select`` with timeouts in microseconds; an event loop's are in milliseconds.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from tests.bench.hop.loads import HOST, OK, PATH, request
from tests.bench.hop.proxies import ANSWER
from tests.bench.hop.targets import Target

CONNECTIONS = 32


@dataclass(frozen=True)
class Latencies:
    """How long requests took.

    Attributes:
        us: microseconds from when each was due until its answer, sorted.
        wrong: answers that were not the right one, or did not come.
        waited: share of the time in which the target waited for its core, which something else had.
    """

    us: list[float]
    wrong: int
    waited: float

    def at(self, share: float) -> float:
        return self.us[int(share * (len(self.us) - 1))]


@dataclass
class Paced:
    """One run of a schedule."""

    target: Target
    rate: float
    seconds: float
    path: bytes = PATH
    waiting: deque[float] = field(
        default_factory=deque
    )  # when requests were due that found no idle connection
    idle: list[socket.socket] = field(default_factory=list)
    due: dict[socket.socket, float] = field(default_factory=dict)  # of the request under way on a connection
    parts: dict[socket.socket, bytes] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    wrong: int = 0
    asked: int = 0

    def run(self) -> Latencies:
        waited = self.target.waited_ns()
        with selectors.SelectSelector() as selector:
            for _ in range(CONNECTIONS):
                client = socket.create_connection((HOST, self.target.port))
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(client, selectors.EVENT_READ)
                self.idle.append(client)
            clients = list(self.idle)
            self._play(selector)
        for client in clients:
            client.close()
        self.wrong += len(self.due) + len(self.waiting)
        waited = self.target.waited_ns() - waited
        return Latencies(sorted(self.took), self.wrong, waited / 1e9 / self.seconds)

    def _play(self, selector: selectors.BaseSelector) -> None:
        begun = time.perf_counter()
        step, last = 1 / self.rate, begun + self.seconds
        upcoming = begun
        while True:
            now = time.perf_counter()
            while upcoming <= min(now, last):
                self.waiting.append(upcoming)
                upcoming += step
            while self.waiting and self.idle:
                self._ask(self.idle.pop(), self.waiting.popleft())
            if upcoming > last and (not self.due or now > last + 1):
                return
            until = upcoming if upcoming <= last else last + 1
            for key, _ in selector.select(max(0.0, until - time.perf_counter())):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                if not self._read(client):
                    selector.unregister(client)

    def _ask(self, client: socket.socket, due: float) -> None:
        self.asked += 1
        self.due[client] = due
        client.sendall(request(self.asked * 617, self.path))

    def _read(self, client: socket.socket) -> bool:
        """Take what came; whether the connection is open."""
        came = client.recv(65_536)
        data = self.parts.pop(client, b"") + came
        if not data.endswith(ANSWER):
            self.parts[client] = data
            return bool(came)
        self.took.append((time.perf_counter() - self.due.pop(client)) * 1e6)
        self.wrong += not data.startswith(OK)
        self.idle.append(client)
        return True
