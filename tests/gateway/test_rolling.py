"""Reload after reload under load: every request is answered, and what was taken is in the log or counted."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from router.flag import Arm
from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually, read_message
from tests.gateway.test_process import holds


def replaced(world: World, before: set[int]) -> bool:
    """Whether two workers serve and none of these does."""
    return not before & set(world.workers()) and len(world.workers()) == 2


@pytest.mark.parametrize("reloads", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_no_request_fails_while_workers_are_replaced_again_and_again(tmp_path: Path, reloads: int) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(),)))
        for model in world.models:
            model.delay_s = 0.02  # some answers are open whenever a worker is told to go
        world.start()
        kept, short = world.load(), world.load(clients=4, keep=False)
        generations = {*world.workers()}
        for _ in range(reloads):
            for load in (kept, short):
                load.more(20)
            before = set(world.workers())
            os.kill(world.master, signal.SIGHUP)
            eventually(partial(replaced, world, before))
            generations |= set(world.workers())
        for load in (kept, short):
            load.more(20)
            load.stop()
        assert (kept.failed, short.failed) == ([], [])
        assert len(generations) == 2 * (reloads + 1)
        holds(world, kept.answered + short.answered)


async def half_a_stream(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream of which the first event has arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(b"GET /stream HTTP/1.1\r\nHost: m\r\n\r\n")
    await reader.readuntil(b"data: 1\n\n\r\n")
    return reader, writer


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_an_open_stream_comes_to_its_end_while_its_worker_is_on_its_way_out(
    tmp_path: Path, number: int
) -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_message(reader)
        if request is not None and b"/stream" in request[0]:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            await go_on.wait()
            writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        writer.close()

    async def rest(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        go_on.set()
        try:
            return await streams[0].read()
        finally:
            streams[1].close()

    with World(tmp_path) as world:
        server = world.loop.run(asyncio.start_server(script, "127.0.0.1", 0))
        world.loop.servers.append(server)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        world.put(world.flag(arms=(Arm("v1", url),)))
        world.start()
        before = set(world.workers())
        streams = world.loop.run(half_a_stream(world))
        os.kill(world.master, number)
        eventually(lambda: len(before & set(world.workers())) == 1)  # the one that is in the stream stays
        assert world.loop.run(rest(streams)) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
        eventually(lambda: not before & set(world.workers()))


def test_another_gateway_takes_over_the_port_before_this_one_stops(tmp_path: Path) -> None:
    with World(tmp_path, gateway_port_shared=1) as world:
        world.put(world.flag())
        world.start()
        load = world.load(clients=4, keep=False)
        load.more(20)
        following = replace(world.settings, data_dir=str(tmp_path / "following"))
        world.group.start("following", world.command, following.as_environ())
        told = world.settings.gateway_workers * 2
        eventually(lambda: world.client.hlen(world.keys.gateways) == told)
        world.group.children["gateway"].terminate()
        assert world.group.children["gateway"].wait() == 0
        load.more(20)
        load.stop()
        assert load.failed == []


def test_a_port_is_not_shared_unawares(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        second = world.group.start(
            "second",
            world.command,
            {**world.settings.as_environ(), "POINTSMAN_DATA_DIR": str(tmp_path / "second")},
        )
        assert second.wait(timeout=20) != 0
        assert "in use" in world.group.log("second").read_text()
