"""A gateway's HTTP side between a client that says exactly what a test says and a model server that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from router.gateway.plane import Plane
from router.gateway.ports import Limits
from tests.gateway.stub_gate import StubGate

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WITHIN_S = 5.0
GET = b"GET /a HTTP/1.1\r\nHost: m\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Message:
    """A message as it came: first line, fields in lower case, body; ``whole`` unless it was cut."""

    line: bytes
    fields: dict[bytes, bytes]
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    whole: bool = True

    @property
    def status(self) -> int:
        return int(self.line[9:12])


async def read_head(reader: asyncio.StreamReader) -> Message:
    lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    return Message(lines[0], _fields(lines[1:]))


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        key = name.lower()
        found[key] = found[key] + b", " + value if key in found else value
    return found


async def read_body(reader: asyncio.StreamReader, message: Message, *, until_close: bool) -> Message:
    """Fill in the body by the message's own framing."""
    try:
        if b"transfer-encoding" in message.fields:
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                message.body += (await reader.readexactly(size + 2))[:-2]
            lines = []
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                lines.append(line[:-2])
            message.trailers = _fields(lines)
        elif b"content-length" in message.fields:
            message.body = await reader.readexactly(int(message.fields[b"content-length"]))
        elif until_close:
            while data := await reader.read(65_536):
                message.body += data
    except asyncio.IncompleteReadError as cut:
        message.body += cut.partial
        message.whole = False
    except ConnectionError:
        message.whole = False
    return message


async def read_request(reader: asyncio.StreamReader) -> Message:
    return await read_body(reader, await read_head(reader), until_close=False)


class Client:
    """A connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.informational: list[Message] = []

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, bodiless: bool = False) -> Message:
        """The next final answer; what came before it is kept apart."""
        async with asyncio.timeout(WITHIN_S):
            while (message := await read_head(self.reader)).status < 200:
                self.informational.append(message)
            if bodiless or message.status in (204, 304):
                return message
            return await read_body(self.reader, message, until_close=True)

    async def closed(self) -> bool:
        """Whether the gateway closes without another octet."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


class World:
    """The gateway's HTTP side and its model server."""

    def __init__(self, plane: Plane, gate: StubGate, port: int) -> None:
        self.plane = plane
        self.gate = gate
        self.port = port
        self.requests: list[Message] = []
        self.upstream_connections = 0
        self.open_upstream = 0
        self._clients: list[Client] = []

    async def client(self, host: str = "127.0.0.1", **how: Any) -> Client:
        made = Client(*await asyncio.open_connection(host, self.port, **how))
        self._clients.append(made)
        return made

    async def ask(self, data: bytes = GET, *, bodiless: bool = False) -> Message:
        """One request on a connection of its own."""
        client = await self.client()
        client.send(data)
        return await client.answer(bodiless=bodiless)

    async def ended(self, count: int = 1) -> list[tuple[int, str]]:
        """What the gate was told, once it was told so often."""
        await until(lambda: len(self.gate.ended) >= count)
        return self.gate.ended

    def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        for one in list(self.plane.clients):
            one.abort()
        self.gate.upstream.close()


async def until(ready: Callable[[], Any]) -> None:
    """Wait for a condition; a failure when it does not come."""
    async with asyncio.timeout(WITHIN_S):
        while not ready():
            await asyncio.sleep(0.002)


def answering(*answers: bytes, close: bool = False) -> Script:
    """A server that answers each request of a connection with the next of these octets, the last one again and again."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await read_request(reader)
            writer.write(left[0] if len(left) == 1 else left.pop(0))
            if close:
                return

    return script


@contextlib.asynccontextmanager
async def ticking(plane: Plane) -> AsyncIterator[None]:
    """A worker's ticks meanwhile; at the end nothing that was begun goes on."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            plane.tick()

    beside = asyncio.get_running_loop().create_task(tick())
    try:
        yield
    finally:
        beside.cancel()
        await asyncio.sleep(0)
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(
    script: Script,
    limits: Limits | None = None,
    *,
    unix: str = "",
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    **gate_options: Any,
) -> AsyncIterator[World]:
    """A gateway in front of a server with this script; the server's connections end with their script."""
    loop = asyncio.get_running_loop()
    world: World

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        world.upstream_connections += 1
        world.open_upstream += 1
        try:
            await script(reader, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the gateway has gone, or the test is over
        finally:
            world.open_upstream -= 1
            writer.close()

    if unix:
        upstream: asyncio.Server = await asyncio.start_unix_server(serve, unix)
        url = f"unix:{unix}"
    else:
        upstream = await asyncio.start_server(serve, host, 0, ssl=tls, backlog=1024)
        port = upstream.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else "localhost" if tls else host
        url = f"{'https' if tls else 'http'}://{shown}:{port}"
    gate = StubGate(url, **gate_options)
    plane = Plane(gate, limits or Limits(), loop)
    front = await loop.create_server(plane.protocol, host, 0)
    world = World(plane, gate, front.sockets[0].getsockname()[1])
    async with ticking(plane):
        try:
            yield world
        finally:
            front.close()
            upstream.close()
            world.close()
