"""Following the flags: hint and poll, through restarts, wiped and exchanged stores, and flags that cannot be read."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from typing import Any

import pytest
import redis

from router.deletion import deleted
from router.errors import StaleRevision, StoreUnavailable
from router.flag import Arm, Flag, UnitSource
from router.local.redis_server import RedisServer
from router.store.connect import connect, connect_async
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from router.store.watch import FlagWatch, Stored, Token

PATIENCE_S = 10.0


class Held:
    """What a gateway would route by."""

    def __init__(self) -> None:
        self.store_id = ""
        self.flags: dict[str, Flag] = {}
        self.tokens: dict[str, Token] = {}
        self.broken: dict[str, str] = {}
        self.lost: dict[str, int] = {}
        self.wipes = 0
        self.lacks = False
        self.up: bool | None = None
        self.fetched: list[str] = []

    def revisions(self) -> Mapping[str, int]:
        return {route: flag.revision for route, flag in self.flags.items()}

    def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
        for route, one in flags.items():
            held = self.tokens.get(route)
            same_store = store_id == self.store_id and self.store_id
            assert not (same_store and held and one.token.revision < held.revision and not self.lacks)
        self.fetched += flags
        self.flags = {route: flag for route, flag in self.flags.items() if route not in gone}
        self.flags |= {route: one.flag for route, one in flags.items()}
        self.tokens = {route: token for route, token in self.tokens.items() if route not in gone}
        self.tokens |= {route: one.token for route, one in flags.items()}
        self.store_id = store_id
        self.lacks = False

    def corrupt(self, route: str, problem: str) -> None:
        self.broken[route] = problem

    def behind(self, routes: Mapping[str, int]) -> None:
        self.lost |= routes

    def wiped(self) -> None:
        self.wipes += 1
        self.lacks = True

    def reached(self, reachable: bool) -> None:
        self.up = reachable


def flag(route: str, revision: int, default: str = "v1") -> Flag:
    arms = (Arm("v1", "http://a"), Arm("v2", "http://b"))
    return Flag(route, UnitSource("person", ()), arms, default, revision=revision)


def write(client: redis.Redis, keys: Keys, *flags: Flag) -> None:
    for one in flags:
        FlagStore(client, keys).commit(Change({}, one))


async def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def watching(url: str, keys: Keys, held: Held, poll_ms: int = 20, whole_s: float = 0.05) -> Any:
    async with connect_async(url) as client:
        task = asyncio.create_task(FlagWatch(client, keys, held, poll_ms, whole_s).run())
        try:
            yield task
            assert not task.done(), "the watch ended by itself"
        finally:
            while (
                not task.done()
            ):  # again and again: inside a client a cancellation may be taken for a timeout
                task.cancel()
                await asyncio.wait([task], timeout=0.1)


def follow(
    url: str,
    keys: Keys,
    held: Held,
    steps: Callable[[], Awaitable[None]],
    poll_ms: int = 20,
    whole_s: float = 0.05,
) -> None:
    async def run() -> None:
        async with watching(url, keys, held, poll_ms, whole_s):
            await steps()

    asyncio.run(run())


def test_a_change_arrives_by_the_hint_long_before_the_poll(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    write(client, keys, flag("web", 1))

    async def steps() -> None:
        await until(lambda: held.flags == {"web": flag("web", 1)})
        began = time.monotonic()
        write(client, keys, flag("web", 2))
        await until(lambda: held.revisions() == {"web": 2})
        assert time.monotonic() - began < 2

    follow(shared_url, keys, held, steps, poll_ms=60_000, whole_s=60)
    assert held.up is True


def test_a_lost_hint_costs_one_poll(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    held = Held()
    deaf = Keys(keys.prefix)
    deaf.notice = keys.notice + "-of-nobody"

    async def steps() -> None:
        await until(lambda: held.up)
        write(client, deaf, flag("web", 1))
        await until(lambda: held.revisions() == {"web": 1})

    follow(shared_url, keys, held, steps, whole_s=60)


def test_only_flags_that_moved_are_fetched(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("phone", 1))

    async def steps() -> None:
        await until(lambda: len(held.flags) == 2)
        kept = held.flags["phone"]
        write(client, keys, flag("web", 2, "v2"))
        await until(lambda: held.flags["web"].default == "v2")
        assert held.flags["phone"] is kept

    follow(shared_url, keys, held, steps)
    assert sorted(held.fetched) == ["phone", "web", "web"]


class Unwalked(dict[str, Token]):
    """Tokens that are looked up one by one."""

    def _walked(self, *_: object) -> Any:
        raise AssertionError("a change of one flag walks through all of them")

    __iter__ = keys = values = items = _walked


class HeldApart(Held):
    """What a gateway holds, once everything was read."""

    def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
        if not isinstance(self.tokens, Unwalked):
            super().moved(flags, gone, store_id)
            return
        self.fetched += flags
        for route, one in flags.items():
            self.tokens[route] = one.token
        for route in gone:
            del self.tokens[route]


def test_one_change_looks_at_one_flag_however_many_are_held(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    write(client, keys, *(flag(f"r{i}", 1) for i in range(20)))
    held = HeldApart()

    async def steps() -> None:
        await until(lambda: len(held.tokens) == 20)
        write(client, keys, flag("r1", 2))
        await until(lambda: held.fetched[20:] == ["r1"])
        held.tokens = Unwalked(held.tokens)
        write(client, keys, flag("r1", 3))
        await until(lambda: held.fetched[20:] == ["r1", "r1"])

    follow(shared_url, keys, held, steps, whole_s=600.0)


def test_many_flags_are_compared_in_slices_and_none_is_left_out(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    names = [f"r{number}" for number in range(250)]
    write(client, keys, *(flag(name, 1) for name in names))

    async def steps() -> None:
        await until(lambda: len(held.flags) == 250)
        write(client, keys, *(flag(name, 2) for name in names[::2]))
        await until(lambda: sum(held.revisions().values()) == 375)

    follow(shared_url, keys, held, steps)
    assert len(held.fetched) == 375


def test_each_flag_is_taken_in_a_turn_of_the_loop_of_its_own(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    """Requests are served between two flags, however many come at once."""
    turns: list[int] = [0]

    class InTurns(Held):
        def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
            turns.extend([turns[0]] * len(flags))
            super().moved(flags, gone, store_id)

    held = InTurns()
    write(client, keys, *(flag(f"r{number}", 1) for number in range(12)))

    async def steps() -> None:
        while len(held.flags) < 12:
            turns[0] += 1
            await asyncio.sleep(0)

    follow(shared_url, keys, held, steps)
    assert len(turns) == 1 + 12
    assert len(set(turns[1:])) == 12


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"route": "web"}'])
def test_a_flag_that_cannot_be_read_leaves_its_predecessor_and_the_others(
    text: bytes, shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("phone", 1))

    async def steps() -> None:
        await until(lambda: len(held.flags) == 2)
        client.hset(keys.flags, "web", text)
        client.hset(keys.revisions, "web", 2)
        write(client, keys, flag("phone", 2))
        await until(lambda: held.flags["phone"].revision == 2 and "web" in held.broken)
        assert held.flags["web"] == flag("web", 1)
        client.hset(keys.flags, "web", flag("web", 3).encode())
        client.hset(keys.revisions, "web", 3)
        await until(lambda: held.flags["web"].revision == 3)

    follow(shared_url, keys, held, steps)


def test_a_revision_that_is_no_number_stops_nobody(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    held = Held()
    write(client, keys, flag("web", 1))

    async def steps() -> None:
        await until(lambda: held.flags)
        client.hset(keys.revisions, "web", "seven")
        write(client, keys, flag("phone", 1))
        await until(lambda: "phone" in held.flags)
        assert held.flags["web"] == flag("web", 1)

    follow(shared_url, keys, held, steps)


def test_a_deleted_flag_goes_and_the_last_one_stays(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("phone", 1))

    async def steps() -> None:
        await until(lambda: len(held.flags) == 2)
        client.zrem(keys.changes, "phone")
        await until(lambda: list(held.flags) == ["web"])
        client.zrem(keys.changes, "web")
        await until(lambda: held.wipes)
        assert list(held.flags) == ["web"]

    follow(shared_url, keys, held, steps)


def test_what_takes_the_place_of_a_route_is_there_before_that_goes(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    """Of changes that are read together: no turn of the loop has neither."""
    moments: list[set[str]] = []

    class Remembering(Held):
        def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
            super().moved(flags, gone, store_id)
            moments.append(set(self.flags))

    held = Remembering()
    write(client, keys, flag("old", 1))
    follow(shared_url, keys, held, lambda: until(lambda: "old" in held.flags))
    FlagStore(client, keys).commit(Change({}, deleted(flag("old", 1)), deletes=True))
    write(client, keys, flag("new", 1))
    follow(shared_url, keys, held, lambda: until(lambda: set(held.flags) == {"new"}))
    assert [one for one, _ in groupby(moments)] == [{"old"}, {"old", "new"}, {"new"}]


def test_a_wiped_store_is_never_read_as_all_flags_deleted(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("phone", 1), flag("desk", 1))
    write(client, keys, flag("web", 2))

    async def steps() -> None:
        await until(lambda: len(held.flags) == 3)
        for key in client.scan_iter(keys.prefix + "*"):
            client.delete(key)
        await until(lambda: held.wipes)
        assert held.revisions() == {"web": 2, "phone": 1, "desk": 1}
        write(client, keys, flag("web", 1, "v2"))  # a person applies again, file by file
        await until(lambda: held.flags["web"] == flag("web", 1, "v2"))
        wipes = held.wipes
        await until(lambda: held.wipes > wipes + 2)
        assert held.lacks
        assert set(held.flags) == {"web", "phone", "desk"}
        write(client, keys, flag("phone", 1, "v2"), flag("desk", 1, "v2"))
        await until(lambda: {one.default for one in held.flags.values()} == {"v2"})
        assert not held.lacks
        client.zrem(keys.changes, "desk")  # from here on the store is trusted again
        await until(lambda: set(held.flags) == {"web", "phone"})

    follow(shared_url, keys, held, steps)


def backup(client: redis.Redis, keys: Keys) -> dict[bytes, bytes]:
    """Everything that is stored about flags."""
    found: Any = client.scan_iter(keys.prefix + "*")
    dumps: Any = {key: client.dump(key) for key in found}
    return dict(dumps)


def restore(client: redis.Redis, kept: Mapping[bytes, bytes]) -> None:
    for key, text in kept.items():
        client.restore(key, 0, text, replace=True)


def test_a_restored_store_never_takes_a_worker_back_and_is_followed_once_it_is_written_anew(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held, store = Held(), FlagStore(client, keys)
    write(client, keys, flag("web", 1), flag("phone", 1))
    kept = backup(client, keys)
    write(client, keys, flag("web", 2, "v2"), flag("web", 3))

    async def steps() -> None:
        await until(lambda: held.revisions() == {"web": 3, "phone": 1})
        restore(client, kept)
        await until(lambda: held.lost == {"web": 3})
        assert held.flags["web"] == flag("web", 3)
        write(client, keys, flag("phone", 2))
        await until(lambda: held.revisions() == {"web": 3, "phone": 2})
        with pytest.raises(StaleRevision):  # a person kills an arm: told to look again
            write(client, keys, flag("web", 2).with_kill("v2", on=True))
        await until(lambda: held.flags["web"] == flag("web", 4))
        assert store.flag("web") == flag("web", 4)

    follow(shared_url, keys, held, steps)


def test_two_contents_under_one_revision_are_told_apart(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    write(client, keys, flag("web", 1))
    kept = backup(client, keys)
    write(client, keys, flag("web", 2))

    async def steps() -> None:
        await until(lambda: held.revisions() == {"web": 2})
        pipe = client.pipeline()
        for key, text in kept.items():
            pipe.restore(key, 0, text, replace=True)
        pipe.execute()
        with suppress(StaleRevision):  # before or after the worker has said what the store lost
            write(client, keys, flag("web", 2, "v2"))
        await until(lambda: held.lost)
        assert held.flags["web"] == flag("web", 2)
        store = FlagStore(client, keys)
        # The worker says first what is lost, then tells the store, which is lifted again and again until then.
        await until(lambda: store.lift(1_000, None) or held.flags["web"] == store.flag("web"))
        await until(lambda: held.flags["web"] == store.flag("web"))

    follow(shared_url, keys, held, steps)


def test_the_watch_outlives_a_dead_redis(servers: Callable[..., RedisServer]) -> None:
    server, keys, held = servers(persistent=True), Keys(f"{secrets.token_hex(4)}:"), Held()
    with connect(server.url) as client:
        write(client, keys, flag("web", 1))

        async def steps() -> None:
            await until(lambda: held.flags)
            server.kill()
            await until(lambda: held.up is False)
            assert held.flags == {"web": flag("web", 1)}
            server.restart()
            await until(lambda: held.up)
            write(client, keys, flag("web", 2))
            await until(lambda: held.revisions() == {"web": 2})

        follow(server.url, keys, held, steps)


def test_one_question_to_a_dead_redis_changes_nothing(servers: Callable[..., RedisServer]) -> None:
    server, held = servers(), Held()
    held.flags = {"web": flag("web", 1)}

    async def ask() -> None:
        async with connect_async(server.url) as client:
            watch = FlagWatch(client, Keys("x:"), held, 20)
            server.kill()
            with pytest.raises(StoreUnavailable):
                await watch.refresh()

    asyncio.run(ask())
    assert held.flags == {"web": flag("web", 1)}
    assert held.wipes == 0
