"""Model servers that take no connection, or take one and say nothing of TLS: told in time, and whoever leaves leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import uvloop

from router.gateway.ports import Limits
from tests.gateway.scripted import OK, POST, World, answering, serving, until
from tests.gateway.test_bad_upstreams import reset_connection


@contextlib.contextmanager
def taking_nobody() -> Iterator[int]:
    """The port of a server whose queue is full: the kernel drops who knocks."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextlib.contextmanager
def saying_nothing() -> Iterator[int]:
    """The port of a server that lets everybody in and does not speak."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


DEAF = {
    "drops who knocks": (taking_nobody, "http"),
    "drops who knocks, by TLS": (taking_nobody, "https"),
    "shakes no hands": (saying_nothing, "https"),
}


@pytest.mark.parametrize("name", DEAF)
def test_a_server_that_does_not_connect_is_given_up_in_time_and_the_next_request_is_served(name: str) -> None:
    server, scheme = DEAF[name]

    async def play() -> None:
        with server() as port:
            async with serving(answering(OK), Limits(connect_s=0.2)) as world:
                well = world.gate.upstream
                world.gate.redirect(f"{scheme}://127.0.0.1:{port}")
                assert (await world.ask(POST)).status == 502
                assert await world.ended() == [(502, "connect_failed")]
                world.gate.upstream = well
                assert (await world.ask(POST)).body == b"ok"

    uvloop.run(play())


@pytest.mark.parametrize("name", DEAF)
def test_a_client_that_leaves_while_its_server_is_dialled_leaves_nothing(name: str) -> None:
    server, scheme = DEAF[name]

    async def leave(world: World) -> None:
        client = await world.client()
        client.send(POST)
        await until(lambda: world.plane.turn.open_requests)
        reset_connection(client.writer)
        await until(lambda: not world.plane.turn.open_requests and not world.plane.clients)

    async def play() -> None:
        with server() as port:
            async with serving(answering(OK), Limits(connect_s=60)) as world:
                well = world.gate.upstream
                world.gate.redirect(f"{scheme}://127.0.0.1:{port}")
                before = len(asyncio.all_tasks())
                for _ in range(20):
                    await leave(world)
                assert await world.ended(20) == [(0, "client_abort")] * 20
                await until(lambda: len(asyncio.all_tasks()) <= before)
                world.gate.upstream = well
                assert (await world.ask(POST)).body == b"ok"

    uvloop.run(play())
