"""Who stands still stops whoever is behind him, in both directions and however much there is to say; memory does not grow."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
import uvloop

from router.event_rows import EXPOSURE, OUTCOME
from router.gateway.ports import Limits
from tests.gateway.gated import gated, post
from tests.gateway.scripted import (
    GET,
    OK,
    Client,
    Script,
    World,
    answering,
    read_head,
    read_request,
    serving,
    until,
)

MB = 1 << 20
LARGE = 48 * MB
PIECE = b"x" * 65_536
# What the tests' own ends of the two connections and the kernel may hold; the body is many times that.
BOUND = 12 * MB


def resident() -> int:
    """Octets of memory of this process: gateway, client and model server are all in it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


SIZES = pytest.mark.parametrize("size", [LARGE, pytest.param(1 << 30, marks=pytest.mark.slow)])


def pouring(size: int, sent: list[int], piece: bytes = PIECE, head: bytes = b"") -> Script:
    """A server that says so much, and how far it came."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (head, size))
        while sent[0] < size:
            writer.write(piece)
            await writer.drain()
            sent[0] += len(piece)

    return script


async def stalls(client: Client, request: bytes, size: int, sent: list[int]) -> None:
    """Ask, stand still for a while, then take it all: memory does not grow in either time."""
    before = resident()
    client.send(request)
    await read_head(client.reader)
    await _still(lambda: sent[0])
    assert sent[0] < size
    assert resident() - before < BOUND
    left = size
    while left:
        left -= len(await client.reader.read(min(left, 65_536)))
    assert resident() - before < BOUND


@SIZES
def test_a_stalled_reader_stalls_its_upstream_and_no_memory_grows(size: int) -> None:
    sent = [0]

    async def play() -> None:
        async with serving(pouring(size, sent)) as world:
            await stalls(await world.client(limit=65_536), GET, size, sent)
            assert await world.ended() == [(200, "ok")]

    uvloop.run(play())


def test_a_stream_that_is_read_on_its_way_holds_no_more_than_one_that_is_not() -> None:
    sent = [0]
    piece = (b'data: {"choices":[{"delta":{"content":"' + b"x" * 980 + b'"}}]}\n\n').ljust(1024)
    head = b"Content-Type: text/event-stream\r\n"

    async def play() -> None:
        script = pouring(LARGE, sent, piece * 64, head)
        async with gated({"v1": script, "v2": script}, protocol="openai") as world:
            streams = await asyncio.open_connection("127.0.0.1", world.port, limit=65_536)
            await stalls(Client(*streams), post(), LARGE, sent)
            assert (await world.written())[0] == [EXPOSURE | OUTCOME]
            streams[1].close()

    uvloop.run(play())


@SIZES
def test_an_upstream_that_does_not_read_stalls_its_client_and_no_memory_grows(size: int) -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go_on.wait()
        left = size
        while left:
            left -= len(await reader.read(min(left, 65_536)))
        writer.write(OK)

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            before = resident()
            sent = 0
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % size)

            async def send() -> None:
                nonlocal sent
                while sent < size:
                    client.send(PIECE)
                    await client.writer.drain()
                    sent += len(PIECE)

            sending = asyncio.create_task(send())
            await _still(lambda: sent)
            assert sent < size
            assert resident() - before < BOUND
            go_on.set()
            await sending
            assert (await client.answer()).status == 200
            assert resident() - before < BOUND

    uvloop.run(play())


async def _still(count: object) -> None:
    """Wait until a counter stands still."""
    assert callable(count)
    last = -1
    while (now := count()) != last or not now:
        last = now
        await asyncio.sleep(0.1)


async def unread(script: object, limits: Limits) -> list[tuple[int, str]]:
    """The outcome for a client that asks and reads nothing."""
    async with serving(script, limits) as world:  # type: ignore[arg-type]
        client = await world.client(limit=1024)
        client.send(GET)
        found = await world.ended()
        await until(lambda: world.open_upstream == 0 and not world.plane.clients)
        return list(found)


def test_a_client_that_takes_nothing_for_the_idle_time_is_cut_off() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        while True:
            writer.write(PIECE)
            await writer.drain()

    assert uvloop.run(unread(script, Limits(idle_s=0.2))) == [(200, "client_abort")]


def test_pipelined_requests_are_read_no_faster_than_their_answers_are_taken() -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: m\r\n\r\n"

    async def play() -> None:
        async with serving(answering(OK), local=(200, b"text/plain", PIECE)) as world:
            client = await world.client(limit=1024)
            before = resident()
            sent = 0

            async def send() -> None:
                nonlocal sent
                while True:
                    client.send(request * 100)
                    await client.writer.drain()
                    sent += 100

            sending = asyncio.create_task(send())
            await _still(lambda: sent)
            assert resident() - before < 4 * BOUND
            assert world.plane.counts.requests < sent
            sending.cancel()
            await _in_order(world)

    uvloop.run(play())


async def _in_order(world: World) -> None:
    client = await world.client()
    client.send(b"GET /livez HTTP/1.1\r\nHost: m\r\n\r\n" + GET + b"GET /livez HTTP/1.1\r\nHost: m\r\n\r\n")
    assert [len((await client.answer()).body) for _ in range(3)] == [len(PIECE), 2, len(PIECE)]
