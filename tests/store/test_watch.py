"""Following the flags: hint and poll, through restarts, wiped and exchanged stores, and flags that cannot be read."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis

from router.errors import StoreUnavailable
from router.flag import Arm, Flag, UnitSource
from router.local.redis_server import RedisServer
from router.store.connect import connect, connect_async
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from router.store.watch import FlagWatch

PATIENCE_S = 10.0


class Held:
    """What a gateway would route by."""

    def __init__(self) -> None:
        self.store_id = ""
        self.flags: dict[str, Flag] = {}
        self.broken: dict[str, str] = {}
        self.wipes = 0
        self.lacks = False
        self.up: bool | None = None

    def revisions(self) -> Mapping[str, int]:
        return {route: flag.revision for route, flag in self.flags.items()}

    def moved(self, flags: Mapping[str, Flag], gone: set[str], store_id: str) -> None:
        self.flags = {route: flag for route, flag in self.flags.items() if route not in gone} | dict(flags)
        self.store_id = store_id
        self.lacks = False

    def corrupt(self, route: str, problem: str) -> None:
        self.broken[route] = problem

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
async def watching(url: str, keys: Keys, held: Held, poll_ms: int = 20) -> Any:
    async with connect_async(url) as client:
        task = asyncio.create_task(FlagWatch(client, keys, held, poll_ms).run())
        try:
            yield task
            assert not task.done(), "the watch ended by itself"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def follow(url: str, keys: Keys, held: Held, steps: Callable[[], Awaitable[None]], poll_ms: int = 20) -> None:
    async def run() -> None:
        async with watching(url, keys, held, poll_ms):
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

    follow(shared_url, keys, held, steps, poll_ms=60_000)
    assert held.up is True


def test_a_lost_hint_costs_one_poll(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    held = Held()

    async def steps() -> None:
        await until(lambda: held.up)
        client.hset(keys.flags, "web", flag("web", 1).encode())
        client.hset(keys.revisions, "web", 1)
        await until(lambda: held.revisions() == {"web": 1})

    follow(shared_url, keys, held, steps)


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
        client.hdel(keys.revisions, "phone")
        await until(lambda: list(held.flags) == ["web"])
        client.hdel(keys.revisions, "web")
        await until(lambda: held.wipes)
        assert list(held.flags) == ["web"]

    follow(shared_url, keys, held, steps)


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
        client.hdel(keys.revisions, "desk")  # from here on the store is trusted again
        await until(lambda: set(held.flags) == {"web", "phone"})

    follow(shared_url, keys, held, steps)


def test_a_store_that_lost_its_last_writes_is_followed_backwards(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    held = Held()
    write(client, keys, flag("web", 1), flag("web", 2, "v2"))

    async def steps() -> None:
        await until(lambda: held.revisions() == {"web": 2})
        client.hset(keys.flags, "web", flag("web", 1).encode())
        client.hset(keys.revisions, "web", 1)
        await until(lambda: held.flags["web"] == flag("web", 1))

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
