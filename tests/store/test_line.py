"""A kept connection: answers belong to their questions, whatever happened to the question before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from router.store.connect import connect_async
from router.store.keys import Keys
from router.store.line import Line, numbered


def asked(url: str, steps: Any) -> None:
    async def run() -> None:
        async with connect_async(url) as client:
            await steps(Line(client))

    asyncio.run(run())


@pytest.mark.parametrize("protocol", [2, 3])
def test_several_questions_get_their_answers_in_either_protocol(
    shared_url: str, client: redis.Redis, keys: Keys, protocol: int
) -> None:
    client.hset(keys.meta, "changes", "7")
    client.zadd(keys.changes, {"a": 6, "b": 7})

    async def steps(line: Line) -> None:
        for _ in range(2):
            meta, rows = await line.ask(
                ("HMGET", keys.meta, "store_id", "changes"),
                ("ZRANGEBYSCORE", keys.changes, "(0", "+inf", "WITHSCORES", "LIMIT", 0, 10),
            )
            assert meta == [None, b"7"]
            assert numbered(rows) == [(b"a", 6), (b"b", 7)]
        (none,) = await line.ask(("ZRANGEBYSCORE", keys.changes, "(7", "+inf", "WITHSCORES"))
        assert numbered(none) == []

    mark = "&" if "?" in shared_url else "?"
    asked(f"{shared_url}{mark}protocol={protocol}", steps)


def test_what_a_refused_question_left_behind_answers_no_other(
    shared_url: str, client: redis.Redis, keys: Keys
) -> None:
    client.set(keys.token, "5")

    async def steps(line: Line) -> None:
        with pytest.raises(redis.ResponseError):
            await line.ask(("HGET", keys.token, "x"), ("ECHO", "stale"))
        assert await line.ask(("GET", keys.token)) == [b"5"]

    asked(shared_url, steps)


def test_a_question_given_up_is_not_answered_later(shared_url: str, client: redis.Redis, keys: Keys) -> None:
    async def steps(line: Line) -> None:
        (number,) = await line.ask(("CLIENT", "ID"))
        waiting = asyncio.create_task(line.ask(("BLPOP", keys.token, 0)))
        while client.client_list(client_id=[str(number)])[0]["cmd"] != "blpop":
            await asyncio.sleep(0)
        while not waiting.done():  # again: one that comes while the question is being sent may get lost
            waiting.cancel()
            await asyncio.wait([waiting], timeout=0.1)
        assert waiting.cancelled()
        assert await line.ask(("ECHO", "next")) == [b"next"]

    asked(shared_url, steps)


def test_a_connection_that_the_server_closed_is_opened_anew(shared_url: str, client: redis.Redis) -> None:
    async def steps(line: Line) -> None:
        (number,) = await line.ask(("CLIENT", "ID"))
        client.client_kill_filter(_id=str(number))
        with pytest.raises(redis.ConnectionError):
            await line.ask(("ECHO", "lost"))
        assert await line.ask(("ECHO", "again")) == [b"again"]

    asked(shared_url, steps)
