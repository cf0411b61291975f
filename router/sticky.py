"""Sticky experiments: whoever was enrolled stays, where other attributes or a lower coverage would make them leave.

Lanes never move within an epoch, so a unit's arm follows from its bucket at any coverage, and all that is remembered of
a unit is that it was enrolled. There is no arm to disagree about: two workers may differ for a moment in whether a unit
stays, never in where.

Only audience and coverage are passed over. Kill switches, forced arms and rules speak first as ever, a closed lane keeps
nobody, and the flag says with which revision memory begins: a kill switch or a rollback begins it anew.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.assignment import Assignment, CompiledExperiment, Facts, Make, Reason
from router.bucketing import Prepare
from router.flag import Flag
from router.lanes import RunningExperiment

# Whether a unit was enrolled in a run before, as far as is known here.
Remembers = Callable[[bytes], bool]
LEAVES = frozenset((Reason.NOT_IN_AUDIENCE, Reason.NOT_ENROLLED))


class StickyExperiment(CompiledExperiment):
    """A sticky experiment: what it remembers is asked only about units that would leave."""

    __slots__ = ("_remembers", "_whole")

    def __init__(
        self, flag: Flag, experiment: RunningExperiment, prepare: Prepare, remembers: Remembers
    ) -> None:
        super().__init__(flag, experiment, prepare)
        self._remembers = remembers
        self._whole = [
            (lane.start, lane.start + lane.share, lane.arm, experiment.arm_index(lane.arm))
            for lane in experiment.lanes
            if lane.state == "open" and lane.arm not in flag.killed
        ]

    def assign(self, unit: bytes | None, facts: Facts) -> Assignment:
        """The arm of a unit, as far as this experiment says."""
        found = super().assign(unit, facts)
        if found.reason in LEAVES and unit and self._remembers(unit):
            where = self._lane(unit)
            for start, end, arm, index in self._whole:
                if start <= where < end:
                    return Assignment(arm, Reason.STICKY, self._run, where, index)
        return found


def making(remembered: Callable[[RunningExperiment], Remembers]) -> Make:
    """How flags are compiled where something is remembered; experiments that are not sticky are as they ever were."""

    def make(flag: Flag, experiment: RunningExperiment, prepare: Prepare) -> CompiledExperiment:
        if experiment.sticky is msgspec.UNSET:
            return CompiledExperiment(flag, experiment, prepare)
        return StickyExperiment(flag, experiment, prepare, remembered(experiment))

    return make
