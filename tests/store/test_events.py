"""The event log: what is appended is read back, by blocking and by asynchronous writers."""

from __future__ import annotations

import asyncio

import redis

from router.errors import StoreUnavailable
from router.events import Entry, decode
from router.store.connect import connect_async
from router.store.events import AsyncEventLog, EventLog
from router.store.keys import Keys
from router.store.ledger import Ledger


def entry(seq: int) -> Entry:
    one = Entry("writer", seq, 1, 2, 1_000 + seq, 900, names=("corrected",))
    one.requests.append(seq, 1, 2, 3)
    one.outcomes.append(seq, 0, 1_000_000, 1_000, -1, 5, 0)
    return one


def test_both_kinds_of_writers_write_the_same_log(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    EventLog(client, keys).append("better.1", entry(1))

    async def append() -> None:
        async with connect_async(shared_url) as own:
            assert await AsyncEventLog(own, keys).append_each([("better.1", entry(2))]) == [None]

    asyncio.run(append())
    read = [decode(fields) for _, fields in Ledger(client, keys, "better.1").read(b"0-0", 10)]
    assert [(one.seq, list(one.requests.unit), list(one.outcomes.value)) for one in read] == [
        (1, [1], [1_000_000]),
        (2, [2], [1_000_000]),
    ]


def test_of_entries_that_travel_together_the_refused_are_told_and_the_others_written(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    client.set(keys.run("spoilt.1").events, "a key of somebody else")

    async def append() -> list[StoreUnavailable | None]:
        async with connect_async(shared_url) as own:
            log = AsyncEventLog(own, keys)
            return await log.append_each([("a.1", entry(1)), ("spoilt.1", entry(1)), ("b.1", entry(1))])

    first, second, third = asyncio.run(append())
    assert first is third is None
    assert "WRONGTYPE" in str(second)
    assert [len(Ledger(client, keys, run).read(b"0-0", 10)) for run in ("a.1", "b.1")] == [1, 1]


def test_partitions_and_runs_do_not_mix(client: redis.Redis, keys: Keys) -> None:
    log = EventLog(client, keys)
    log.append("better.1", entry(1), partition=0)
    log.append("better.1", entry(2), partition=1)
    log.append("better.2", entry(3))
    assert [Ledger(client, keys, "better.1", p).length() for p in (0, 1, 2)] == [1, 1, 0]
    assert Ledger(client, keys, "better.2").length() == 1
