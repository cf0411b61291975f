"""A gateway's worker without its sockets: the real duties, routing a load, telling when each revision began to route.

Run by the bench beside it: REDIS_URL, PREFIX and a folder as arguments; ``callbacks`` measures the processor time of each
turn of a Python loop instead of the load's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import uvloop

from router.gateway.counters import Counters
from router.gateway.duties import Duties
from router.gateway.snapshot import CompiledRoute
from router.settings import Settings
from router.store.secrets import load_secrets
from tests.gateway.flags import head

WATCHED = "r0"
LOAD_PER_TURN, TURN_S = 20, 0.004


class Follower:
    """Duties whose swaps are noted."""

    def __init__(self, url: str, prefix: str, folder: str) -> None:
        settings = Settings.load({}, None, {"redis_url": url, "prefix": prefix, "data_dir": folder})
        counters = Counters(None)
        row = counters.row(counters.reserve())
        self.seen: dict[int, int] = {}
        self.requests = 0
        self.times: list[float] = []
        self.duties = Duties(
            settings, load_secrets(settings), counters, row, f"f-{id(self)}", logging.getLogger("follower")
        )
        self.duties.flags._swapped = self._note

    def _note(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> None:
        self.duties._swapped(new, old)
        for route in new:
            if route.flag.route == WATCHED:
                self.seen.setdefault(route.flag.revision, time.monotonic_ns())

    async def load(self) -> None:
        asked = head("/v2/models/m0/infer", x_person="ana")
        while True:
            for _ in range(LOAD_PER_TURN):
                self.duties.gate.route(asked, None)
            self.requests += LOAD_PER_TURN
            await asyncio.sleep(TURN_S)

    async def run(self, routes: int, *, loaded: bool) -> None:
        self.duties.start()
        while len(self.duties.flags.tokens) < routes:
            await asyncio.sleep(0.05)
        self.times.clear()
        task = asyncio.create_task(self.load()) if loaded else None
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        if task:
            task.cancel()
        await self.duties.stop()


def timed_callbacks(times: list[float]) -> None:
    """Note the processor time of each callback of the loop."""
    handles: Any = asyncio.events.Handle
    run = handles._run

    def timed(handle: Any) -> None:
        begun = time.thread_time()
        run(handle)
        times.append(time.thread_time() - begun)

    handles._run = timed


def main() -> None:
    """Follow until a line comes in, then tell what was seen."""
    url, prefix, folder, mode, routes = sys.argv[1:6]
    follower = Follower(url, prefix, folder)
    if mode == "callbacks":
        timed_callbacks(follower.times)
    runner = asyncio.run if mode == "callbacks" else uvloop.run

    async def follow() -> None:
        await follower.run(int(routes), loaded=mode == "load")

    runner(follow())
    times = follower.times
    answer = {
        "seen": follower.seen,
        "requests": follower.requests,
        "longest_ms": max(times, default=0.0) * 1e3,
    }
    print(
        json.dumps(
            answer | {"callbacks_over_1_ms": sum(one > 0.001 for one in times), "callbacks": len(times)}
        )
    )


if __name__ == "__main__":
    main()
