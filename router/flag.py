"""The flag: the routing truth of one route now, as gateways read it. Whole numbers and frozen tables.

What people write is a route and an experiment; what is stored and shipped is this. It has its own strict reader, so
that the gateway loads nothing that only files need. A changed flag is a new value; the store counts its revision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import msgspec

from router.bucketing import ALGORITHM
from router.errors import Problem, SpecError
from router.lanes import LARGEST_COUNT, Lane, RunningExperiment, contradictions
from router.protocols import ROWS as PROTOCOLS
from router.rules import UNIT, Rule, faults
from router.schedule import Schedule
from router.serving import PoolLimits, Price, Serving
from router.source import TokenSource, UnitSource, misplaced

__all__ = [
    "Arm",
    "Flag",
    "Lane",
    "Match",
    "Requirement",
    "RunningExperiment",
    "Schedule",
    "TokenSource",
    "UnitSource",
]

Expose = Literal["all", "id", "none"]
Value = str | bool | int | float | dict[str, Any]
Algorithm = Literal["murmur3-32/v1", "flagd-v2", "sha256-64/v1"]


class ArmSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an arm sets on a request: its path, fields, and values at JSON pointers of its body."""

    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    json: tuple[tuple[str, Any], ...] = ()


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One alternative of a route.

    Attributes:
        upstream: its address; empty where nothing is routed to it.
        identity: a digest of what it is: a change of it is a new epoch.
        set: what it sets on its requests.
        declares: what its answers say that they come from; empty when nothing is declared.
        value: what asking for the flag gives; its name where there is none.
        price: of its tokens; None when it has none.
        pool: its servers and how much of them is used; None for one server without bounds.
        warm: how many copies of requests it answers before its first unit.
    """

    name: str
    upstream: str
    identity: str = ""
    set: ArmSet | None = None
    declares: str = ""
    value: Value | None = None
    price: Price | None = None
    pool: PoolLimits | None = None
    warm: int = 0


@lru_cache(4096)
def _shared(unit: UnitSource) -> UnitSource:
    return unit


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a route takes; ``path`` is a prefix that ends at a segment's border."""

    path: str = "/"
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another route whose flag must give this request one of these arms."""

    route: str
    arms: tuple[str, ...]


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The routing truth of one route."""

    route: str
    unit: UnitSource
    arms: tuple[Arm, ...]
    default: str
    revision: int = 0
    enabled: bool = True
    kill: bool = False
    killed: tuple[str, ...] = ()
    match: Match | None = None
    epoch: int = 0
    experiments: tuple[RunningExperiment, ...] = ()
    expose: Expose = "all"
    first_byte_timeout_ms: int | None = None
    total_timeout_ms: int | None = None
    protocol: str = "plain"
    retries: int = 1
    repeatable: bool = False
    fallback: bool = False
    serving: Serving | None = None
    schedule: Schedule | None = None
    requires: tuple[Requirement, ...] = ()
    units: tuple[tuple[str, tuple[str, ...]], ...] = ()
    attributes: tuple[tuple[str, str, str], ...] = ()
    rules: tuple[Rule, ...] = ()
    segments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    algorithm: Algorithm = ALGORITHM
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        """Share the unit with all flags that name the same one: thousands do."""
        msgspec.structs.force_setattr(self, "unit", _shared(self.unit))

    @classmethod
    def parse(cls, data: bytes | str) -> Flag:
        """Read a stored flag.

        Raises:
            SpecError: it is not JSON, has an unknown field, or contradicts itself.
        """
        try:
            flag = msgspec.json.decode(data, type=Flag)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise SpecError([Problem("flag", "a stored flag of format 1", str(problem))]) from problem
        flag.check()
        return flag

    def check(self) -> None:
        """Hold the flag to what no reader should have to ask again.

        Raises:
            SpecError: all contradictions at once.
        """
        problems = list(_contradictions(self))
        if problems:
            raise SpecError(problems)

    def encode(self) -> bytes:
        """The stored form; ``parse`` reads it back unchanged."""
        return msgspec.json.encode(self)

    def document(self) -> dict[str, Any]:
        """The same as plain values, for JSON answers and the audit log."""
        document: dict[str, Any] = msgspec.json.decode(self.encode())
        return document

    def digest(self) -> str:
        """A short name of the content."""
        return hashlib.blake2b(self.encode(), digest_size=8).hexdigest()

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            KeyError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def experiment(self, run: str) -> RunningExperiment | None:
        """The running experiment with that run."""
        return next((one for one in self.experiments if one.run == run), None)

    def with_revision(self, revision: int) -> Flag:
        """The same flag under another revision."""
        return msgspec.structs.replace(self, revision=revision)

    def with_default(self, arm: str) -> Flag:
        """Another arm serves whoever is not enrolled."""
        self.arm(arm)
        return msgspec.structs.replace(self, default=arm)

    def with_kill(self, arm: str | None, *, on: bool) -> Flag:
        """The kill switch of one arm, or of the whole flag, thrown or thrown back.

        Raises:
            KeyError: there is no such arm.
        """
        if arm is None:
            return msgspec.structs.replace(self, kill=on)
        self.arm(arm)
        others = tuple(name for name in self.killed if name != arm)
        return msgspec.structs.replace(self, killed=(*others, arm) if on else others)

    def with_units_forgotten(self) -> Flag:
        """What sticky runs remember of units ends with this revision; said of a flag that has its new one."""
        experiments = tuple(
            one if one.sticky is msgspec.UNSET else msgspec.structs.replace(one, sticky=self.revision)
            for one in self.experiments
        )
        return msgspec.structs.replace(self, experiments=experiments)

    def with_schedule_at(self, now: int) -> Flag:
        """The flag as its schedule wants it at a moment: itself, or another with ``inside`` changed."""
        schedule = self.schedule
        if schedule is None or schedule.inside is schedule.at(now):
            return self
        inside = msgspec.structs.replace(schedule, inside=schedule.at(now))
        return msgspec.structs.replace(self, schedule=inside)

    def with_experiment(self, experiment: RunningExperiment) -> Flag:
        """One more experiment; the route's epoch counter follows."""
        others = tuple(one for one in self.experiments if one.run != experiment.run)
        epoch = max(self.epoch, experiment.epoch)
        return msgspec.structs.replace(self, experiments=(*others, experiment), epoch=epoch)

    def without_experiment(self, run: str) -> Flag:
        """The experiment leaves the flag; its units get the default arm."""
        rest = tuple(one for one in self.experiments if one.run != run)
        return msgspec.structs.replace(self, experiments=rest)

    def with_coverage(self, run: str, coverage: int) -> Flag:
        """All lanes of a run are filled to another fraction."""
        return self._changed(run, coverage=coverage)

    def with_closed(self, run: str, arm: str) -> Flag:
        """One treatment's lane is closed; the others and the epoch stay."""
        experiment = self.experiment(run)
        if experiment is None:
            raise KeyError(run)
        lanes = tuple(
            msgspec.structs.replace(lane, state="closed") if lane.arm == arm else lane
            for lane in experiment.lanes
        )
        return self._changed(run, lanes=lanes)

    def _changed(self, run: str, **fields: Any) -> Flag:
        experiments = tuple(
            msgspec.structs.replace(one, **fields) if one.run == run else one for one in self.experiments
        )
        return msgspec.structs.replace(self, experiments=experiments)


def _contradictions(flag: Flag) -> Iterator[Problem]:
    names = [arm.name for arm in flag.arms]
    if not names or len(set(names)) != len(names):
        yield Problem("arms", "at least one arm, each name once", str(names))
    if flag.default not in names:
        yield Problem("default", "one of the arms", repr(flag.default))
    for name in flag.killed:
        if name not in names:
            yield Problem("killed", "arms of this route", repr(name))
    for at, number in (("revision", flag.revision), ("epoch", flag.epoch)):
        if not 0 <= number <= LARGEST_COUNT:
            yield Problem(at, f"0 .. {LARGEST_COUNT}", str(number))
    yield from _request_contradictions(flag)
    yield from _rule_contradictions(flag, names)
    layers = {one.layer.layer if one.layer else None for one in flag.experiments}
    if len(flag.experiments) > 1 and (None in layers or len(layers) > 1):
        yield Problem(
            "experiments", "several experiments on a route in one layer", str(len(flag.experiments))
        )
    for experiment in flag.experiments:
        yield from contradictions(experiment, names)
    yield from _overlaps(flag.experiments)


def _request_contradictions(flag: Flag) -> Iterator[Problem]:
    if flag.protocol not in PROTOCOLS:
        yield Problem("protocol", f"one of {', '.join(PROTOCOLS)}", repr(flag.protocol))
    yield from misplaced(flag.unit, flag.attributes)
    shadow = flag.serving.shadow if flag.serving is not None else None
    if shadow is not None and shadow.arm not in [arm.name for arm in flag.arms]:
        yield Problem("serving.shadow.arm", "one of the arms", repr(shadow.arm))
    if flag.match is not None and not flag.match.path.startswith("/"):
        yield Problem("match.path", "a path that begins with '/'", repr(flag.match.path))


def _rule_contradictions(flag: Flag, names: list[str]) -> Iterator[Problem]:
    served = [(f"units.{arm}", arm) for arm, _ in flag.units]
    served += [(f"rules.{rule.id}.serve", rule.serve) for rule in flag.rules]
    for at, arm in served:
        if arm not in names:
            yield Problem(at, "an arm of this route", repr(arm))
    conditions = [(f"rules.{rule.id}", one) for rule in flag.rules for one in rule.when]
    conditions += [(f"experiments.{e.run}.audience", one) for e in flag.experiments for one in e.audience]
    known = {UNIT, *(name for name, _, _ in flag.attributes)}
    segments = {name for name, _ in flag.segments}
    for at, condition in conditions:
        if condition.attribute not in known:
            yield Problem(at, "a declared attribute", repr(condition.attribute))
        if condition.op.endswith("in_segment"):
            for name in set(condition.values) - segments:
                yield Problem(at, "a segment in the flag", repr(name))
        for _, expected, found, hint in faults(condition):
            yield Problem(at, expected, found, hint)


def _overlaps(experiments: tuple[RunningExperiment, ...]) -> Iterator[Problem]:
    owned = sorted(edges for one in experiments if one.layer for edges in one.layer.ranges)
    for (_, end), (start, _) in pairwise(owned):
        if start < end:
            yield Problem("experiments", "ranges of one layer that do not overlap", f"{start} below {end}")
