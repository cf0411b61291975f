"""Bodies and streams: passed on as they come, in bounded memory, and with three different ways to end badly."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import uvloop

from router.gateway.ports import Limits
from tests.gateway.scripted import GET, OK, World, answering, read_head, read_request, serving, until

MB = 1 << 20
LARGE = 48 * MB
PIECE = b"x" * 65_536
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# What the tests' own ends of the two connections and the kernel may hold; the body is many times that.
BOUND = 12 * MB


def resident() -> int:
    """Octets of memory of this process: gateway, client and model server are all in it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def event(data: bytes) -> bytes:
    text = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(text), text)


def test_each_event_of_a_stream_arrives_before_the_next_is_made() -> None:
    arrived = asyncio.Queue[int]()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM)
        for number in range(20):
            writer.write(event(b"%d" % number))
            assert await arrived.get() == number
        writer.write(event(b"[DONE]") + b"0\r\n\r\n")

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(GET)
            await read_head(client.reader)
            for number in range(20):
                await client.reader.readuntil(b"data: %d\n\n\r\n" % number)
                arrived.put_nowait(number)
            await client.reader.readuntil(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            assert await world.ended() == [(200, "ok")]

    uvloop.run(play())


def test_first_byte_and_longest_gap_are_measured() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.05)
        writer.write(STREAM + event(b"1"))
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(event(b"2") + b"0\r\n\r\n")

    async def play() -> None:
        async with serving(script) as world:
            await world.ask()
            ticket = world.gate.tickets[0]
            assert ticket.first_byte_us >= 45_000
            assert ticket.gap_us >= 90_000
            assert ticket.answer_octets == 2 * len(b"data: 1\n\n")

    uvloop.run(play())


def test_a_stalled_reader_stalls_its_upstream_and_no_memory_grows() -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        while sent < LARGE:
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client(limit=65_536)
            before = resident()
            client.send(GET)
            await read_head(client.reader)
            await _still(lambda: sent)
            assert sent < LARGE
            assert resident() - before < BOUND
            left = LARGE
            while left:
                left -= len(await client.reader.read(min(left, 65_536)))
            assert resident() - before < BOUND
            assert await world.ended() == [(200, "ok")]

    uvloop.run(play())


def test_an_upstream_that_does_not_read_stalls_its_client_and_no_memory_grows() -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go_on.wait()
        left = LARGE
        while left:
            left -= len(await reader.read(min(left, 65_536)))
        writer.write(OK)

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            before = resident()
            sent = 0
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % LARGE)

            async def send() -> None:
                nonlocal sent
                while sent < LARGE:
                    client.send(PIECE)
                    await client.writer.drain()
                    sent += len(PIECE)

            sending = asyncio.create_task(send())
            await _still(lambda: sent)
            assert sent < LARGE
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


def test_a_client_that_leaves_cancels_its_upstream() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + event(b"1"))
        await reader.read()

    async def play() -> None:
        async with serving(script) as world:
            for _ in range(50):
                client = await world.client()
                client.send(GET)
                await client.reader.readuntil(b"data: 1\n\n\r\n")
                client.writer.close()
            assert await world.ended(50) == [(200, "client_abort")] * 50
            await until(lambda: world.open_upstream == 0 and not world.plane.clients)

    uvloop.run(play())


def test_a_client_that_leaves_before_the_answer_cancels_its_upstream_too() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(GET)
            await until(lambda: world.open_upstream == 1)
            client.writer.close()
            assert await world.ended() == [(0, "client_abort")]
            await until(lambda: world.open_upstream == 0)

    uvloop.run(play())


def test_a_stream_lives_as_long_as_it_says_something() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM)
        for _ in range(12):
            writer.write(event(b"beat"))
            await asyncio.sleep(0.05)
        await reader.read()

    async def play() -> None:
        async with serving(script, Limits(idle_s=0.3), first_byte_ms=300) as world:
            answer = await world.ask()
            assert (answer.status, answer.whole) == (200, False)
            assert answer.body.count(b"beat") == 12
            assert await world.ended() == [(200, "timeout")]
            await until(lambda: world.open_upstream == 0)

    uvloop.run(play())


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
