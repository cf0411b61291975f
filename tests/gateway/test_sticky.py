"""A worker's memory of sticky runs, and real gateways: first arm wins, wherever Redis is; never across kill or rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.errors import StoreUnavailable
from router.flag import Flag
from router.gateway.counters import Counters
from router.gateway.sticky import Sticky
from router.lanes import RunningExperiment
from router.local.redis_server import RedisServer
from router.restore import restored
from router.rules import Condition
from router.store.connect import connect, connect_async
from router.store.keys import Keys
from router.store.sticky import StickyLog
from tests.gateway.flags import DIGEST, Bench, experiment, flag, head
from tests.gateway.running import World, eventually
from tests.gateway.test_chaos import beats
from tests.gateway.test_process_flags import arms, assignments

GERMANS = (Condition("country", "in", ("DE",)),)
COUNTRY = (("country", "header", "x-country"),)
UNITS = [f"u{number}" for number in range(40)]


def sticky(**more: Any) -> RunningExperiment:
    return experiment(sticky=0, audience=GERMANS, **more)


class Worker:
    """The memory of one worker."""

    def __init__(self, url: str, prefix: str, most: int = 100) -> None:
        self.client = connect_async(url)
        self.row = Counters(None).row(1)
        self.memory = Sticky(StickyLog(self.client, Keys(prefix), most), DIGEST, most, self.row)
        self.enrolled()  # as a compiled flag asks for its units

    def enrolled(self, *units: str) -> None:
        ours = self.memory.units(sticky())
        assert ours is not None
        for unit in units:
            ours.enrolled(DIGEST(unit.encode()))

    def knows(self, unit: str, one: RunningExperiment | None = None) -> bool:
        return self.memory.remembered(one or sticky())(unit.encode())

    def counted(self, event: str) -> int:
        return self.row.tally("pointsman_sticky", event=event).n


def with_workers(url: str, prefix: str, job: Callable[..., Awaitable[None]], **how: int) -> None:
    """Do something with two workers on one Redis."""

    async def all_of_it() -> None:
        workers = [Worker(url, prefix, **how) for _ in range(2)]
        try:
            await job(*workers)
        finally:
            for worker in workers:
                await worker.client.aclose()

    asyncio.run(all_of_it())


def test_a_worker_knows_its_own_at_once_and_those_of_others_after_an_exchange(
    redis_server: RedisServer, prefix: str
) -> None:
    async def job(one: Worker, other: Worker) -> None:
        one.enrolled("ana", "ben", "ana")
        assert one.knows("ana")
        assert not other.knows("ana")
        await one.memory.exchange()
        await other.memory.exchange()
        assert other.knows("ana")
        assert not other.knows("cy")
        assert [one.counted("taken"), other.counted("taken")] == [2, 0]

    with_workers(redis_server.url, prefix, job)


def test_a_memory_that_has_no_room_counts_and_forgets_nobody(redis_server: RedisServer, prefix: str) -> None:
    async def job(one: Worker, other: Worker) -> None:
        one.enrolled("ana", "ben", "cy")
        assert [one.knows(unit) for unit in ("ana", "ben", "cy")] == [True, True, False]
        assert one.counted("full") == 1
        other.enrolled("dee")
        await one.memory.exchange()
        await other.memory.exchange()
        assert other.counted("taken") == 0
        assert other.knows("dee")  # it goes on knowing its own
        assert [other.knows(unit) for unit in ("ana", "ben")] == [True, False]  # its own memory is full too
        assert other.counted("full") == 2

    with_workers(redis_server.url, prefix, job, most=2)


def test_of_a_run_that_left_the_flags_or_began_anew_nothing_is_remembered(
    redis_server: RedisServer, prefix: str
) -> None:
    async def job(one: Worker, other: Worker) -> None:
        one.enrolled("ana")
        await one.memory.exchange()
        later = msgspec.structs.replace(sticky(), sticky=3)
        one.memory.changed([later], [sticky()])
        await one.memory.exchange()
        assert not one.knows("ana", later)
        one.memory.changed([], [later])
        assert not one.knows("ana")
        assert not one.knows("ana", later)

    with_workers(redis_server.url, prefix, job)


def test_a_wiped_store_is_told_everything_again(redis_server: RedisServer, prefix: str) -> None:
    async def job(one: Worker, other: Worker) -> None:
        one.enrolled("ana")
        await one.memory.exchange()
        with connect(redis_server.url) as client:
            client.delete(Keys(prefix).sticky("e.1", 0))
        one.enrolled("ben")
        await one.memory.exchange()
        await other.memory.exchange()
        assert other.knows("ana") and other.knows("ben")

    with_workers(redis_server.url, prefix, job)


def test_what_cannot_be_told_waits_and_is_counted(prefix: str, tmp_path: Path) -> None:
    async def job(one: Worker, other: Worker) -> None:
        one.enrolled("ana")
        with pytest.raises(StoreUnavailable):
            await one.memory.exchange()
        assert one.knows("ana")
        assert [one.counted("failed"), one.counted("taken")] == [1, 0]

    with_workers(f"unix://{tmp_path}/nobody.sock", prefix, job)


def test_a_gate_without_memory_and_a_run_that_is_not_sticky_keep_nothing() -> None:
    bench = Bench(flag(experiments=(experiment(),)))
    bench.gate.route(head(x_person="ana"), None)
    assert bench.gate.snapshot is not None
    (route,) = bench.gate.snapshot.experiments()
    assert route.first is not None and route.first.sticky is None


def routed(world: World, made: Flag) -> None:
    """Write a flag, and wait until every worker routes by it."""
    world.put(made)
    eventually(lambda: [beat["revisions"]["web"] for beat in beats(world)] == [made.revision] * 2)


def start(world: World) -> None:
    world.put(world.flag(experiments=(sticky(),), attributes=COUNTRY))
    world.start()


def live(world: World) -> Flag:
    one = world.store.flag("web")
    assert one is not None
    return one


def french(world: World, unit: str) -> set[str]:
    """What a unit outside the audience gets over several connections, so of both workers."""
    return arms(world, x_person=unit, x_country="FR")


def german(world: World, unit: str) -> str:
    """What it gets inside the audience, by which it is enrolled."""
    return world.get("/x", **{"x-person": unit, "x-country": "DE"})[1]["Pointsman-Arm"]


def treated(world: World, units: list[str] = UNITS[:20]) -> str:
    """A unit of the treatment, enrolled by one request."""
    return next(unit for unit in units if german(world, unit) == "v2")


def told(world: World, unit: str) -> None:
    """Wait until the store, and so each worker within an exchange, knows a unit."""
    eventually(lambda: french(world, unit) == {"v2"})


def test_two_workers_keep_a_unit_in_its_first_arm_over_restart_and_dead_redis(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        start(world)
        unit = treated(world)
        told(world, unit)
        assert assignments(world)["sticky"] >= 12
        assert french(world, "never enrolled") == {"v1"}
        world.group.stop()
        world.start()
        assert french(world, unit) == {"v2"}  # read back before the first request
        world.redis.kill()
        assert french(world, unit) == {"v2"}
        other = treated(world, UNITS[20:])
        eventually(lambda: "v2" in french(world, other))  # the worker that enrolled it knows
        eventually(lambda: world.metrics().get('pointsman_sticky_total{event="failed"}', 0) > 0)
        world.redis.restart()
        told(world, other)


def test_memory_does_not_outlive_kill_switch_rollback_and_epoch(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        start(world)
        unit = treated(world)
        told(world, unit)
        for on in (True, False):
            now = live(world)
            changed = now.with_kill("v2", on=on).with_revision(now.revision + 1)
            routed(world, changed.with_units_forgotten())
            assert french(world, unit) == {"v1"}
        assert german(world, unit) == "v2"
        told(world, unit)
        routed(world, restored(live(world), live(world)))
        assert french(world, unit) == {"v1"}
        assert german(world, unit) == "v2"
        told(world, unit)
        again = msgspec.structs.replace(sticky(), run="e.2", epoch=2)
        now = live(world)
        routed(world, msgspec.structs.replace(now, experiments=(again,), epoch=2, revision=now.revision + 1))
        assert french(world, unit) == {"v1"}


def test_a_lower_coverage_moves_nobody_who_was_enrolled_and_lets_nobody_new_in(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        start(world)
        unit = treated(world)
        told(world, unit)
        now = live(world)
        routed(world, now.with_coverage("e.1", 0).with_revision(now.revision + 1))
        assert {german(world, f"new {number}") for number in range(20)} == {"v1"}
        assert arms(world, x_person=unit, x_country="DE") == {"v2"}
