"""A worker on its way out: who was told that his connection stays is still served on it, once, and told then."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.gateway.scripted import (
    GET,
    OK,
    World,
    answering,
    read_body,
    read_head,
    read_request,
    serving,
    until,
)

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


async def half_answered(world: World, go_on: asyncio.Event) -> bytes:
    """What follows on a connection whose answer had begun when the worker was told to go."""
    client = await world.client()
    client.send(GET)
    answer = await read_head(client.reader)
    assert b"connection" not in answer.fields
    world.plane.draining = True
    go_on.set()
    assert (await read_body(client.reader, answer, until_close=False)).body == b"halfrest"
    client.send(GET)
    last = await client.answer()
    assert await client.closed()
    assert last.body == b"ok"
    return last.fields[b"connection"]


def test_an_answer_that_did_not_say_so_leaves_its_connection_open_for_one_more() -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if not go_on.is_set():
            writer.write(HALF)
            await go_on.wait()
            writer.write(b"rest")
            await read_request(reader)
        writer.write(OK)

    async def play() -> None:
        async with serving(script) as world:
            assert await half_answered(world, go_on) == b"close"

    uvloop.run(play())


@pytest.mark.parametrize("answered", [False, True])
def test_in_the_end_idle_connections_close_and_open_answers_are_finished(answered: bool) -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HALF if answered else b"")
        await go_on.wait()
        writer.write(b"rest" if answered else HALF + b"rest")
        await reader.read()

    async def play() -> None:
        async with serving(script) as world:
            idle, busy = await world.client(), await world.client()
            busy.send(GET)
            await until(lambda: world.open_upstream and len(world.plane.clients) == 2)
            if answered:
                await busy.reader.readuntil(b"\r\n\r\n")
            world.plane.drain()
            assert await idle.closed()
            go_on.set()
            rest = await busy.reader.read()
            assert rest.endswith(b"halfrest")
            assert (b"Connection: close" in rest) != answered
            await until(lambda: not world.plane.clients)
            assert await world.ended() == [(200, "ok")]

    uvloop.run(play())


def test_a_worker_that_drains_serves_new_requests_and_says_that_each_is_the_last() -> None:
    async def play() -> None:
        async with serving(answering(OK)) as world:
            client = await world.client()
            client.send(GET)
            assert b"connection" not in (await client.answer()).fields
            world.plane.draining = True
            client.send(GET)
            assert (await client.answer()).fields[b"connection"] == b"close"
            assert await client.closed()

    uvloop.run(play())
