"""Loads without a pause: connections that ask again as soon as they are answered, and what a target spends on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.bench.hop.proxies import ANSWER
from tests.bench.hop.targets import Target

SECONDS = 2.0
WARM_UP_S = 0.5
PEOPLE = 10_000
HOST = "127.0.0.1"
PATH = b"/v2/infer"
OK = b"HTTP/1.1 200 "
REST = b"Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024


def request(person: int, path: bytes = PATH) -> bytes:
    """1 KB for one of many people."""
    return b"POST %b HTTP/1.1\r\nHost: model\r\nX-Person: p%d\r\n%b" % (path, person % PEOPLE, REST)


@dataclass(frozen=True)
class Sample:
    """What a target spent on a load.

    Attributes:
        us: processor time per answer, in microseconds.
        busy: share of its core.
        rate: answers per second.
        wrong: answers that were not the right one, and lost connections.
    """

    us: float
    busy: float
    rate: float
    wrong: int


class Load:
    """A closed loop of some connections; ``asker`` makes the protocol of each."""

    def __init__(self, connections: int, asker: Callable[[int, Load], asyncio.Protocol]) -> None:
        self.connections = connections
        self.asker = asker
        self.port = 0
        self.answered = 0
        self.wrong = 0
        self.on = True
        self._connecting: set[asyncio.Task[None]] = set()

    async def start(self, port: int) -> None:
        self.port = port
        for number in range(self.connections):
            await self.connect(number)

    async def connect(self, number: int) -> None:
        await asyncio.get_running_loop().create_connection(partial(self.asker, number, self), HOST, self.port)

    def again(self, number: int) -> None:
        """One more connection, soon."""
        task = asyncio.get_running_loop().create_task(self.connect(number))
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self.wrong += task.exception() is not None

    async def stop(self) -> None:
        """No further request; those under way have time to be answered."""
        self.on = False
        await asyncio.sleep(0.1)


async def measured(target: Target, load: Load) -> Sample:
    """Start a load, let it warm up, and take the target's account of some seconds."""
    await load.start(target.port)
    await asyncio.sleep(WARM_UP_S)
    before, asked, begun = target.cpu_ns(), load.answered, time.perf_counter()
    await asyncio.sleep(SECONDS)
    spent, answered = target.cpu_ns() - before, load.answered - asked
    lasted = time.perf_counter() - begun
    await load.stop()
    wrong = load.wrong + (answered == 0)
    return Sample(spent / max(1, answered) / 1e3, spent / lasted / 1e9, answered / lasted, wrong)


class Kept(asyncio.Protocol):
    """Asks one request after the other on one connection, each for another person."""

    def __init__(self, path: bytes, number: int, load: Load) -> None:
        self.path = path
        self.load = load
        self.number = number
        self.person = number * 617
        self.answer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.person += 1
        self.transport.write(request(self.person, self.path))

    def data_received(self, data: bytes) -> None:
        if self.answer:
            data = self.answer + data
        if not data.endswith(ANSWER):
            self.answer = data
            return
        if not data.startswith(OK):
            self.load.wrong += 1
        self.answer = b""
        self.load.answered += 1
        self.again()

    def again(self) -> None:
        if self.load.on:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.load.on:
            self.load.wrong += 1


class Anew(Kept):
    """Asks each request on a connection of its own."""

    done = False

    def again(self) -> None:
        self.done = True
        self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        self.load.wrong += not self.done
        if self.load.on:
            self.load.again(self.number + self.load.connections)


def requests(connections: int, path: bytes = PATH) -> Load:
    """Small requests on kept connections."""
    return Load(connections, partial(Kept, path))


def new_connections(connections: int) -> Load:
    """Small requests, each on a new connection."""
    return Load(connections, partial(Anew, PATH))
