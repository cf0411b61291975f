"""A gateway's worker without its sockets: the real duties, routing a load, telling when each revision began to route.

Run by the bench beside it: REDIS_URL, PREFIX and a folder as arguments; ``callbacks`` measures the processor time of each
turn of a Python loop instead of the load's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
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
PIECE = 3_000


class Turns:
    """The processor time of each callback of the loop, those that swapped flags apart."""

    def __init__(self) -> None:
        self.swapped = False
        self._all: list[float] = []
        self._swaps: list[float] = []

    def clear(self) -> None:
        """Begin anew."""
        self._all.clear()
        self._swaps.clear()

    def time(self) -> None:
        """Note each callback of a Python loop."""
        handles: Any = asyncio.events.Handle
        run = handles._run

        def timed(handle: Any) -> None:
            self.swapped = False
            begun = time.thread_time()
            run(handle)
            took = time.thread_time() - begun
            (self._swaps if self.swapped else self._all).append(took)

        handles._run = timed

    def told(self) -> dict[str, Any]:
        """What came out, in ms."""
        every = self._all + self._swaps
        return {
            "longest_ms": max(every) * 1e3,
            "swap_ms": max(self._swaps) * 1e3,
            "p999_ms": statistics.quantiles(every, n=1000)[-1] * 1e3,
            "over_1_ms": sum(one > 0.001 for one in every),
            "callbacks": len(every),
            "noise_ms": max(_piece() for _ in range(len(every))) * 1e3,
        }


def _piece() -> float:
    """The processor time of some 50 µs of work, always the same."""
    begun = time.thread_time()
    sum(range(PIECE))
    return time.thread_time() - begun


class Follower:
    """Duties whose swaps are noted."""

    def __init__(self, url: str, prefix: str, folder: str) -> None:
        settings = Settings.load({}, None, {"redis_url": url, "prefix": prefix, "data_dir": folder})
        counters = Counters(None)
        row = counters.row(counters.reserve())
        self.seen: dict[int, int] = {}
        self.requests = 0
        self.took: dict[str, float] = {}
        self._begun = 0.0, 0.0
        self.turns = Turns()
        self.duties = Duties(
            settings, load_secrets(settings), counters, row, f"f-{id(self)}", logging.getLogger("follower")
        )
        self.duties.flags._swapped = self._note

    def _note(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> None:
        self.duties._swapped(new, old)
        self.turns.swapped = True
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
        self.turns.clear()
        self._begun = time.monotonic(), time.process_time()
        task = asyncio.create_task(self.load()) if loaded else None
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        wall, busy = self._begun
        self.took = {"seconds": time.monotonic() - wall, "busy_s": time.process_time() - busy}
        if task:
            task.cancel()
        await self.duties.stop()


def main() -> None:
    """Follow until a line comes in, then tell what was seen."""
    url, prefix, folder, mode, routes = sys.argv[1:6]
    follower = Follower(url, prefix, folder)
    if mode == "callbacks":
        follower.turns.time()
    runner = asyncio.run if mode == "callbacks" else uvloop.run

    async def follow() -> None:
        await follower.run(int(routes), loaded=mode == "load")

    runner(follow())
    answer: dict[str, Any] = {"seen": follower.seen, "requests": follower.requests, **follower.took}
    if mode == "callbacks":
        answer["turns"] = follower.turns.told()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
