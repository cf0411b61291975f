"""Model servers and clients that never end what they say: cut off at a limit, in memory that does not grow with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import repeat

import pytest
import uvloop

from router.gateway.ports import Limits
from tests.gateway.scripted import GET, OK, answering, read_request, serving, until
from tests.gateway.test_bad_upstreams import then_well
from tests.gateway.test_stalling import MB, PIECE, resident

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
# What a misbehaving server says, and then says again and again; the status and whether the answer had begun.
ANSWERS = {
    "one field": (HEAD + b"X-A: ", PIECE, 502),
    "fields": (HEAD, b"X-A: b\r\n" * 1000, 502),
    "a status line": (b"HTTP/1.1 200 ", PIECE, 502),
    "informational answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100, 502),
    "informational fields": (b"HTTP/1.1 103 Early Hints\r\n", b"X-A: b\r\n" * 1000, 502),
    "digits of a chunk's size": (CHUNKED, b"0" * 65_536, 200),
    "a chunk's extension": (CHUNKED + b"2;", PIECE, 200),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 1000, 200),
}
MOST = 16 * MB  # both ends and the kernel's buffers are in this process and its time


def endlessly(begin: bytes, again: bytes) -> Iterator[bytes]:
    yield begin
    yield from repeat(again)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_never_ends_is_cut_off_and_the_next_request_is_served(name: str) -> None:
    begin, again, status = ANSWERS[name]
    said = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        await read_request(reader)
        for data in endlessly(begin, again):
            writer.write(data)
            said += len(data)
            await writer.drain()

    async def play() -> None:
        async with serving(then_well(script)) as world:
            before = resident()
            got = await world.ask()
            assert (got.status, got.whole) == (status, status == 502)
            assert await world.ended() == [(status, "bad_answer")]
            await until(lambda: world.open_upstream == 0)
            assert said < MOST
            assert resident() - before < MOST
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())


REQUESTS = {
    "a target": (b"GET /", PIECE, 414),
    "one field": (b"GET /a HTTP/1.1\r\nHost: m\r\nX-A: ", PIECE, 431),
    "fields": (b"GET /a HTTP/1.1\r\nHost: m\r\n", b"X-A: b\r\n" * 1000, 431),
    "a chunk's extension": (
        b"POST /a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n2;",
        PIECE,
        400,
    ),
    "trailers": (
        b"POST /a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-A: b\r\n" * 1000,
        400,
    ),
    "a body": (
        b"POST /a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + PIECE + b"\r\n",
        413,
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_client_that_never_ends_is_refused_and_the_next_one_is_served(name: str) -> None:
    begin, again, status = REQUESTS[name]

    async def play() -> None:
        async with serving(answering(OK), Limits(body=4 * MB)) as world:
            before = resident()
            client = await world.client()

            async def send() -> None:
                for data in endlessly(begin, again):
                    client.send(data)
                    await client.writer.drain()

            sending = asyncio.create_task(send())
            assert (await client.answer()).status == status
            assert resident() - before < MOST
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert [outcome for _, outcome in world.gate.ended if outcome != "client_abort"] == []
            await until(lambda: world.open_upstream == 0)
            assert (await world.ask(GET)).body == b"ok"

    uvloop.run(play())
