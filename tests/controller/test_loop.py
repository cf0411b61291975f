"""The loop: who leads, that one run's trouble stops no other, and when it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from router.local.redis_server import RedisServer
from router.store.ledger import Ledger
from tests.controller.leading import Yard


@pytest.fixture
def yard(redis_server: RedisServer, client: redis.Redis, prefix: str, tmp_path: Path) -> Yard:
    return Yard.of(client, redis_server.url, prefix, tmp_path)


def units(yard: Yard, run: str) -> int:
    return yard.ledger(run).load().moments.get("1|1||u|n", 0)


def broken_cursor(yard: Yard, run: str) -> None:
    yard.client.set(yard.keys.run(run).cursor, "no hash")


def broken_state(yard: Yard, run: str) -> None:
    yard.client.hset(yard.keys.run(run).cursor, "state", b"\xc1 no state")


def broken_moment(yard: Yard, run: str) -> None:
    yard.client.hset(yard.keys.run(run).moments, "1|0||u|n", "many")


def broken_run(yard: Yard, run: str) -> None:
    yard.store_run(run, spec={**yard.run(run)["spec"], "metrics": []})


def newer_stamp(yard: Yard, run: str) -> None:
    yard.ledger(run).stamp(2**52)


@pytest.mark.parametrize(
    "spoil", [broken_cursor, broken_state, broken_moment, broken_run, newer_stamp], ids=lambda f: f.__name__
)
def test_a_run_that_cannot_be_folded_stops_no_other(yard: Yard, spoil: Any) -> None:
    yard.start("a", "b", "c")
    spoil(yard, "b-v2.1")
    controller = yard.controller()
    for unit in (1, 2):
        for run in ("a-v2.1", "c-v2.1"):
            yard.send(run, requests=[(unit, 1)])
        assert controller.tick()
    assert (units(yard, "a-v2.1"), units(yard, "c-v2.1")) == (2, 2)
    assert yard.run("c-v2.1")["look"] is not None


def test_a_batch_that_fails_midway_is_folded_whole_at_the_next_tick(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.start("a")
    yard.send("a-v2.1", requests=[(7, 1)])
    commit, left = Ledger.commit, [1]

    def failing(ledger: Ledger, *arguments: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("out of memory")
        commit(ledger, *arguments)

    monkeypatch.setattr(Ledger, "commit", failing)
    controller = yard.controller()
    assert controller.tick()
    assert units(yard, "a-v2.1") == 0
    assert controller.tick()
    assert units(yard, "a-v2.1") == 1
    assert yard.run("a-v2.1")["evidence"]["health"]["counts"].get("repeated_entries", 0) == 0
