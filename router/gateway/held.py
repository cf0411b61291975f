"""The flags this worker holds: told by the store, compiled, swapped in whole, kept on disk for the next start.

A flag that cannot be read leaves its predecessor, an empty store leaves all, and a store that is away changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from router.errors import SpecError
from router.flag import Arm, Flag
from router.gateway import disk
from router.gateway.counters import Row
from router.gateway.routing import Gate
from router.gateway.snapshot import CompiledRoute, Compiler, Snapshot


class HeldFlags:
    """What the watch of the store tells, made into snapshots."""

    def __init__(
        self,
        gate: Gate,
        compiler: Compiler,
        row: Row,
        data_dir: Path,
        log: logging.Logger,
        swapped: Callable[[Snapshot], None],
    ) -> None:
        self.store_id = ""  # whose flags route now
        self.asked = asyncio.Event()
        self.up = False
        self.is_wiped = False
        self._corrupt: dict[str, str] = {}
        self._gate = gate
        self._compiler = compiler
        self._row = row
        self._data_dir = data_dir
        self._log = log
        self._swapped = swapped
        self._saving: asyncio.Future[None] | None = None
        self._stale = False

    def revisions(self) -> Mapping[str, int]:
        """The revision of each route that routes now."""
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        return {name: route.flag.revision for name, route in routes.items()}

    def arms(self) -> Iterable[tuple[str, Arm]]:
        """All arms of all routes."""
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        return [(name, arm) for name, route in routes.items() for arm in route.flag.arms]

    def is_warm(self, route: str, arm: Arm) -> bool:
        """Whether an arm has answered the copies that it is to answer first."""
        snapshot = self._gate.snapshot
        return snapshot is not None and snapshot.routes[route].is_warm(arm.name)

    def identities(self) -> dict[str, list[str]]:
        """What the answers of each arm named themselves, for arms that did."""
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        return {
            f"{name}/{arm.name}": sorted(arm.standing.identities)
            for name, route in routes.items()
            for arm in route.arms.values()
            if arm.standing.identities
        }

    def moved(self, flags: Mapping[str, Flag], gone: set[str], store_id: str) -> None:
        """Compile what is new and swap the snapshot."""
        compiled = self._compile(flags.values())
        self.is_wiped = False
        self._swap((self._gate.snapshot or Snapshot({}, "")).changed(compiled, gone, store_id))
        self._save()

    def corrupt(self, route: str, problem: str) -> None:
        """A flag cannot be read; its last good predecessor stays."""
        if self._corrupt.get(route) != problem:
            self._row.tally("pointsman_flag_problems", route=route).n += 1
            self._log.error("flag %s cannot be read, its last good one stays: %s", route, problem)
            self._corrupt[route] = problem

    def wiped(self) -> None:
        """The store is empty though flags route here; they stay."""
        if not self.is_wiped:
            self._log.error(
                "the store has no flags any more; the last good ones stay until routes are applied again"
            )
        self.is_wiped = True

    def reached(self, reachable: bool) -> None:
        """Whether Redis answered the last question."""
        if reachable != self.up or not self.asked.is_set():
            level = logging.INFO if reachable else logging.WARNING
            self._log.log(
                level, "Redis answers" if reachable else "Redis gives no good answer; the last flags stay"
            )
        self.up = reachable
        self.asked.set()
        if reachable and self._gate.snapshot is None:
            self._swap(Snapshot({}, ""))  # a store without flags is an answer too

    def state(self) -> dict[str, Any]:
        """On what this worker stands."""
        return {
            "ready": self._gate.snapshot is not None,
            "store": "wiped" if self.is_wiped else "up" if self.up else "away",
            "revisions": dict(self.revisions()),
            "corrupt": self._corrupt,
        }

    def _compile(self, flags: Iterable[Flag]) -> dict[str, CompiledRoute]:
        compiled = {}
        for flag in flags:
            try:
                compiled[flag.route] = self._compiler.compile(flag)
            except SpecError as problem:
                self.corrupt(flag.route, str(problem))
            else:
                self._corrupt.pop(flag.route, None)
        return compiled

    def _swap(self, snapshot: Snapshot) -> None:
        self._gate.snapshot = snapshot
        self.store_id = snapshot.store_id
        self._compiler.keep(arm for _, arm in self.arms())
        self._swapped(snapshot)

    def load(self) -> None:
        """Begin with the flags kept on disk, if there are any."""
        kept = disk.load(self._data_dir)
        if kept is None:
            return
        store_id, flags, problems = kept
        for problem in problems:
            self._log.error("kept flags: %s", problem)
        if flags:
            self._swap(Snapshot(self._compile(flags), store_id))

    def _save(self) -> None:
        """Keep the flags of now; one write at a time, the latest last."""
        if self._saving is not None and not self._saving.done():
            self._stale = True
            return
        snapshot = self._gate.snapshot
        if snapshot is not None:
            self._stale = False
            flags = [route.flag for route in snapshot.routes.values()]
            loop = asyncio.get_running_loop()
            self._saving = loop.run_in_executor(None, self._write, snapshot.store_id, flags)
            self._saving.add_done_callback(lambda _: self._save() if self._stale else None)

    def _write(self, store_id: str, flags: list[Flag]) -> None:
        try:
            disk.save(self._data_dir, store_id, flags)
        except OSError as problem:
            self._log.error("flags could not be kept on disk: %s", problem)

    async def saved(self) -> None:
        """Wait for the write that is under way."""
        if self._saving is not None:
            await self._saving
