"""Names of model servers: asked again and again but not by requests, followed, and of two families the one that answers."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from time import perf_counter_ns

import pytest
import uvloop

from router.gateway import endpoint, pool
from router.gateway.breaker import FAILURES, OPEN_S
from router.gateway.connection import Connection
from router.gateway.counters import Counts
from router.gateway.endpoint import Endpoint
from router.gateway.pool import Pool, upstream_of
from router.gateway.resolving import resolve
from router.gateway.upstream import Upstream
from router.local.processes import free_port
from router.serving import PoolLimits
from tests.gateway.scripted import until
from tests.gateway.test_pool import give_back, let_go, servers, waiting

FOUR, SIX = "127.0.0.1", "::1"


def speaks_six() -> bool:
    try:
        socket.create_server((SIX, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


both = pytest.mark.skipif(not speaks_six(), reason="this machine has no IPv6")


class Resolver:
    """Answers what stands in it; an empty answer is none."""

    def __init__(self, *answer: str) -> None:
        self.answer = list(answer)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        assert host == "models.test"
        self.asked += 1
        if not self.answer:
            raise OSError("the resolver is away")
        return list(self.answer)


def named(port: int, resolver: Resolver, every_s: float = 3600, limits: PoolLimits | None = None) -> Pool:
    url = f"http://models.test:{port}"
    return Pool(url, Counts(), limits or PoolLimits(), resolving=resolver, every_s=every_s)


def peer(connection: Connection) -> str:
    return str(connection.transport.get_extra_info("peername")[0])


async def peers(made: Pool, dials: int) -> Counter[str]:
    """Who answered so many new connections."""
    return Counter([peer(await made.dial(1)) for _ in range(dials)])


def test_a_name_that_means_another_server_is_followed_and_what_is_under_way_ends() -> None:
    async def play() -> None:
        port, resolver = free_port(), Resolver("127.0.0.1")
        async with servers(waiting, waiting, hosts=("127.0.0.1", "127.0.0.2"), port=port):
            made = named(port, resolver, every_s=0.005)
            idle, under_way = await made.dial(1), await made.dial(1)
            give_back(idle)
            resolver.answer = ["127.0.0.2"]
            await until(lambda: [one.address.host for one in made.endpoints] == ["127.0.0.2"])
            assert idle.transport.is_closing()
            assert not under_way.transport.is_closing()
            assert peer(await made.dial(1)) == "127.0.0.2"
            give_back(under_way)
            assert under_way.transport.is_closing()
            resolver.answer = []
            asked = resolver.asked
            await until(lambda: resolver.asked > asked + 1)
            assert len(made.endpoints) == 1
            await let_go(made)
            asked = resolver.asked
            await asyncio.sleep(0.02)
            assert resolver.asked == asked

    uvloop.run(play())


def test_requests_do_not_ask_again_but_where_nothing_is_known() -> None:
    async def play() -> None:
        port, resolver = free_port(), Resolver()
        async with servers(waiting, port=port):
            made = named(port, resolver)
            for _ in range(2):
                with pytest.raises(OSError, match="away"):
                    await made.dial(1)
            resolver.answer = [FOUR]
            assert await peers(made, 20) == {FOUR: 20}
            assert resolver.asked == 3
            await let_go(made)

    uvloop.run(play())


def test_a_name_that_is_not_answered_leaves_the_other_names_as_they_are_now() -> None:
    async def play() -> None:
        port, answers = free_port(), {"a.test": ["127.0.0.1"], "b.test": ["127.0.0.2"]}

        async def resolving(host: str, port: int) -> list[str]:
            if host not in answers:
                raise OSError("no answer")
            return answers[host]

        limits = PoolLimits((f"http://a.test:{port}", f"http://b.test:{port}"))
        async with servers(waiting, waiting, hosts=("127.0.0.1", "127.0.0.2"), port=port):
            made = Pool("http://a.test", Counts(), limits, resolving=resolving, every_s=0.005)
            assert set(await peers(made, 8)) == {"127.0.0.1", "127.0.0.2"}
            del answers["a.test"]
            answers["b.test"] = ["127.0.0.3"]
            await until(lambda: {one.address.host for one in made.endpoints} == {"127.0.0.1", "127.0.0.3"})
            await let_go(made)

    uvloop.run(play())


@both
@pytest.mark.parametrize(("preferred", "other"), [(SIX, FOUR), (FOUR, SIX)], ids=["six", "four"])
def test_the_preferred_family_is_asked_and_the_other_while_it_refuses(preferred: str, other: str) -> None:
    async def play() -> None:
        port = free_port()
        made = named(port, Resolver(preferred, other))
        async with servers(waiting, waiting, hosts=(preferred, other), port=port):
            assert await peers(made, 8) == {preferred: 8}
            await let_go(made)
        made = named(port, Resolver(preferred, other))
        async with servers(waiting, hosts=(other,), port=port):
            assert await peers(made, 3 * FAILURES) == {other: 3 * FAILURES}
            refused = made.counts.dials - 3 * FAILURES
            assert refused == FAILURES  # then the preferred one is left alone
            await let_go(made)

    uvloop.run(play())


@both
def test_a_family_that_comes_back_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    for module in (endpoint, pool):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])

    async def play() -> None:
        port = free_port()
        made = named(port, Resolver(SIX, FOUR))
        async with servers(waiting, hosts=(FOUR,), port=port):
            assert await peers(made, FAILURES + 1) == {FOUR: FAILURES + 1}
            async with servers(waiting, hosts=(SIX,), port=port):
                assert await peers(made, 2) == {FOUR: 2}
                now[0] += OPEN_S[0]
                first = await made.dial(1)
                assert peer(first) == SIX
                assert peer(await made.dial(1)) == FOUR  # only one tries
                give_back(first)
                assert await peers(made, 3) == {SIX: 3}
                await let_go(made)

    uvloop.run(play())


@both
def test_silence_of_one_family_leaves_time_for_the_other() -> None:
    async def play() -> None:
        silent = socket.create_server((SIX, 0), family=socket.AF_INET6, backlog=0)
        port = silent.getsockname()[1]
        filling = [
            socket.socket(socket.AF_INET6) for _ in range(4)
        ]  # nobody takes these: further ones get no answer
        for one in filling:
            one.setblocking(False)
            one.connect_ex((SIX, port))
        async with servers(waiting, hosts=(FOUR,), port=port):
            alone = named(port, Resolver(SIX))
            with pytest.raises(TimeoutError):
                await alone.dial(0.1)
            await let_go(alone)
            made = named(port, Resolver(SIX, FOUR))
            assert peer(await made.dial(0.4)) == FOUR
            await let_go(made)
        for one in (silent, *filling):
            one.close()

    uvloop.run(play())


@both
def test_the_bounds_of_a_pool_span_both_families() -> None:
    async def play() -> None:
        port = free_port()
        async with servers(waiting, waiting, hosts=(SIX, FOUR), port=port):
            made = named(port, Resolver(SIX, FOUR), limits=PoolLimits(requests=2, queue=0))
            assert await peers(made, 2) == {SIX: 2}
            assert made.take(perf_counter_ns()) is None
            await let_go(made)
            made = named(port, Resolver(SIX, FOUR), limits=PoolLimits(connections=1, queue=0))
            assert await peers(made, 2) == {SIX: 1, FOUR: 1}
            await let_go(made)

    uvloop.run(play())


def test_the_system_is_asked_for_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(self: object, host: str, port: int, **wanted: int) -> list[tuple[object, ...]]:
        assert wanted.get("family", 0) == 0
        found = [(socket.AF_INET6, SIX), (socket.AF_INET, FOUR), (socket.AF_INET6, SIX)]
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in found]

    async def play() -> list[str]:
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", asked)
        return await resolve("models.test", 80)

    assert asyncio.run(play()) == [SIX, FOUR]


def test_a_name_without_an_address_is_no_connection() -> None:
    async def play() -> None:
        made = upstream_of("http://no-such-name.invalid:80", Counts())
        with pytest.raises(OSError):
            await made.dial(1)
        await let_go(made)

    uvloop.run(play())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/run/m.sock"]
)
def test_one_server_needs_no_pool(url: str) -> None:
    assert type(upstream_of(url, Counts())) is Upstream
    assert issubclass(Endpoint, Upstream)
