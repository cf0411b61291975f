"""What sticky runs remember in Redis: each unit once and in order, no more than there is room for, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis

from router.errors import StoreUnavailable
from router.store.connect import connect_async
from router.store.keys import Keys
from router.store.sticky import LIFE_MS, PAGE, Memory, StickyLog, StickyUnits
from tests.store.conftest import Servers

MEMORY = Memory("better.1", 0)
Found = TypeVar("Found")


def on(url: str, keys: Keys, job: Callable[[StickyLog], Awaitable[Found]], most: int = 10) -> Found:
    """Do something with a log on a connection of its own."""

    async def all_of_it() -> Found:
        client = connect_async(url)
        try:
            return await job(StickyLog(client, keys, most))
        finally:
            await client.aclose()

    return asyncio.run(all_of_it())


def test_units_are_numbered_once_in_the_order_in_which_they_came(shared_url: str, keys: Keys) -> None:
    async def job(log: StickyLog) -> None:
        assert await log.exchange(MEMORY, [], 0) == (0, 0, [])
        assert await log.exchange(MEMORY, [7, 2**64 - 1, 7], 0) == (0, 0, [7, 2**64 - 1])
        assert await log.exchange(MEMORY, [5, 7], 2) == (2, 0, [5])
        assert await log.exchange(MEMORY, [7, 5], 3) == (3, 0, [])
        assert await log.exchange(Memory("better.1", 4), [], 0) == (0, 0, [])
        assert await log.exchange(Memory("better.2", 0), [], 0) == (0, 0, [])

    on(shared_url, keys, job)


def test_more_units_than_there_is_room_for_are_refused_and_known_ones_are_not(
    shared_url: str, keys: Keys
) -> None:
    async def job(log: StickyLog) -> None:
        assert (await log.exchange(MEMORY, list(range(12)), 0))[:2] == (0, 2)
        assert (await log.exchange(MEMORY, [3, 11], 10))[:2] == (10, 1)

    on(shared_url, keys, job)


def test_a_page_is_read_at_a_time(shared_url: str, keys: Keys) -> None:
    async def job(log: StickyLog) -> None:
        units = list(range(1, 2 * PAGE))
        await log.exchange(MEMORY, units, 0)
        first = (await log.exchange(MEMORY, [], 0)).page
        assert first + (await log.exchange(MEMORY, [], PAGE)).page == units
        assert len(first) == PAGE

    on(shared_url, keys, job, most=2 * PAGE)


def test_it_lives_for_a_week_after_the_last_gateway(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    key = keys.sticky(*MEMORY)
    on(shared_url, keys, lambda log: log.exchange(MEMORY, [1], 0))
    assert LIFE_MS - 60_000 < client.pttl(key) <= LIFE_MS
    client.pexpire(key, LIFE_MS // 2 - 1)
    on(shared_url, keys, lambda log: log.exchange(MEMORY, [], 1))
    assert client.pttl(key) > LIFE_MS - 60_000


def test_the_api_asks_for_one_unit(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    on(shared_url, keys, lambda log: log.exchange(MEMORY, [7], 0))
    asked = StickyUnits(client, keys)
    assert asked.has(MEMORY, 7)
    assert not asked.has(MEMORY, 8)
    assert not asked.has(Memory("better.1", 3), 7)


def test_a_key_of_somebody_else_and_a_dead_or_full_redis_are_said(
    shared_url: str, client: redis.Redis, keys: Keys, servers: Servers
) -> None:
    client.set(keys.sticky(*MEMORY), "not ours")
    with pytest.raises(StoreUnavailable, match="holds a string"):
        on(shared_url, keys, lambda log: log.exchange(MEMORY, [1], 0))
    full = servers("--maxmemory", "100kb", "--maxmemory-policy", "noeviction")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        on(full.url, keys, lambda log: log.exchange(MEMORY, [1], 0))
    full.kill()
    with pytest.raises(StoreUnavailable):
        on(full.url, keys, lambda log: log.exchange(MEMORY, [1], 0))
