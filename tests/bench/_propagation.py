"""From a written flag until all workers route by it, and how long a worker's loop stands still meanwhile.

The writer waits for the store's answer, which our own Redis gives once the change is on disk: the write is told apart.
What else runs on the machine is in every figure, so each comes with its range over rounds, with how busy the workers
were, and with the load of the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from router.flag import Flag
from router.store.flags import Change, FlagStore

HERE = Path(__file__).parent
WORKERS = 4
ROUNDS = 5
CHANGES = 100  # in a round
PACE_S = 0.02
SETTLED_S = 1.0


class Followers:
    """Workers that follow the store, each with its own folder, all ready."""

    def __init__(self, url: str, prefix: str, folder: Path, mode: str, count: int, routes: int) -> None:
        self._made = []
        for number in range(count):
            words = [url, prefix, str(folder / str(number)), mode, str(routes)]
            command = [sys.executable, str(HERE / "_follower.py"), *words]
            self._made.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for one in self._made:
            assert one.stdout is not None and one.stdout.readline() == "ready\n"

    def told(self) -> list[dict[str, Any]]:
        """What each has seen; they end."""
        time.sleep(SETTLED_S)
        return [json.loads(one.communicate("stop\n")[0].strip().splitlines()[-1]) for one in self._made]


def changes(store: FlagStore, url: str, prefix: str, folder: Path, routes: int) -> dict[str, Any]:
    """Milliseconds from before the write until the last of the workers routes by it, while all route a load.

    ``written`` is the part until the writer has the store's answer; ``p50_ms`` and ``p99_ms`` are the middle of the
    rounds, beside the best and the worst of them.
    """
    workers = Followers(url, prefix, folder, "load", WORKERS, routes)
    flag = store.flag("r0")
    assert flag is not None
    wrote: dict[int, tuple[int, int]] = {}
    for _ in range(ROUNDS * CHANGES):
        flag = flag.with_default("v2" if flag.default == "v1" else "v1").with_revision(flag.revision + 1)
        begun = time.monotonic_ns()
        store.commit(Change({"n": 1}, flag))
        wrote[flag.revision] = begun, time.monotonic_ns()
        time.sleep(PACE_S)
    answers = workers.told()
    took = [max(_reached(one["seen"], n) for one in answers) - begun for n, (begun, _) in wrote.items()]
    written = [done - begun for begun, done in wrote.values()]
    rounds = [statistics.quantiles(took[at : at + CHANGES], n=100) for at in range(0, len(took), CHANGES)]
    seconds = max(one["seconds"] for one in answers)
    return {
        "routes": routes,
        **_over("p50", [cuts[49] for cuts in rounds]),
        **_over("p99", [cuts[98] for cuts in rounds]),
        "written_p50_ms": statistics.median(written) / 1e6,
        "requests_per_s": sum(one["requests"] for one in answers) / seconds,
        "workers_busy": sum(one["busy_s"] for one in answers) / seconds / (os.cpu_count() or 1),
        "machine_load": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }


def _reached(seen: dict[str, int], revision: int) -> int:
    """When a worker first routed by a revision, or by a later one that overtook it."""
    return min(at for n, at in seen.items() if int(n) >= revision)


def _over(name: str, rounds: list[float]) -> dict[str, float]:
    """The middle of the rounds and their range."""
    middle = statistics.median(rounds)
    return {
        f"{name}_ms": middle / 1e6,
        f"{name}_ms_best": min(rounds) / 1e6,
        f"{name}_ms_worst": max(rounds) / 1e6,
    }


def longest(
    store: FlagStore, url: str, prefix: str, folder: Path, flags: Iterable[Flag], routes: int
) -> dict[str, Any]:
    """The processor time of the longest callbacks while all flags change, one write after the other.

    ``noise_ms`` is the longest of as many equal pieces of work on the same thread: what the machine adds to any.
    """
    worker = Followers(url, prefix, folder, "callbacks", 1, routes)
    for flag in flags:
        now = store.flag(flag.route)
        assert now is not None
        store.commit(Change({}, flag.with_default("v2").with_revision(now.revision + 1)))
    (answer,) = worker.told()
    return {**answer["turns"], "machine_load": os.getloadavg()[0]}
