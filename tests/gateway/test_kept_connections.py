"""Connections that are kept between requests: nobody gets another's answer, and one that died costs no request."""

from __future__ import annotations

import asyncio

import uvloop

from router.gateway.sending import REPLAY_MOST
from tests.gateway.scripted import GET, OK, POST, World, answering, read_request, serving, until
from tests.gateway.test_bad_upstreams import HEAD, asked, saying, then_well


def test_octets_behind_an_answer_are_nobodys_answer() -> None:
    async def play() -> None:
        async with serving(then_well(saying(OK + b"HTTP/1.1 200 OK\r\n\r\nevil", stay=True))) as world:
            client = await world.client()
            for _ in range(2):
                client.send(GET)
                assert (await client.answer()).body == b"ok"
            assert world.upstream_connections == 2
            assert world.plane.counts.retries == 0
            assert await world.ended(2) == [(200, "ok")] * 2

    uvloop.run(play())


def test_an_answer_that_nobody_asked_for_closes_the_pooled_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(HEAD + b"Content-Length: 4\r\n\r\nevil")
        await reader.read()

    async def play() -> None:
        async with serving(then_well(script)) as world:
            assert (await world.ask()).body == b"ok"
            await until(lambda: world.gate.upstream.counts.surplus_octets)
            assert (await world.ask()).body == b"ok"
            assert world.upstream_connections == 2
            assert await world.ended(2) == [(200, "ok")] * 2

    uvloop.run(play())


def test_a_server_that_closes_after_each_answer_without_saying_so_costs_no_request() -> None:
    async def play() -> None:
        async with serving(answering(OK, close=True)) as world:
            client = await world.client()
            for _ in range(20):
                client.send(POST)
                assert (await client.answer()).body == b"ok"
            assert await world.ended(20) == [(200, "ok")] * 20

    uvloop.run(play())


def test_a_pooled_connection_that_dies_under_a_request_is_replaced_once() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)  # and closes

    async def play(world: World) -> None:
        client = await world.client()
        for _ in range(3):
            client.send(POST)
            assert (await client.answer()).body == b"ok"
        assert world.plane.counts.retries == 2
        assert await world.ended(3) == [(200, "ok")] * 3

    async def all_() -> None:
        async with serving(script) as world:
            await play(world)

    uvloop.run(all_())


def test_a_pooled_connection_that_dies_before_the_body_has_come_is_replaced_too() -> None:
    closed = asyncio.Event()
    bodies = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append((await read_request(reader)).body)
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\nha")  # and closes
        writer.transport.abort()
        closed.set()

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(POST)
            assert (await client.answer()).body == b"ok"
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 4\r\n\r\nha")
            await closed.wait()
            await until(lambda: world.plane.counts.retries or world.gate.ended[1:])
            client.send(b"lf")
            assert (await client.answer()).body == b"ok"
            assert bodies == [b"{}", b"half"]
            assert await world.ended(2) == [(200, "ok")] * 2

    uvloop.run(play())


def test_a_fresh_connection_that_dies_under_a_post_is_not_tried_again() -> None:
    got, outcome = asked(saying(b""), POST)
    assert (got.status, outcome) == (502, "truncated")


def test_a_body_too_long_to_keep_is_not_sent_twice_and_the_next_request_is_served() -> None:
    asked_for = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_for.append(len((await read_request(reader)).body))
        writer.write(OK)
        asked_for.append(len((await read_request(reader)).body))  # and closes

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(POST)
            assert (await client.answer()).body == b"ok"
            length = REPLAY_MOST + 1
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % length)
            client.send(b"x" * length)
            assert (await client.answer()).status == 502
            assert await world.ended(2) == [(200, "ok"), (502, "truncated")]
            client.send(POST)
            assert (await client.answer()).body == b"ok"
            assert asked_for == [2, length, 2]

    uvloop.run(play())
