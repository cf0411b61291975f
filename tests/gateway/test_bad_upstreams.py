"""Model servers that misbehave: a defined answer, a defined outcome, nothing leaked, and the next request works."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from router.gateway.ports import Limits
from tests.gateway.scripted import GET, OK, POST, Message, answering, read_request, serving, until

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\n"


def then_well(bad: Script) -> Script:
    """A server that misbehaves on its first connection and is well on all others."""
    seen = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await (bad if seen == 1 else answering(OK))(reader, writer)

    return script


def saying(data: bytes, *, stay: bool = False) -> Script:
    """A server that answers with these octets, then closes or falls silent."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        if stay:
            await reader.read()

    return script


def reset_connection(writer: asyncio.StreamWriter) -> None:
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def asked(
    bad: Script, request: bytes = GET, limits: Limits | None = None, **options: Any
) -> tuple[Message, str]:
    """What the client got and the outcome; afterwards the next request is served and nothing is left open."""

    async def play() -> tuple[Message, str]:
        async with serving(then_well(bad), limits, **options) as world:
            got = await world.ask(request)
            outcome = (await world.ended())[0][1]
            assert (await world.ask(request)).body == b"ok"
            await until(lambda: world.open_upstream <= 1)  # the pooled one
            return got, outcome

    return uvloop.run(play())


def test_nobody_listens() -> None:
    async def play() -> None:
        async with serving(answering(OK)) as world:
            well = world.gate.upstream
            world.gate.redirect("http://127.0.0.1:1")
            assert (await world.ask()).status == 502
            assert await world.ended() == [(502, "connect_failed")]
            world.gate.upstream = well
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())


def test_a_name_that_does_not_resolve() -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(connect_s=2.0)) as world:
            well = world.gate.upstream
            world.gate.redirect("http://nowhere.invalid:9001")
            assert (await world.ask(POST)).status == 502
            assert await world.ended() == [(502, "connect_failed")]
            world.gate.upstream = well
            assert (await world.ask(POST)).body == b"ok"

    uvloop.run(play())


def test_silence_before_the_head() -> None:
    got, outcome = asked(saying(b"", stay=True), first_byte_ms=100)
    assert (got.status, outcome) == (504, "timeout")


def test_a_head_without_end() -> None:
    got, outcome = asked(saying(HEAD + b"X-A: b\r\n", stay=True), first_byte_ms=100)
    assert (got.status, outcome) == (504, "timeout")


def test_silence_inside_the_body() -> None:
    data = HEAD + b"Content-Length: 10\r\n\r\nhalf"
    got, outcome = asked(saying(data, stay=True), limits=Limits(idle_s=0.2))
    assert (got.status, got.body, got.whole, outcome) == (200, b"half", False, "timeout")


def test_one_octet_at_a_time_is_slow_but_good() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for octet in HEAD + b"Content-Length: 5\r\n\r\nhello":
            writer.write(bytes([octet]))
            await writer.drain()

    got, outcome = asked(script)
    assert (got.body, outcome) == (b"hello", "ok")


def test_the_total_time_bounds_a_server_that_never_ends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    got, outcome = asked(script, total_ms=300)
    assert (got.status, got.whole, outcome) == (200, False, "timeout")


@pytest.mark.parametrize("request_", [GET, b"GET /a HTTP/1.0\r\nHost: m\r\n\r\n"], ids=["1.1", "1.0"])
@pytest.mark.parametrize(
    "head", [b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_is_cut_never_looks_whole(request_: bytes, head: bytes, reset: bool) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + head)
        await writer.drain()
        if reset:
            await asyncio.sleep(0.02)
            reset_connection(writer)

    got, outcome = asked(script, request_)
    assert (got.status, got.whole, outcome) == (200, False, "truncated")


WHOLE = HEAD + b"X-A: b\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("octets", range(1, len(WHOLE)))
def test_a_close_at_every_octet_is_truncated(octets: int) -> None:
    got, outcome = asked(saying(WHOLE[:octets]))
    in_head = octets < WHOLE.index(b"hello")
    assert (got.status, got.whole, outcome) == (502 if in_head else 200, in_head, "truncated")


BAD_HEADS = {
    "garbage": b"\x00\x01\x02 nothing of the kind\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "folded field": HEAD + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR in a value": HEAD + b"X-A: b\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": HEAD + b"X-A : b\r\nContent-Length: 0\r\n\r\n",
    "field without a colon": HEAD + b"X-A\r\nContent-Length: 0\r\n\r\n",
    "empty name": HEAD + b": b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "length in words": HEAD + b"Content-Length: ten\r\n\r\n",
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "length and coding": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nxx",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "one long field": HEAD + b"X-A: " + b"b" * (1 << 20) + b"\r\n\r\n",
    "10,000 fields": HEAD + b"X-A: b\r\n" * 10_000 + b"\r\n",
    "endless 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + OK,
    "long 1xx": (b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 30_000 + b"\r\n\r\n") * 10,
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_head_that_breaks_the_grammar_is_a_bad_answer(name: str) -> None:
    got, outcome = asked(saying(BAD_HEADS[name], stay=True))
    assert (got.status, outcome) == (502, "bad_answer")


BAD_BODIES = {
    "a size that is none": b"2\r\nok\r\nzz\r\n",
    "data longer than its size": b"2\r\nokok\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"2\r\nok\r\nfffffffffffffffffff\r\n",
    "a bare LF behind a size": b"2\nok\r\n0\r\n\r\n",
    "an endless extension": b"2\r\nok\r\n2;" + b"x" * 200_000,
    "an endless trailer": b"2\r\nok\r\n0\r\nX-A: " + b"b" * 200_000,
    "10,000 trailers": b"2\r\nok\r\n0\r\n" + b"X: b\r\n" * 10_000 + b"\r\n",
    "a trailer that breaks the grammar": b"2\r\nok\r\n0\r\nX A: b\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_breaks_the_grammar_is_cut(name: str) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    got, outcome = asked(saying(head + BAD_BODIES[name], stay=True))
    assert (got.status, got.whole, outcome) == (200, False, "bad_answer")


def test_a_client_that_stops_in_the_middle_of_its_body_is_no_fault_of_the_arm() -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(idle_s=0.2)) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 10\r\n\r\nhalf")
            assert (await client.answer()).status == 408
            assert await world.ended() == [(408, "client_abort")]
            await until(lambda: world.open_upstream == 0)
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())


def test_a_thousand_streams_whose_clients_die_leave_nothing_open() -> None:
    stream = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"

    async def play() -> None:
        async with serving(saying(stream, stay=True)) as world:
            clients = [await world.client() for _ in range(1000)]
            for client in clients:
                client.send(GET)
            await until(lambda: world.open_upstream == 1000)
            for client in clients:
                client.writer.transport.abort()
            await until(lambda: world.open_upstream == 0 and not world.plane.clients)
            assert [outcome for _, outcome in await world.ended(1000)] == ["client_abort"] * 1000
            assert world.plane.turn.open_requests == 0

    uvloop.run(play())
