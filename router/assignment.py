"""Assignment: which arm a unit gets, and why. A flag is compiled once; a request only looks up.

Order of evaluation: kill switch > disabled or outside schedule > prerequisite > trusted forced arm > unit list > rules >
audience > holdout > layer > inclusion > lane > default arm. A killed arm is replaced by the default arm wherever it
would be served. Each question has its own independent hash: one hash for two questions gives one arm everything.

Whatever a flag's conditions ask about a request they ask through ``Facts``, and only when the answer matters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from router.bucketing import ALGORITHMS, PPM, Prepare
from router.flag import Flag, RunningExperiment
from router.rules import UNIT, Condition, Holds, Values, holds


class Reason(StrEnum):
    """Why a unit got its arm."""

    KILLED = "killed"
    DISABLED = "disabled"
    OUTSIDE_SCHEDULE = "outside_schedule"
    PREREQUISITE = "prerequisite"
    FORCED = "forced"
    UNIT_LIST = "unit_list"
    RULE = "rule"
    NO_EXPERIMENT = "no_experiment"
    NOT_IN_AUDIENCE = "not_in_audience"
    NO_UNIT = "no_unit"
    HOLDOUT = "holdout"
    NOT_IN_LAYER = "not_in_layer"
    NOT_INCLUDED = "not_included"
    NOT_ENROLLED = "not_enrolled"
    ENROLLED = "enrolled"
    STICKY = "sticky"


# Of several experiments in one layer the next is asked when one answers like this.
PASSED_ON = frozenset((Reason.NOT_IN_AUDIENCE, Reason.HOLDOUT, Reason.NOT_IN_LAYER))


class Assignment(NamedTuple):
    """The arm computed for a unit.

    Attributes:
        arm: the arm's name.
        reason: why.
        run: the run that was asked, None without one.
        bucket: 0 .. 999,999; None where no lane was asked.
        arm_index: 0 control, 1 and up treatments; -1 when not enrolled.
        rule: the rule that served.
    """

    arm: str
    reason: Reason
    run: str | None = None
    bucket: int | None = None
    arm_index: int = -1
    rule: str | None = None


class Facts(Protocol):
    """What may be asked about one request."""

    def attribute(self, name: str) -> Values:
        """The values of a declared attribute; None when the request has none."""

    def forced(self) -> str | None:
        """The arm that a trusted caller asks for."""

    def arm_of(self, route: str) -> str | None:
        """The arm that another route's flag gives this request; None when that flag is off, absent, or asks in a ring."""


class Unknown:
    """A request about which nothing is known."""

    def attribute(self, name: str) -> Values:
        """No attribute."""
        return None

    def forced(self) -> str | None:
        """Nobody forces."""
        return None

    def arm_of(self, route: str) -> str | None:
        """No other flag."""
        return None


UNKNOWN = Unknown()
DEEPEST = 8  # prerequisites of prerequisites; a ring that slipped through ends here
Check = tuple[str, Holds]
NOBODY: Mapping[bytes, Assignment] = {}  # one for all of the many flags that list no units


def text_of(unit: bytes | None) -> Values:
    """The unit as the value of the attribute ``unit``; every octet survives."""
    return (unit.decode("utf-8", "surrogateescape"),) if unit else None


def all_hold(checks: tuple[Check, ...], unit: bytes | None, facts: Facts) -> bool:
    """Whether every condition holds; the first that does not ends the questions."""
    for name, fits in checks:  # noqa: SIM110 - a generator costs as much as the questions
        if not fits(text_of(unit) if name == UNIT else facts.attribute(name)):
            return False
    return True


class CompiledExperiment:
    """One experiment: open lanes as sorted edges, every constant answer built."""

    __slots__ = (
        "_arms", "_audience", "_default", "_ends", "_held_out", "_holdouts", "_included", "_indices", "_killed", "_lane",
        "_layer", "_layer_ends", "_layer_starts", "_no_unit", "_not_in_layer", "_outside", "_run", "_starts", "_traffic",
    )  # fmt: skip

    def __init__(self, flag: Flag, experiment: RunningExperiment, prepare: Prepare) -> None:
        run = self._run = experiment.run
        default = self._default = flag.default
        self._killed = frozenset(flag.killed)
        self._audience = checks_of(flag, experiment.audience)
        self._outside = Assignment(default, Reason.NOT_IN_AUDIENCE, run)
        self._no_unit = Assignment(default, Reason.NO_UNIT, run)
        self._held_out = Assignment(default, Reason.HOLDOUT, run)
        self._not_in_layer = Assignment(default, Reason.NOT_IN_LAYER, run)
        self._holdouts = tuple((prepare(one.salt), one.share) for one in experiment.holdouts)
        layer = experiment.layer
        self._layer = prepare(layer.salt) if layer else None
        self._layer_starts = [start for start, _ in layer.ranges] if layer else []
        self._layer_ends = [end for _, end in layer.ranges] if layer else []
        self._lane = prepare(experiment.salt + "#arm")
        self._traffic = experiment.traffic
        self._included = prepare(experiment.salt + "#in") if self._traffic < PPM else None
        open_lanes = [lane for lane in experiment.lanes if lane.width(experiment.coverage) > 0]
        self._starts = [lane.start for lane in open_lanes]
        self._ends = [lane.start + lane.width(experiment.coverage) for lane in open_lanes]
        self._arms = [lane.arm for lane in open_lanes]
        self._indices = [experiment.arm_index(lane.arm) for lane in open_lanes]

    def assign(self, unit: bytes | None, facts: Facts) -> Assignment:
        """The arm of a unit, as far as this experiment says."""
        if self._audience and not all_hold(self._audience, unit, facts):
            return self._outside
        if not unit:
            return self._no_unit
        for held_out, share in self._holdouts:
            if held_out(unit) < share:
                return self._held_out
        if self._layer is not None:
            where = self._layer(unit)
            part = bisect_right(self._layer_starts, where) - 1
            if part < 0 or where >= self._layer_ends[part]:
                return self._not_in_layer
        return self._dealt(unit)

    def _dealt(self, unit: bytes) -> Assignment:
        default, run = self._default, self._run
        if self._included is not None and self._included(unit) >= self._traffic:
            return Assignment(default, Reason.NOT_INCLUDED, run)
        where = self._lane(unit)
        lane = bisect_right(self._starts, where) - 1
        if lane < 0 or where >= self._ends[lane]:
            return Assignment(default, Reason.NOT_ENROLLED, run, where)
        arm = self._arms[lane]
        if arm in self._killed:
            return Assignment(default, Reason.KILLED, run, where)
        return Assignment(arm, Reason.ENROLLED, run, where, self._indices[lane])


# How an experiment is made ready: a sticky one needs to be told what is remembered of its units.
Make = Callable[[Flag, RunningExperiment, Prepare], CompiledExperiment]


class CompiledFlag:
    """A flag made ready for the hot path.

    Attributes:
        off: whether kill switch, state or schedule give everyone the default arm.
        fixed: the answer for every request, where there is one; unless the flag is off a forced arm goes before it.
        needs_unit: whether an answer may depend on the unit.
        needs_facts: whether an answer may depend on anything else than unit and forced arm.
    """

    __slots__ = (
        "_default", "_directed", "_experiments", "_first", "_listed", "_requires", "_rules", "fixed", "flag",
        "needs_facts", "needs_unit", "off",
    )  # fmt: skip

    def __init__(self, flag: Flag, prepare: Prepare | None = None, make: Make = CompiledExperiment) -> None:
        self.flag = flag
        prepare = prepare or ALGORITHMS[flag.algorithm][1]
        off = _off(flag)
        self._default = Assignment(flag.default, off or Reason.NO_EXPERIMENT)
        self.off = off is not None
        self._requires = flag.requires
        self._listed = {
            unit.encode(): self._served(arm, Reason.UNIT_LIST) for arm, units in flag.units for unit in units
        } or NOBODY
        self._rules = tuple(
            (checks_of(flag, rule.when), self._served(rule.serve, Reason.RULE, rule.id))
            for rule in flag.rules
        )
        self._experiments = tuple(make(flag, one, prepare) for one in flag.experiments)
        self._first = self._experiments[0] if len(self._experiments) == 1 else None
        self._directed = bool(self._requires or self._listed or self._rules)
        asked = [name for checks, _ in self._rules for name, _ in checks]
        asked += [one.attribute for running in flag.experiments for one in running.audience]
        self.needs_unit = off is None and bool(self._experiments or self._listed or UNIT in asked)
        self.needs_facts = off is None and (bool(self._requires) or any(name != UNIT for name in asked))
        self.fixed = None if off is None and (self._directed or self._experiments) else self._default

    def _served(self, arm: str, reason: Reason, rule: str | None = None) -> Assignment:
        if arm in self.flag.killed:
            return Assignment(self.flag.default, Reason.KILLED, rule=rule)
        return Assignment(arm, reason, rule=rule)

    def assign(self, unit: bytes | None, facts: Facts = UNKNOWN) -> Assignment:
        """The arm of a unit; ``None`` and the empty text are a request without one."""
        if self.fixed is not None and (self.off or facts is UNKNOWN):
            return self.fixed
        if self._directed or facts is not UNKNOWN:
            found = self._direct(unit, facts)
            if found is not None:
                return found
        if self._first is not None:
            return self._first.assign(unit, facts)
        first: Assignment | None = None
        for experiment in self._experiments:
            found = experiment.assign(unit, facts)
            if found.reason not in PASSED_ON:
                return found
            first = first or found
        return first or self._default

    def _direct(self, unit: bytes | None, facts: Facts) -> Assignment | None:
        """What is said about this request by name, before anything is dealt."""
        for needed in self._requires:
            if facts.arm_of(needed.route) not in needed.arms:
                return Assignment(self.flag.default, Reason.PREREQUISITE)
        forced = facts.forced()
        if forced is not None:
            return self._served(forced, Reason.FORCED)
        if unit and self._listed and (found := self._listed.get(unit)) is not None:
            return found
        for checks, served in self._rules:
            if all_hold(checks, unit, facts):
                return served
        return None


def _off(flag: Flag) -> Reason | None:
    """Why a flag gives everyone the default arm; None when it does not."""
    if flag.kill:
        return Reason.KILLED
    if not flag.enabled:
        return Reason.DISABLED
    if flag.schedule is not None and not flag.schedule.inside:
        return Reason.OUTSIDE_SCHEDULE
    return None


def given(parent: CompiledFlag, unit: bytes | None, facts: Facts) -> str | None:
    """The arm that a prerequisite's flag gives; None when it is off or its own prerequisite fails."""
    found = parent.assign(unit, facts)
    return None if parent.off or found.reason is Reason.PREREQUISITE else found.arm


def checks_of(flag: Flag, conditions: tuple[Condition, ...]) -> tuple[Check, ...]:
    """Conditions of a flag as functions of attributes."""
    segments = {name: frozenset(values) for name, values in flag.segments}
    return tuple((one.attribute, holds(one, segments)) for one in conditions)
