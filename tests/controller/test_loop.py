"""The loop: who leads, that one run's trouble stops no other, and when it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from router.controller.fold import ENTRIES_PER_BATCH
from router.controller.loop import Controller
from router.local.redis_server import RedisServer
from router.store.lease import Lease
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
    yard.client.hset(yard.keys.runs, "b-v2.0", b"{}")
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


def test_the_second_controller_takes_over_where_the_first_one_stopped(yard: Yard) -> None:
    yard.start("a")
    first, second = yard.controller(), yard.controller()
    yard.send("a-v2.1", requests=[(1, 1)])
    assert first.tick()
    assert not second.tick()
    yard.client.delete(yard.keys.lease)  # it ended
    yard.send("a-v2.1", requests=[(1, 1), (2, 1)])
    assert second.tick()
    assert not first.tick()
    assert (first.token, units(yard, "a-v2.1")) == (None, 2)
    second.lease.release()
    yard.send("a-v2.1", requests=[(2, 1), (3, 1)])
    token = second.token
    assert first.tick()
    assert first.token is not None
    assert token is not None
    assert first.token > token
    assert units(yard, "a-v2.1") == 3


class CountingLease(Lease):
    """Counts how often it is asked."""

    asked = 0

    def acquire(self) -> int | None:
        self.asked += 1
        return super().acquire()


def backlog(yard: Yard, *runs: str, batches: int) -> None:
    yard.start("a", "b")
    for unit in range(batches * ENTRIES_PER_BATCH):
        for run in runs:
            yard.send(run, requests=[(unit + 1, 1)])


def test_a_long_backlog_renews_the_lease_between_its_batches(yard: Yard) -> None:
    backlog(yard, "a-v2.1", batches=6)
    slow = iter(range(0, 10**9, yard.settings.lease_ms // 2))
    begun = yard.now()
    controller = Controller(yard.client, yard.settings, lambda: begun + next(slow))
    controller.lease = CountingLease(yard.client, yard.keys, "slow", yard.settings.lease_ms, yard.now)
    assert controller.tick()
    assert units(yard, "a-v2.1") == 6 * ENTRIES_PER_BATCH
    assert controller.lease.asked >= 6


def test_a_leader_that_loses_its_lease_in_a_backlog_stops_there(yard: Yard) -> None:
    runs = ("a-v2.1", "b-v2.1")
    backlog(yard, *runs, batches=3)
    calls, begun = iter(range(1000)), yard.now()

    def folded() -> list[int]:
        return sorted(units(yard, name) for name in runs)  # which run is first is Redis's affair

    def clock() -> int:
        if folded() != [0, 0]:
            yard.client.set(yard.keys.lease, "another")
        return begun + next(calls) * yard.settings.lease_ms // 2

    assert not Controller(yard.client, yard.settings, clock).tick()
    assert folded() == [0, ENTRIES_PER_BATCH]
    assert [yard.run(name)["look"] for name in runs] == [None, None]


def test_it_looks_at_most_once_per_look_ms(yard: Yard) -> None:
    yard.start("a")
    controller = yard.controller()
    for _ in range(3):
        assert controller.tick()
    first = yard.run("a-v2.1")["look"]
    assert first["number"] == 1
    yard.ahead += yard.settings.look_ms
    for _ in range(3):
        assert controller.tick()
    second = yard.run("a-v2.1")["look"]
    assert second["number"] == 2
    assert second["time"] - first["time"] >= yard.settings.look_ms


def all_ready(yard: Yard) -> None:
    yard.ready("a")
    yard.ready("a", gateway="g2")


def nobody(yard: Yard) -> None:
    yard.store.heartbeat(
        "c9", {"role": "controller", "writer": "c9", "time": yard.now(), "ready": {"a/v2": 1}}
    )


def one_is_not(yard: Yard) -> None:
    yard.ready("a")
    yard.ready("a", gateway="g2", answered=False)


def one_has_not_said(yard: Yard) -> None:
    yard.ready("a")
    yard.ready("b", gateway="g2")


def long_ago(yard: Yard) -> None:
    yard.ready("a", now=yard.now() - 10_000)


def one_has_gone(yard: Yard) -> None:
    yard.ready("a")
    yard.ready("a", now=yard.now() - 10_000, gateway="g2", answered=False)


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (all_ready, 0),
        (one_has_gone, 0),
        (nobody, -1),
        (one_is_not, -1),
        (one_has_not_said, -1),
        (long_ago, -1),
    ],
)
def test_a_run_starts_when_every_live_gateway_has_seen_its_treatment_ready(
    yard: Yard, seen: Any, step: int
) -> None:
    yard.start("a")
    seen(yard)
    yard.controller().tick()
    assert yard.run("a-v2.1")["step"] == step


def test_a_unit_that_lost_its_lane_while_its_window_was_open_is_dropped(yard: Yard) -> None:
    yard.start("a")
    controller = yard.controller()
    yard.send("a-v2.1", requests=[(300, 1), (700, 1)])
    controller.tick()
    yard.store_run(
        "a-v2.1",
        coverage=[[yard.now() - 60_000, 2, 1_000_000], [yard.now() + 1000, 3, 2000]],
        version=yard.run("a-v2.1")["version"] + 1,
    )
    yard.ahead += 8000
    yard.send("a-v2.1")
    controller.tick()
    moments = yard.ledger("a-v2.1").load().moments
    assert [moments.get(f"1|1||{key}|n") for key in ("u", "x", "c")] == [1, 1, 1]
    assert moments["1|1|errors|c|n"] == 1
