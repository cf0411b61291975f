"""Assignment: which arm a unit gets, and why. A flag is compiled once; a request only looks up.

Order of evaluation: kill switch, disabled, absent unit, inclusion, lane, default arm. The bucket of a lane and the
bucket of inclusion come from independent hashes: one hash for two questions gives one arm everything.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum
from typing import Any, NamedTuple

from router.bucketing import PPM, bucket, hash32, prepared
from router.flag import Flag, RunningExperiment


class Reason(StrEnum):
    """Why a unit got its arm."""

    KILLED = "killed"
    DISABLED = "disabled"
    NO_EXPERIMENT = "no_experiment"
    NO_UNIT = "no_unit"
    NOT_INCLUDED = "not_included"
    NOT_ENROLLED = "not_enrolled"
    ENROLLED = "enrolled"


class Assignment(NamedTuple):
    """The arm computed for a unit.

    Attributes:
        arm: the arm's name.
        reason: why.
        run: the run on this route, None without one.
        bucket: 0 .. 999,999; None where no lane was asked.
        arm_index: 0 control, 1 and up treatments; -1 when not enrolled.
    """

    arm: str
    reason: Reason
    run: str | None = None
    bucket: int | None = None
    arm_index: int = -1


NOT_INCLUDED, NO_UNIT = -2, -1  # where these two stand among a flag's assignments


class CompiledFlag:
    """A flag made ready for the hot path: open lanes as sorted edges, and every assignment there can be.

    Attributes:
        assignments: without their bucket; by how many edges of lanes are at or below the bucket, then not included,
            then without a unit.
    """

    __slots__ = ("_edges", "_included", "_lane", "_traffic", "assignments", "experiment", "flag")

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        self.experiment: RunningExperiment | None = None
        self.assignments = [Assignment(flag.default, Reason.NO_EXPERIMENT)]
        if not flag.enabled:
            self.assignments = [Assignment(flag.default, Reason.DISABLED)]
        elif flag.experiments:
            self._compile(flag, flag.experiments[0])

    def _compile(self, flag: Flag, experiment: RunningExperiment) -> None:
        self.experiment = experiment
        self._lane = prepared(experiment.salt + "#arm")
        self._included = prepared(experiment.salt + "#in")
        self._traffic = experiment.traffic
        default, run = flag.default, experiment.run
        outside = Assignment(default, Reason.NOT_ENROLLED, run)
        self._edges: list[int] = []
        self.assignments = [outside]
        for lane in experiment.lanes:
            width = lane.width(experiment.coverage)
            if width > 0:
                inside = Assignment(lane.arm, Reason.ENROLLED, run, None, experiment.arm_index(lane.arm))
                if lane.arm in flag.killed:
                    inside = Assignment(default, Reason.KILLED, run)
                self._edges += (lane.start, lane.start + width)
                self.assignments += (inside, outside)
        self.assignments += (
            Assignment(default, Reason.NOT_INCLUDED, run),
            Assignment(default, Reason.NO_UNIT, run),
        )

    def find(self, unit: bytes | None) -> tuple[int, int | None]:
        """Which of ``assignments`` a unit has, and its bucket where a lane was asked: ``assign`` without the objects."""
        if self.experiment is None:
            return 0, None
        if not unit:
            return NO_UNIT, None
        if self._traffic < PPM and self._included(unit) >= self._traffic:
            return NOT_INCLUDED, None
        bucket = self._lane(unit)
        return bisect_right(self._edges, bucket), bucket

    def assign(self, unit: bytes | None) -> Assignment:
        """The arm of a unit; ``None`` and the empty text are a request without one."""
        number, bucket = self.find(unit)
        arm, reason, run, _, index = self.assignments[number]
        return Assignment(arm, reason, run, bucket, index)


def explain(flag: Flag, unit: bytes | None) -> list[dict[str, Any]]:
    """The steps of an assignment: question, hash, bucket, range, answer; the last one names the arm."""
    result = CompiledFlag(flag).assign(unit)
    steps: list[dict[str, Any]] = [
        _step("is the flag enabled?", "yes" if flag.enabled else "no: default arm")
    ]
    if flag.enabled and not flag.experiments:
        steps.append(_step("does an experiment run here?", "no: default arm"))
    elif flag.enabled:
        steps += _lane_steps(flag, flag.experiments[0], unit)
    steps.append(_step("which arm?", f"{result.arm} ({result.reason.value})"))
    return steps


def _step(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"question": question, "hash": None, "bucket": None, "range": None, "answer": answer, **more}


def _lane_steps(flag: Flag, experiment: RunningExperiment, unit: bytes | None) -> list[dict[str, Any]]:
    steps = [_step("does an experiment run here?", f"{experiment.experiment}, epoch {experiment.epoch}")]
    if not unit:
        return [*steps, _step("has the request a unit?", "no: default arm, not analysed")]
    salt = experiment.salt + "#in"
    where, inside = bucket(salt, unit), f"[0, {experiment.traffic})"
    answer = "yes" if where < experiment.traffic else "no: default arm, not analysed"
    steps.append(_step("is it included?", answer, hash=hash32(salt, unit), bucket=where, range=inside))
    salt = experiment.salt + "#arm"
    where = bucket(salt, unit)
    for lane in experiment.lanes:
        end = lane.start + lane.width(experiment.coverage)
        answer = (
            "yes" if lane.start <= where < end else f"no (its whole lane ends at {lane.start + lane.share})"
        )
        question = f"is it in the open lane of {lane.arm}?"
        edges = f"[{lane.start}, {end})"
        steps.append(_step(question, answer, hash=hash32(salt, unit), bucket=where, range=edges))
    if flag.killed:
        steps.append(_step("is its arm killed?", ", ".join(flag.killed)))
    return steps
