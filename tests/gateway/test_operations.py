"""The gateway before it starts, and one whose loop stands still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from router.flag import Arm, ArmSet
from router.gateway.checking import problems
from router.settings import Settings
from tests.gateway.running import World, eventually


def said(settings: Settings) -> dict[str, str]:
    return {problem.path: str(problem) for problem in problems(settings)}


def test_a_check_names_everything_that_stands_in_the_way_and_changes_nothing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        assert said(world.settings) == {}
        assert not Path(world.settings.data_dir).exists()
        secret = ArmSet(headers=(("x-key", "${env:POINTSMAN_NO_SUCH_SECRET}"),))
        world.put(world.flag(arms=(Arm("v1", "http://h:1", set=secret),), revision=2))
        (tmp_path / "file").write_text("no certificate")
        bad = replace(
            world.settings,
            gateway_bind="nonsense",
            gateway_certfile=str(tmp_path / "file"),
            gateway_keyfile=str(tmp_path / "file"),
            data_dir=str(tmp_path / "file"),
            traces="zipkin",
            decision_keys="x",
            unit_key="x",
        )
        found = said(bad)
        assert set(found) == {
            "gateway_bind", "gateway_certfile", "data_dir", "traces", "secrets", "web.arms.v1.set.headers.x-key"
        }  # fmt: skip
        world.client.hset(world.keys.flags, "broken", "{")
        assert "broken" in said(world.settings)
    away = said(replace(world.settings, store_timeout_ms=100))
    assert list(away) == ["redis_url"]
    assert "no flags are kept on disk" in away["redis_url"]
    assert said(replace(world.settings, redis_url="")) == {
        "redis_url": "redis_url: expected the address of Redis, found nothing - set REDIS_URL=redis://host:6379/0"
    }


@pytest.mark.parametrize(("bind", "code"), [("127.0.0.1:0", 0), ("256.0.0.1:80", 1), ("127.0.0.1", 2)])
def test_the_command_checks_and_exits(tmp_path: Path, bind: str, code: int) -> None:
    with World(tmp_path) as world:
        environ = {**os.environ, **replace(world.settings, gateway_bind=bind).as_environ()}
        command = [sys.executable, "-m", "router", "gateway", "--check"]
        run = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        shown = run.stderr if code == 2 else run.stdout  # settings that cannot be read are trouble
        assert (run.returncode, bool(shown)) == (code, True)
        assert ("gateway_bind" in shown) == bool(code)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_loop_that_stood_still_is_counted_and_costs_the_others_nothing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.put(world.flag())
        world.start()
        first, _ = world.workers()
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: stopped(first))
        load = world.load(clients=2)
        load.more(400)  # a millisecond and more each
        os.kill(first, signal.SIGCONT)
        eventually(lambda: world.counted("pointsman_loop_stalls_total") >= 1)
        assert world.counted("pointsman_loop_stalled_ms_total") >= 100
        load.stop()
        assert load.failed == []
        assert first in world.workers()


def test_a_worker_that_does_not_go_on_is_replaced(tmp_path: Path) -> None:
    with World(tmp_path, worker_timeout_ms=2000) as world:
        world.put(world.flag())
        world.start()
        first, _ = world.workers()
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: first not in world.workers() and len(world.workers()) == 2)
        eventually(lambda: world.get("/v2/x")[0] == 200)


def test_the_access_log_of_a_process_is_whole_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with World(tmp_path, access_log=str(path)) as world:
        world.put(world.flag())
        world.start()
        load = world.load()
        load.more(100)
        load.stop()
        os.kill(world.master, signal.SIGTERM)
        world.group.children["gateway"].wait(10)
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        assert sum(line["path"] == "/v2/infer" for line in lines) == load.answered
        assert all(line["outcome"] == "ok" for line in lines)
