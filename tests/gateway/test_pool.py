"""Several servers behind one arm: who is asked, who is left out, and who waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter_ns
from typing import Any

import pytest
import uvloop

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Arm, Flag
from router.gateway.connection import Connection
from router.gateway.counters import Counts
from router.gateway.pool import Pool
from router.gateway.probes import Probes, servers_of
from router.gateway.upstream import NoRoomError, Upstream
from router.local.processes import free_port
from router.route import flag_of
from router.serving import PoolLimits
from tests.gateway.gated import OK, answer, gated, post, quiet
from tests.gateway.scripted import read_request, until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a connection and says nothing until it is closed."""
    await reader.read()


@contextlib.asynccontextmanager
async def servers(*serves: Serve, hosts: tuple[str, ...] = (), port: int = 0) -> AsyncIterator[list[str]]:
    opened = []
    for number, serve in enumerate(serves):
        host = hosts[number] if hosts else "127.0.0.1"
        opened.append(await asyncio.start_server(quiet(serve), host, port))
    names = [one.sockets[0].getsockname() for one in opened]
    try:
        yield [f"http://{name[0]}:{name[1]}" for name in names]
    finally:
        for one in opened:
            one.close()
        await asyncio.sleep(0.01)


def pool_of(*urls: str, **limits: int) -> Pool:
    return Pool(urls[0], Counts(), PoolLimits(urls, **limits))


def give_back(connection: Connection) -> None:
    connection.upstream.give(connection, perf_counter_ns())


async def let_go(made: Upstream | Pool) -> None:
    """Close everything, and let the loop see it."""
    assert isinstance(made, Pool)
    for endpoint in made.endpoints:
        for connection in list(endpoint.busy):
            connection.transport.abort()
    made.close()
    await asyncio.sleep(0.01)


def shares(made: Pool) -> list[int]:
    return [one.outstanding for one in made.endpoints]


def test_of_two_servers_the_one_with_fewer_requests_is_asked() -> None:
    async def play() -> None:
        async with servers(waiting, waiting) as urls:
            made = pool_of(*urls)
            held = [await made.dial(1) for _ in range(10)]
            assert shares(made) == [5, 5]
            for connection in held[:4]:
                give_back(connection)
            again = [made.take(perf_counter_ns()) for _ in range(2)]
            assert None not in again
            assert abs(shares(made)[0] - shares(made)[1]) <= 1
            await let_go(made)

    uvloop.run(play())


def test_two_choices_keep_many_servers_level() -> None:
    """Of 8 servers and 400 requests each holds about 50; drawn blindly the largest excess would be some 13."""

    async def play() -> None:
        async with servers(*[waiting] * 8) as urls:
            made = pool_of(*urls)
            for _ in range(400):
                await made.dial(1)
            assert max(shares(made)) - min(shares(made)) <= 8
            await let_go(made)

    uvloop.run(play())


def test_a_server_that_takes_no_connection_costs_no_request() -> None:
    async def play() -> None:
        good = (answer(b"{}"),)
        async with servers(OK) as urls:
            down = f"http://127.0.0.1:{free_port()}"
            pools = {"v2": PoolLimits((urls[0], down))}
            async with gated({"v1": good, "v2": down}, pools=pools, retries=0) as world:
                for _ in range(40):
                    assert (await world.ask(post())).status == 200
                assert world.counted("pointsman_upstream_failures", arm="v2") == 0

    uvloop.run(play())


def test_a_server_that_breaks_its_connections_is_left_out() -> None:
    seen = 0

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await read_request(reader)
        seen += 1

    async def play() -> None:
        async with servers(OK, breaking) as urls:
            pools = {"v2": PoolLimits(tuple(urls))}
            servers_by_arm: dict[str, Any] = {"v1": (answer(b"{}"),), "v2": urls[0]}
            async with gated(servers_by_arm, pools=pools, retries=0) as world:
                for _ in range(60):
                    await world.ask(post())
                assert seen <= 6  # the breaker's five, and one try

    uvloop.run(play())


def test_a_probe_that_fails_leaves_a_server_out_and_when_all_do_all_are_asked() -> None:
    async def play() -> None:
        async with servers(waiting, waiting) as urls:
            made = pool_of(*urls)
            made.heard({urls[0]: False, urls[1]: True})
            for _ in range(4):
                await made.dial(1)
            assert shares(made) == [0, 4]
            made.heard(dict.fromkeys(urls, False))
            await made.dial(1)
            assert shares(made) == [1, 4]
            await let_go(made)

    uvloop.run(play())


def test_an_arm_is_ready_when_all_its_servers_are() -> None:
    probes = Probes(lambda: None)
    arm = Arm("v2", "http://h:1/v2", pool=PoolLimits(("http://a:1", "http://b:1")))
    assert servers_of(arm) == ("http://a:1", "http://b:1")
    probes.ready = {"http://a:1": True, "http://b:1": False}
    assert not probes.of_arm(arm)
    probes.ready["http://b:1"] = True
    assert probes.of_arm(arm)


def test_requests_beyond_the_limit_wait_in_order_and_no_more_than_may() -> None:
    async def play() -> None:
        async with servers(waiting) as urls:
            made = pool_of(*urls, requests=1, queue=2, queue_ms=60_000)
            held = await made.dial(1)
            assert made.take(perf_counter_ns()) is None
            served: list[int] = []

            async def ask(number: int) -> None:
                connection = await made.dial(1)
                served.append(number)
                give_back(connection)

            jobs = [asyncio.create_task(ask(number)) for number in (1, 2)]
            await asyncio.sleep(0)
            with pytest.raises(NoRoomError):
                await made.dial(1)
            assert served == []
            give_back(held)
            await asyncio.gather(*jobs)
            assert served == [1, 2]
            assert made.counts.dials == 1
            assert shares(made) == [0]
            await let_go(made)

    uvloop.run(play())


def test_who_waits_too_long_or_leaves_keeps_no_place() -> None:
    async def play() -> None:
        async with servers(waiting) as urls:
            made = pool_of(*urls, connections=1, queue=5, queue_ms=20)
            held = await made.dial(1)
            with pytest.raises(NoRoomError):
                await made.dial(1)
            leaving = asyncio.create_task(made.dial(1))
            await asyncio.sleep(0)
            give_back(held)  # the place is the waiting one's
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
            assert shares(made) == [0]
            assert made.take(perf_counter_ns()) is held
            await let_go(made)

    uvloop.run(play())


def test_an_arm_without_room_says_so_and_is_not_taken_for_down() -> None:
    async def play() -> None:
        pools = {"v2": PoolLimits(requests=1)}
        async with gated({"v1": (answer(b"{}"),), "v2": waiting}, pools=pools) as world:
            first = asyncio.create_task(world.ask(post()))
            upstream = world.route.arms["v2"].upstream
            await until(lambda: shares(upstream) == [1])
            got = await world.ask(post())
            assert (got.status, got.fields[b"retry-after"]) == (503, b"1")
            assert world.counted("pointsman_upstream_failures", arm="v2", outcome="no_room") == 1
            assert world.route.arms["v2"].standing.breaker.failures == 0
            first.cancel()

    uvloop.run(play())


def test_an_arm_is_warmed_by_copies_before_its_first_unit() -> None:
    async def play() -> None:
        async with gated({"v1": (answer(b"{}"),), "v2": (answer(b"{}"),)}, experiments=(), warm=3) as world:
            assert not world.route.is_warm("v2")
            assert world.route.is_warm("v1")
            for _ in range(8):
                await world.ask(post())
                await until(lambda: world.counted("pointsman_shadows") == min(3, len(world.requests) // 2))
            assert [name for name, _ in world.requests].count("v2") == 3
            assert world.route.is_warm("v2")
            world.bench.show(world.flag.with_revision(2))
            assert world.route.is_warm("v2")

    uvloop.run(play())


FILE = """
route: web
unit: {kind: person, from: [request]}
arms:
  v1: {upstream: "http://h:1"}
  v2:
    upstream: "http://h:2/v2"
    endpoints: ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
    limits: {requests: 10, queue: 5, queue_time: 200 ms}
    warm: 20
default: v1
"""


def flag_from(text: str) -> Flag:
    routes = parse_documents(load(text, "route.yaml")).routes
    return flag_of(routes["web"][0])


def test_a_file_says_where_the_servers_are_and_they_are_no_part_of_the_arm() -> None:
    made = flag_from(FILE)
    endpoints = ("http://10.0.0.1:8000", "http://10.0.0.2:8000")
    assert made.arm("v2").pool == PoolLimits(endpoints, 10, 0, 5, 200)
    assert made.arm("v2").warm == 20
    assert made.arm("v1").pool is None
    assert Flag.parse(made.encode()) == made
    other = flag_from(FILE.replace("10.0.0.2", "10.0.0.3"))
    assert other.arm("v2").identity == made.arm("v2").identity


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("http://10.0.0.1:8000", "http://10.0.0.1:8000/v2", "without a path"),
        ("http://10.0.0.1:8000", "10.0.0.1:8000", "an address"),
        ("warm: 20", "warm: some", "whole number"),
        ("queue: 5", "queue: -5", "whole number"),
    ],
)
def test_what_is_no_pool_is_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        flag_from(FILE.replace(old, new))
