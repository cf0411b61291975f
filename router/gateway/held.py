"""The flags this worker holds: told by the store, compiled, swapped in whole, kept on disk for the next start.

A flag that cannot be read leaves its predecessor, an empty store leaves all, and a store that is away changes nothing.
Above all of them stands what a file on this host overrides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from router.errors import SpecError
from router.flag import Arm, Flag
from router.gateway import disk
from router.gateway.counters import Row
from router.gateway.garbage import Settling, unsought
from router.gateway.override import OverrideFile
from router.gateway.routing import Gate
from router.gateway.snapshot import CompiledRoute, Compiler, Snapshot
from router.store.watch import Stored, Token

KEEP_AFTER_S = 0.1  # so long after a change it is kept on disk: first all workers are to route by it
SHOWN = 100  # of the routes that changed last a heartbeat tells the revisions, so that it stays small


class HeldFlags:
    """What the watch of the store tells, made into snapshots."""

    def __init__(
        self,
        gate: Gate,
        compiler: Compiler,
        row: Row,
        data_dir: Path,
        log: logging.Logger,
        swapped: Callable[[Iterable[CompiledRoute], Iterable[CompiledRoute]], None],
    ) -> None:
        self.store_id = ""  # whose flags route now
        self.asked = asyncio.Event()
        self.up = False
        self.is_wiped = False
        self.file = OverrideFile(data_dir)
        self._tokens: dict[str, Token] = {}
        self._overridden: dict[str, Flag] = {}  # as the store has them
        self._corrupt: dict[str, str] = {}
        self._behind: dict[str, int] = {}
        self._gate = gate
        self._compiler = compiler
        self._row = row
        self._data_dir = data_dir
        self._log = log
        self._swapped = swapped
        self._journal = disk.Journal(data_dir)
        self._waiting: asyncio.TimerHandle | None = None
        self._saving: asyncio.Future[None] | None = None
        self._changed: dict[str, bytes] = {}
        self._gone: set[str] = set()
        self._settling = Settling()

    @property
    def tokens(self) -> Mapping[str, Token]:
        """The revision and digest of each route that routes now."""
        return self._tokens

    def revisions(self) -> dict[str, int]:
        """The revision of each route that routes now."""
        return {name: token.revision for name, token in self._tokens.items()}

    def arms(self) -> Iterable[tuple[str, Arm]]:
        """All arms that have an upstream, of all routes."""
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        return [(name, arm) for name, route in routes.items() for arm in route.flag.arms if arm.upstream]

    def moved(self, flags: Mapping[str, Stored], gone: set[str], store_id: str) -> None:
        """Compile what is new and swap the snapshot."""
        compiled = self._compile({name: one.flag for name, one in flags.items()})
        self.is_wiped = False
        for name in compiled:
            self._tokens.pop(name, None)  # the latest stand last
            self._tokens[name] = flags[name].token
            self._changed[name] = flags[name].text
            self._behind.pop(name, None)
            self._gone.discard(name)
        for name in gone:
            for held in (self._tokens, self._changed, self._overridden, self._corrupt, self._behind):
                held.pop(name, None)
        self._gone |= gone
        self._swap(compiled, gone, store_id)
        if self._settling.came(len(compiled)):
            asyncio.get_running_loop().call_soon(self._settling.settle)
        self._save()

    def corrupt(self, route: str, problem: str) -> None:
        """A flag cannot be read; its last good predecessor stays."""
        if self._corrupt.get(route) != problem:
            self._row.tally("pointsman_flag_problems", route=route).n += 1
            self._log.error("flag %s cannot be read, its last good one stays: %s", route, problem)
            self._corrupt[route] = problem

    def behind(self, routes: Mapping[str, int]) -> None:
        """The store has lost revisions that route here; they stay until it has later ones."""
        for route, revision in routes.items():
            if self._behind.get(route) != revision:
                self._log.error("the store has lost revision %d of %s, which stays here", revision, route)
                self._behind[route] = revision

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
            self._swap({}, (), "")  # a store without flags is an answer too

    def look_at_file(self) -> None:
        """Do what the override file says, if it says something else than before."""
        before, problem = self.file.override, self.file.problem
        changed = self.file.look()
        if self.file.problem and self.file.problem != problem:
            self._log.error("override: %s; what it said before stays", self.file.problem)
        if not changed:
            return
        self._log.warning("override: %s", self.file.override or "none any more")
        names = (before.routes if before else set()) | (
            self.file.override.routes if self.file.override else set()
        )
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        stored = {
            name: self._overridden.get(name, routes[name].flag) for name in sorted(names) if name in routes
        }
        if stored:
            self._swap(self._compile(stored), (), self.store_id)

    def summary(self) -> dict[str, Any]:
        """On what this worker stands, in a size that does not grow with the routes."""
        names = islice(reversed(self._tokens), SHOWN) if len(self._tokens) > SHOWN else self._tokens
        return {
            "store": "wiped" if self.is_wiped else "up" if self.up else "away",
            "routes": len(self._tokens),
            "revisions": {name: self._tokens[name].revision for name in names},
            "corrupt": self._corrupt,
            "behind": self._behind,
            "override": self._override(),
        }

    def state(self) -> dict[str, Any]:
        """On what this worker stands, whole."""
        ready = self._gate.snapshot is not None
        return {"ready": ready, **self.summary(), "revisions": self.revisions()}

    def _override(self) -> dict[str, Any] | None:
        override, problem = self.file.override, self.file.problem
        if override is None and not problem:
            return None
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        flags = {name: route.flag for name, route in routes.items()} | self._overridden if override else {}
        problems = ([problem] if problem else []) + (override.problems(flags) if override else [])
        return {**(override.document() if override else {}), "problems": problems}

    def _compile(self, flags: Mapping[str, Flag]) -> dict[str, CompiledRoute]:
        """Flags as the store has them, ready as this host routes by them."""
        compiled = {}
        override = self.file.override
        for name, flag in flags.items():
            here = override.applied(flag) if override is not None else flag
            try:
                compiled[name] = self._compiler.compile(here)
            except SpecError as problem:
                self.corrupt(name, str(problem))
                continue
            self._corrupt.pop(name, None)
            self._overridden.pop(name, None)
            if here != flag:
                self._overridden[name] = flag
        return compiled

    def _swap(self, compiled: Mapping[str, CompiledRoute], gone: Iterable[str], store_id: str) -> None:
        before = self._gate.snapshot or Snapshot({}, "")
        old = [route for name in (*compiled, *gone) if (route := before.routes.get(name)) is not None]
        self._gate.snapshot = before.changed(compiled, gone, store_id)
        self.store_id = store_id
        self._compiler.swapped(compiled.values(), old)
        self._swapped(compiled.values(), old)

    def load(self) -> None:
        """Begin with the flags kept on disk, if there are any, and with what is overridden here."""
        self.file.look()
        with unsought():
            self._load()

    def _load(self) -> None:
        kept = disk.load(self._data_dir)
        if kept is None:
            return
        for problem in kept.problems:
            self._log.error("kept flags: %s", problem)
        if kept.flags:
            compiled = self._compile({name: flag for name, (flag, _) in kept.flags.items()})
            self._tokens = {name: kept.flags[name][1] for name in compiled}
            self._swap(compiled, (), kept.store_id)

    def _save(self) -> None:
        """Keep what changed, in a moment; one write at a time, what comes meanwhile with the next."""
        if self._waiting is not None or (self._saving is not None and not self._saving.done()):
            return
        if self._changed or self._gone:
            self._waiting = asyncio.get_running_loop().call_later(KEEP_AFTER_S, self._keep)

    def _keep(self) -> None:
        self._waiting = None
        changed, gone = self._changed, self._gone
        self._changed, self._gone = {}, set()
        loop = asyncio.get_running_loop()
        self._saving = loop.run_in_executor(None, self._write, self.store_id, changed, gone)
        self._saving.add_done_callback(lambda _: self._save())

    def _write(self, store_id: str, changed: Mapping[str, bytes], gone: Iterable[str]) -> None:
        try:
            self._journal.keep(store_id, changed, gone, self._everything)
        except OSError as problem:
            self._log.error("flags could not be kept on disk: %s", problem)

    def _everything(self) -> Iterable[bytes]:
        """All flags as the store has them; a change that comes meanwhile is written once more after it."""
        routes = self._gate.snapshot.routes if self._gate.snapshot else {}
        return (self._overridden.get(name, route.flag).encode() for name, route in routes.items())

    async def saved(self) -> None:
        """Write what is left, and let another worker do the next."""
        while self._waiting is not None or (self._saving is not None and not self._saving.done()):
            if self._waiting is not None:
                self._waiting.cancel()
                self._keep()
            if self._saving is not None:
                await self._saving
        self._journal.close()
