"""Controllers as processes of their own, killed the hard way while traffic runs: nothing is counted twice or never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from router.controller.fold import FoldState
from router.local.redis_server import RedisServer
from tests.conftest import eventually
from tests.controller.leading import Yard
from tests.controller.runs import EXPERIMENT

CODE = "import os; from router.controller.loop import serve; from router.settings import Settings; serve(Settings.load(os.environ))"
RUN = "a-v2.1"
KILLS = 4
SHORT = EXPERIMENT.replace("window: 5 s, grace: 1 s", "window: 1 s, grace: 1 s").replace(
    "time: 5 s", "time: 1 s"
)


class Traffic(threading.Thread):
    """A gateway's events at once and its outcomes an entry later, some entries sent twice; it knows what it sent."""

    def __init__(self, yard: Yard) -> None:
        super().__init__(daemon=True)
        self.yard, self.stopped, self.quiet = yard, threading.Event(), threading.Event()
        self.arms = [0, 0]
        self.corrected = [0, 0]
        self.repeated = 0

    def run(self) -> None:
        unit, owed = 0, list[tuple[int, int, int]]()
        while not self.stopped.wait(0.01):
            self.yard.ready("a")
            requests: list[tuple[int, int]] = []
            outcomes, owed = owed, []
            for _ in range(0 if self.quiet.is_set() else 20):
                unit += 1
                arm, value = int(unit % 4 == 0), int(unit % 7 < 2)
                requests.append((unit, arm))
                owed.append((unit, value, unit))
                self.arms[arm] += 1
                self.corrected[arm] += value
            self.yard.send(RUN, requests, outcomes)
            if unit % 100 == 0 and requests:
                self.yard.seqs[RUN, "w1"] -= 1  # the answer was lost: the same entry again
                self.yard.send(RUN, requests, outcomes)
                self.repeated += 1


@pytest.fixture
def yard(redis_server: RedisServer, client: redis.Redis, prefix: str, tmp_path: Path) -> Yard:
    made = Yard.of(client, redis_server.url, prefix, tmp_path, lease_ms=700, look_ms=100)
    made.start("a", experiment=SHORT)
    return made


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def begin(yard: Yard, processes: ExitStack) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", CODE],
        env={**os.environ, **yard.settings.as_environ()},
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        child.kill()
        child.wait()

    processes.callback(end)
    return child


def leader(yard: Yard) -> int | None:
    owner: Any = yard.client.get(yard.keys.lease)
    return int(owner.decode().rsplit("-", 2)[1]) if owner else None


def token(yard: Yard) -> int:
    found: Any = yard.client.get(yard.keys.token)
    return int(found or 0)


def folded(yard: Yard) -> dict[str, int]:
    return yard.ledger(RUN).load().moments


def leading(
    yard: Yard, children: list[subprocess.Popen[bytes]], after: int, units: int
) -> subprocess.Popen[bytes]:
    """The child that leads under a token later than ``after``, once control has so many units."""

    def lead() -> bool:
        return token(yard) > after and leader(yard) in {child.pid for child in children}

    eventually(lead, within=20)
    eventually(lambda: folded(yard).get("1|0||u|n", 0) > units, within=20)
    return next(child for child in children if child.pid == leader(yard))


def test_killed_leaders_are_followed_and_every_event_counts_once(yard: Yard, processes: ExitStack) -> None:
    children = [begin(yard, processes) for _ in range(2)]
    traffic = Traffic(yard)
    processes.callback(traffic.stopped.set)
    traffic.start()
    newest = 0
    for kill in range(KILLS):
        dead = leading(yard, children, newest, units=200 * (kill + 1))
        newest = token(yard)
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        children.remove(dead)
        children.append(begin(yard, processes))
    traffic.quiet.set()
    eventually(lambda: folded(yard).get("1|0||c|n") == traffic.arms[0], within=20)
    eventually(lambda: folded(yard).get("1|1||c|n") == traffic.arms[1], within=20)
    traffic.stopped.set()
    traffic.join()
    moments = folded(yard)
    for arm in (0, 1):
        units, corrected = traffic.arms[arm], traffic.corrected[arm]
        assert moments[f"1|{arm}||u|n"] == units > 100
        assert [moments[f"1|{arm}|corrected|c|{name}"] for name in ("n", "x")] == [units, corrected]
        assert [moments[f"1|{arm}|corrected|r|{name}"] for name in ("n", "sx")] == [units, units]
    state = msgspec.msgpack.decode(yard.ledger(RUN).load().state, type=FoldState)
    assert state.counts["outcomes|unknown"] == sum(traffic.arms)
    assert state.counts["repeated_entries"] == traffic.repeated > 0
    assert state.writers.lost_entries == 0
    moves = [
        entry["new"]["step"] for entry in yard.store.audit(run=RUN) if entry["action"] in ("start", "advance")
    ]
    assert moves == sorted(set(moves), reverse=True)
    assert moves[-1] == 0
