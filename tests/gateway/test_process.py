"""The real gateway, with what it depends on killed under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router.gateway import losses
from router.settings import Settings
from router.store.flags import FlagStore
from tests.gateway.flags import experiment
from tests.gateway.running import World, dropped_of, eventually, exposures_of, gaps_of, lives, rows_of


def settle(world: World) -> None:
    """Nothing waits any more, and what was lost has been reported."""
    eventually(lambda: world.counted("pointsman_rows_taken_total") > 0)

    def settled() -> bool:
        taken = world.counted("pointsman_rows_taken_total")
        gone = world.counted("pointsman_rows_flushed_total") + world.counted("pointsman_rows_dropped_total")
        return taken == gone and not losses.waiting(Path(world.settings.data_dir))

    eventually(settled)


def holds(world: World, answered: int, asked: int | None = None) -> None:
    """The conservation law: what was taken is in the log or reported as dropped, each once."""
    settle(world)

    def law() -> bool:
        entries = world.entries()
        return rows_of(entries) + dropped_of(entries) == world.counted("pointsman_rows_taken_total")

    eventually(law)
    entries = world.entries()
    assert gaps_of(entries) == []
    if asked is not None:
        assert exposures_of(entries) <= asked
    assert exposures_of(entries) + dropped_of(entries) >= answered


def replaced(world: World, worker: int) -> None:
    """The master has noticed, and there are two again."""
    eventually(lambda: worker not in world.workers() and len(world.workers()) == 2)


def test_redis_killed_while_serving_fails_no_request_and_loses_nothing_unsaid(tmp_path: Path) -> None:
    with World(tmp_path, buffer_rows=100) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        load = world.load()
        load.more(200)
        world.redis.kill()
        load.more(600)
        assert json.loads(world.get("/readyz")[2])["ready"]
        eventually(lambda: world.metrics()["pointsman_store_up"] == 0)
        world.redis.restart()
        eventually(lambda: world.metrics()["pointsman_store_up"] == 1)
        load.more(200)
        load.stop()
        assert load.failed == []
        assert world.counted("pointsman_rows_dropped_total") > 0
        holds(world, load.answered)


def test_redis_frozen_delays_no_request(tmp_path: Path) -> None:
    with World(tmp_path, buffer_rows=100) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        load = world.load(clients=2)
        load.more(100)
        os.kill(world.redis.pid, signal.SIGSTOP)
        try:
            slowest = 0.0
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                begun = time.monotonic()
                assert world.get("/v2/x", **{"X-Person": "ann"})[0] == 200
                slowest = max(slowest, time.monotonic() - begun)
        finally:
            os.kill(world.redis.pid, signal.SIGCONT)
        load.stop()
        assert load.failed == []
        assert slowest < 1.0
        holds(world, load.answered)


def test_redis_away_at_start_routes_by_the_flags_on_disk(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        eventually(lambda: (Path(world.settings.data_dir) / "snapshot.lines").exists())
        before = world.get("/v2/x", **{"X-Person": "ann"})
        world.group.stop()
        world.redis.stop()
        world.start()
        state = json.loads(world.get("/readyz")[2])
        assert (state["ready"], state["store"], state["revisions"]) == (True, "away", {"web": 1})
        after = world.get("/v2/x", **{"X-Person": "ann"})
        assert after[1]["Pointsman-Arm"] == before[1]["Pointsman-Arm"]
        world.redis.start()
        eventually(lambda: json.loads(world.get("/readyz")[2])["store"] == "up")


def test_redis_away_at_start_without_kept_flags_is_not_ready_until_it_answers(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.redis.stop()
        world.start(ready=False)
        assert world.get("/readyz")[0] == 503
        assert world.get("/livez")[0] == 200
        status, _, body = world.get("/v2/x")
        assert (status, json.loads(body)["error"]["code"]) == (503, "no_flags")
        world.redis.start()
        eventually(lambda: [world.get("/readyz")[0] for _ in range(6)] == [200] * 6)
        assert world.get("/v2/x")[0] == 200


def test_a_killed_worker_fails_only_its_open_requests_and_its_rows_are_reported(tmp_path: Path) -> None:
    with World(tmp_path, flush_ms=200) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        load = world.load()
        for _ in range(2):
            load.more(300)
            victim = world.workers()[0]
            os.kill(victim, signal.SIGKILL)
            replaced(world, victim)
        load.more(300)
        load.stop()
        assert len(load.failed) <= 2 * load.clients
        assert not [failure for failure in load.failed if failure.startswith("connect")]
        assert load.answered > 900
        holds(world, load.answered, load.answered + len(load.failed))
        assert world.counted("pointsman_rows_dropped_total") >= dropped_of(world.entries()) > 0


def test_a_killed_master_ends_its_workers_and_the_next_start_reports_what_they_left(tmp_path: Path) -> None:
    with World(tmp_path, flush_ms=60_000, graceful_timeout_ms=200) as world:
        world.put(world.flag(experiments=(experiment(),)))
        world.start()
        for number in range(5):
            assert world.get("/v2/x", **{"X-Person": str(number)})[0] == 200
        workers = world.workers()
        for pid in (world.master, *workers):
            os.kill(pid, signal.SIGKILL)
        world.group.children["gateway"].wait()
        world.start()
        eventually(lambda: dropped_of(world.entries()) == 5)
        assert not list(Path(world.settings.data_dir).glob("lost/*.json"))
        assert len(list(Path(world.settings.data_dir).glob("counters-*"))) == 1


def test_workers_do_not_outlive_their_master(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        workers = world.workers()
        os.kill(world.master, signal.SIGKILL)
        world.group.children["gateway"].wait()
        eventually(lambda: not any(lives(pid) for pid in workers), 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_or_a_reload_under_load_fails_no_request(tmp_path: Path, number: int) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(),)))
        for model in world.models:
            model.delay_s = 0.02
        world.start()
        workers = world.workers()
        load = world.load()
        load.more(100)
        os.kill(world.master, number)
        if number == signal.SIGTERM:
            world.group.children["gateway"].wait(10)
            load.ending = True
            failures = [failure for failure in load.failed if not failure.startswith("connect")]
            assert failures == []
            taken = exposures_of(world.entries())
            assert taken == load.answered
        else:
            eventually(lambda: not set(workers) & set(world.workers()))
            load.more(100)
            again = world.workers()
            os.kill(world.master, number)  # on the connections of the second generation
            eventually(lambda: not set(again) & set(world.workers()))
            load.more(100)
            load.stop()
            assert load.failed == []
            holds(world, load.answered)


def test_an_open_answer_is_finished_before_a_worker_ends(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        for model in world.models:
            model.delay_s = 1.5
        world.start()
        load = world.load(clients=4)
        eventually(lambda: world.counted("pointsman_assignments_total") >= 4)
        os.kill(world.master, signal.SIGTERM)
        world.group.children["gateway"].wait(10)
        load.ending = True
        assert load.answered >= 4
        assert [failure for failure in load.failed if not failure.startswith("connect")] == []


def test_routes_alone_pass_through_and_an_experiment_added_under_load_fails_no_request(
    tmp_path: Path,
) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(revision=1, epoch=0))
        world.start()
        load = world.load()
        load.more(200)
        assert load.arms == {"v1": load.answered}
        assert load.identified == 0
        assert set(world.get("/v2/x")[1]) == {"Content-Length", "Connection", "Date"}
        world.put(world.flag(revision=2, experiments=(experiment(),)))
        eventually(lambda: load.arms.get("v2", 0) > 100)
        world.put(world.flag(revision=3, epoch=1, default="v2"))
        load.more(100)
        load.stop()
        assert load.failed == []
        assert load.identified > 0
        holds(world, load.identified)
        # Latencies are in microseconds, not in turns of the loop.
        assert any(latency % 1000 for entry in world.entries() for latency in entry.requests.latency)


def test_a_flag_change_is_routed_by_every_worker_within_a_second(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        for revision in range(2, 8):
            arm = "v2" if revision % 2 == 0 else "v1"
            world.put(world.flag(revision=revision, default=arm))
            begun = time.monotonic()
            streak = 0
            while streak < 8:
                streak = streak + 1 if json.loads(world.get("/v2/x")[2])["arm"] == arm else 0
                assert time.monotonic() - begun < 2.0


def test_a_corrupt_flag_keeps_its_last_good_one_and_stops_no_other(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(route="a", path="/a"))
        world.put(world.flag(route="b", path="/b"))
        world.start()
        world.put(world.flag(route="a", path="/a", revision=2))
        store = FlagStore(world.client, world.keys)

        def told() -> list[int]:
            return [beat["revisions"].get("a", 0) for beat in store.heartbeats(time.time_ns() // 1_000_000)]

        eventually(lambda: told() == [2] * 2)  # every worker has read the good one
        world.client.hset(world.keys.flags, "a", b'{"route":"a","nonsense":1}')
        world.client.zadd(world.keys.changes, {"a": world.client.hincrby(world.keys.meta, "changes", 1)})
        world.put(world.flag(route="b", path="/b", revision=2, default="v2"))
        eventually(lambda: json.loads(world.get("/b")[2])["arm"] == "v2")
        assert json.loads(world.get("/a")[2])["arm"] == "v1"
        state = eventually(lambda: (found := json.loads(world.get("/readyz")[2]))["corrupt"] and found)
        assert state["revisions"] == {"a": 2, "b": 2}
        assert "nonsense" in state["corrupt"]["a"]
        assert world.counted("pointsman_flag_problems_total") >= 1


def test_a_wiped_store_leaves_the_flags_that_route(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        store = FlagStore(world.client, world.keys)

        def told() -> list[dict[str, int]]:
            return [beat["revisions"] for beat in store.heartbeats(time.time_ns() // 1_000_000)]

        eventually(lambda: told() == [{"web": 1}] * 2)  # every worker has read the flags
        for key in world.client.scan_iter(world.keys.prefix + "*"):
            world.client.delete(key)
        eventually(lambda: json.loads(world.get("/readyz")[2])["store"] == "wiped")
        assert world.get("/v2/x")[0] == 200


def test_the_heartbeat_tells_revisions_and_which_arms_are_ready(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        arms = (*world.arms, type(world.arms[0])("gone", "http://127.0.0.1:1"))
        world.put(world.flag(arms=arms, experiments=(experiment(),)))
        world.put(world.flag(route="other", path="/other"))
        world.start()
        store = FlagStore(world.client, world.keys)

        def beats() -> bool:
            found = store.heartbeats(time.time_ns() // 1_000_000, 3000)
            return len(found) == 2 and all(
                beat["ready"] == {"web/v1": True, "web/v2": True, "web/gone": False}
                and beat["revisions"] == {"web": 1, "other": 1}
                and (beat["routes"], beat["change"], beat["override"]) == (2, 2, None)
                and beat["role"] == "gateway"
                for beat in found
            )

        eventually(beats)
        assert {beat["pid"] for beat in store.heartbeats(0, 10**15)} == set(world.workers())
        world.group.stop()
        assert world.client.hgetall(world.keys.gateways) == {}


def test_without_an_address_of_redis_it_says_what_to_do(tmp_path: Path) -> None:
    environ = {**os.environ, **Settings.load({}, None, {"data_dir": str(tmp_path)}).as_environ()}
    environ.pop("REDIS_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "router", "gateway"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "redis_url" in done.stderr
    assert "REDIS_URL=redis://" in done.stderr
