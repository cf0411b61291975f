"""A model server and a load generator for the bench, each a process of its own on its own core.

The server answers every request with the same 200 octets and does nothing else; the generator keeps so many requests in
flight over kept-alive connections and checks status and length of every answer: a failure voids the row.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

BODY = b'{"inputs":[' + b"1" * 1000 + b"]}"
ANSWER_BODY = b'{"outputs":[' + b"2" * 185 + b"]}\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(ANSWER_BODY),
    ANSWER_BODY,
)
LENGTH_NAME = b"content-length: "


class Server(asyncio.Protocol):
    """Counts octets of a request with a length and answers."""

    def __init__(self) -> None:
        self.data = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            at = head.find(LENGTH_NAME)
            length = int(head[at + len(LENGTH_NAME) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + length:
                return
            self.data = self.data[end + 4 + length :]
            self.transport.write(ANSWER)


class Asker(asyncio.Protocol):
    """One connection of the generator: a request, its answer, the next request."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: Any = None
        self.data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.load.request())

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0 or len(self.data) < end + 4 + len(ANSWER_BODY):
            return
        whole = self.data.startswith(b"HTTP/1.1 200 ") and len(self.data) == end + 4 + len(ANSWER_BODY)
        self.load.failed += not whole
        self.load.answered += 1
        self.data = b""
        if time.monotonic() < self.load.until:
            self.transport.write(self.load.request())
        else:
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        self.load.failed += problem is not None
        self.load.ended()


class Load:
    """So many connections for so many seconds."""

    def __init__(self, connections: int, seconds: float) -> None:
        self.connections = self.open = connections
        self.until = time.monotonic() + seconds
        self.answered = 0
        self.failed = 0
        self.done = asyncio.Event()

    def request(self) -> bytes:
        return (
            b"POST /v2/infer HTTP/1.1\r\nHost: models.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\nContent-Type: application/json\r\nX-Person: u%d\r\nContent-Length: %d\r\n\r\n%b"
            % (
                self.answered % 10_000,
                len(BODY),
                BODY,
            )
        )

    def ended(self) -> None:
        self.open -= 1
        if self.open == 0:
            self.done.set()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


async def ask(port: int, connections: int, seconds: float) -> None:
    load = Load(connections, seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Asker(load), "127.0.0.1", port)
    await asyncio.wait_for(load.done.wait(), seconds + 20)
    print(json.dumps({"answered": load.answered, "failed": load.failed}))


ROLES: dict[str, Callable[..., Any]] = {
    "serve": lambda port: serve(int(port)),
    "ask": lambda port, connections, seconds: ask(int(port), int(connections), float(seconds)),
}

if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    uvloop.run(ROLES[sys.argv[1]](*sys.argv[3:]))
