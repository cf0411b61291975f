"""Streams: passed on event by event, timed, cancelled with their client, and with three different ways to end badly."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from router.event_rows import ERROR, EXPOSURE, OUTCOME
from router.gateway.ports import Limits
from tests.gateway.gated import gated, post
from tests.gateway.scripted import GET, Client, read_head, read_request, serving, until

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


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


WRONG = event(b'{"error":{"message":"out of memory"}}')


@pytest.mark.parametrize(
    ("rest", "whole", "outcome", "facts"),
    [
        (event(b"[DONE]") + b"0\r\n\r\n", True, None, EXPOSURE | OUTCOME),
        (WRONG + b"0\r\n\r\n", True, "stream_error", EXPOSURE | OUTCOME | ERROR),
        (b"", False, "truncated", EXPOSURE | OUTCOME | ERROR),
        (WRONG, False, "truncated", EXPOSURE | OUTCOME | ERROR),
        (b"zz\r\n", False, "bad_answer", EXPOSURE | OUTCOME | ERROR),
        (None, False, "client_abort", EXPOSURE),
    ],
)
def test_how_a_stream_ended_is_told_apart(
    rest: bytes | None, whole: bool, outcome: str | None, facts: int
) -> None:
    begun = STREAM + event(b'{"choices":[{"delta":{"content":"x"}}]}')

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        if rest is None:
            await reader.read()
        else:
            writer.write(rest)

    async def play() -> None:
        async with gated({"v1": script, "v2": script}, protocol="openai", fallback=True) as world:
            streams = await asyncio.open_connection("127.0.0.1", world.port)
            client = Client(*streams)
            client.send(post())
            if rest is None:
                await read_head(client.reader)
                client.writer.close()
            else:
                answer = await client.answer()
                assert (answer.status, answer.whole) == (200, whole)
            await until(lambda: not world.plane.turn.open_requests)
            assert (await world.written())[0] == [facts]
            failures = {
                name: world.counted("pointsman_upstream_failures", arm="v2", outcome=name)
                for name in ("truncated", "stream_error", "bad_answer", "timeout")
            } | {"client_abort": world.counted("pointsman_client_aborts", arm="v2")}
            assert {name: n for name, n in failures.items() if n} == ({outcome: 1} if outcome else {})
            streams[1].close()

    uvloop.run(play())
