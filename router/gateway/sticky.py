"""What a worker remembers of sticky runs: the units it enrolled, at once, and those of other workers a moment later.

A request asks a set in memory. What is new is written, and what others wrote is read, beside requests; while Redis is
away the worker goes on by what it knows, and what it has to tell waits. A set has room for so many units, as the store
has; for one more nothing is remembered, and that is counted.

Never here: a wait on the way of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from router.errors import StoreUnavailable
from router.gateway.counters import Row, Tally
from router.lanes import RunningExperiment
from router.sticky import Remembers
from router.store.sticky import PAGE, Memory, StickyLog


class Units:
    """The units of one sticky run.

    Attributes:
        new: digests that the store has not acknowledged.
        position: how many units of the store were read.
    """

    __slots__ = ("_full", "_most", "known", "new", "position")

    def __init__(self, most: int, full: Tally) -> None:
        self.known: set[int] = set()
        self.new: list[int] = []
        self.position = 0
        self._most = most
        self._full = full

    def enrolled(self, unit: int) -> None:
        """A unit was assigned an arm."""
        if unit not in self.known:
            if len(self.known) >= self._most:
                self._full.n += 1
            else:
                self.known.add(unit)
                self.new.append(unit)

    def told(self, page: list[int]) -> None:
        """Others have enrolled these; they are the next of the store."""
        self.position += len(page)
        new = [unit for unit in page if unit not in self.known]
        room = max(0, self._most - len(self.known))
        self.known.update(new[:room])
        self._full.n += len(new[room:])


class Sticky:
    """All sticky runs of this worker."""

    def __init__(self, log: StickyLog, digest: Callable[[bytes], int], most: int, row: Row) -> None:
        self._log = log
        self._digest = digest
        self._most = most
        self._runs: dict[Memory, Units] = {}
        self._taken, self._full, self._failed = (
            row.tally("pointsman_sticky", event=event) for event in ("taken", "full", "failed")
        )

    def units(self, experiment: RunningExperiment) -> Units | None:
        """The units of a run; None for one that is not sticky."""
        if experiment.sticky is msgspec.UNSET:
            return None
        memory = Memory(experiment.run, experiment.sticky)
        if memory not in self._runs:
            self._runs[memory] = Units(self._most, self._full)
        return self._runs[memory]

    def remembered(self, experiment: RunningExperiment) -> Remembers:
        """How a compiled experiment asks."""
        units, digest = self.units(experiment), self._digest
        known = units.known if units is not None else set()
        return lambda unit: digest(unit) in known

    def changed(self, new: Iterable[RunningExperiment], old: Iterable[RunningExperiment]) -> None:
        """These are in the flags from now on and those no longer, of which nothing is remembered any more."""
        for memory in _memories(old) - _memories(new):
            self._runs.pop(memory, None)

    async def exchange(self) -> None:
        """Tell the store what is new, and learn what others told it.

        Raises:
            StoreUnavailable: Redis gave no good answer; what is new waits for the next time.
        """
        for memory, units in list(self._runs.items()):
            try:
                while await self._page(memory, units):
                    await asyncio.sleep(0)
            except StoreUnavailable:
                self._failed.n += 1
                raise

    async def _page(self, memory: Memory, units: Units) -> bool:
        """One exchange of one run; whether another is to follow at once."""
        telling = units.new[:PAGE]
        found = await self._log.exchange(memory, telling, units.position)
        del units.new[: len(telling)]
        self._taken.n += len(telling) - found.refused
        self._full.n += found.refused
        if found.held < units.position:
            # The store was wiped, or went back in time: it is told everything that is known here.
            units.position, units.new = 0, list(units.known)
            return True
        units.told(found.page)
        return bool(units.new) or len(found.page) == PAGE


def _memories(experiments: Iterable[RunningExperiment]) -> set[Memory]:
    return {Memory(one.run, one.sticky) for one in experiments if one.sticky is not msgspec.UNSET}
