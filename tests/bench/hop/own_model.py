"""A model server inside the load's own loop, so that both ends of a stream are seen by one eye.

It answers ``POST /own/large`` with as much as it was sent, ``GET /own/octets/N`` with N octets as fast as they are taken,
and ``GET /own/events/K`` with an endless stream whose events it sends when it is told to.
"""

from __future__ import annotations

import asyncio
from typing import Any

PIECE = b"z" * 65_536
EVENT_END = b"~"  # stands once in an event
EVENT = b"data: " + b"e" * 191 + EVENT_END + b"\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class OwnModel:
    """The server, and the streams that are open on it."""

    def __init__(self) -> None:
        self.streams: dict[int, asyncio.WriteTransport] = {}
        self.port = 0

    async def start(self) -> OwnModel:
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", 0, backlog=4096
        )
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        return self

    def send_event(self, stream: int) -> None:
        """The next event of an open stream."""
        self.streams[stream].write(CHUNK)


class Connection(asyncio.Protocol):
    """One connection of a proxy."""

    def __init__(self, model: OwnModel) -> None:
        self.model = model
        self.head = b""
        self.left = 0
        self.answer = b""
        self.to_send = 0
        self.paused = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.left:
            self.body(len(data))
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if end:
            self.head = b""
            self.asked(head.lower())
            self.body(len(rest))

    def asked(self, head: bytes) -> None:
        """A request begins: what it will be answered, and how much of it is still to come."""
        _, _, length = head.partition(b"content-length:")
        self.left = int(length.split()[0]) if length else 0
        what, _, number = head.split(b" ", 2)[1].removeprefix(b"/own/").partition(b"/")
        if what == b"events":
            self.model.streams[int(number)] = self.transport
            self.answer = STREAM
            return
        self.to_send = int(number) if what == b"octets" else self.left  # nothing, for a probe
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.to_send

    def body(self, octets: int) -> None:
        self.left -= octets
        if self.left <= 0 and self.answer:
            self.transport.write(self.answer)
            self.answer = b""
            self.send()

    def send(self) -> None:
        """What the connection takes; the rest when it takes more."""
        while self.to_send and not self.paused:
            piece = PIECE[: self.to_send]
            self.to_send -= len(piece)
            self.transport.write(piece)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.send()

    def connection_lost(self, problem: Exception | None) -> None:
        self.to_send = 0
