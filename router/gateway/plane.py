"""What all client connections of a worker share: the gate, the limits, the counts, one tick for every deadline."""

from __future__ import annotations

import asyncio
import time
from time import perf_counter_ns
from typing import Any

from router.gateway.answers import date_line
from router.gateway.client import Client
from router.gateway.counters import Counts
from router.gateway.ports import Gate, Limits
from router.gateway.turn import Turn


class Plane:
    """What all connections of a worker share.

    Attributes:
        draining: every answer from now on tells its client to go elsewhere.
        leaving: nobody is waited for any more, but for open answers.
    """

    def __init__(self, gate: Gate, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.gate = gate
        self.limits = limits
        self.loop = loop
        self.counts = Counts()
        self.clients: set[Client] = set()
        self.draining = False
        self.leaving = False
        self.turn = Turn(loop)
        self._second = int(time.time())
        self.date = date_line(self._second)

    def protocol(self) -> Any:
        """A factory for ``create_server``, which asks for the methods of a protocol and not for its class."""
        return Client(self)

    def tick(self) -> None:
        """Look at every deadline; called some ten times a second instead of a timer per request."""
        now_ns = perf_counter_ns()
        second = int(time.time())
        if second != self._second:
            self._second, self.date = second, date_line(second)
        for client in tuple(self.clients):
            client.tick(now_ns)

    def drain(self) -> None:
        """No further requests: idle connections close, the others after their answer."""
        self.draining = self.leaving = True
        for client in tuple(self.clients):
            client.drain()
