"""The flag: the routing truth of one route now, as gateways read it. Whole numbers and frozen tables.

What people write is a route and an experiment; what is stored and shipped is this. It has its own strict reader, so
that the gateway loads nothing that only files need. A changed flag is a new value; the store counts its revision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from router.bucketing import PPM
from router.errors import Problem, SpecError
from router.protocols import ROWS as PROTOCOLS
from router.serving import PoolLimits, Price, Serving

Role = Literal["control", "treatment"]
OnMissing = Literal["control", "error", "mint-cookie"]
Expose = Literal["all", "id", "none"]
UNIT_PLACES = ("header", "cookie", "query", "path", "json", "jwt", "request")
# Places beside the unit's that an experiment may read: all in the head, so that no request waits for its body.
HEAD_PLACES = ("header", "cookie", "query")
# What gateways measure of each answer and write down where an experiment lists a metric of that name.
MEASURES = (
    "first_byte",
    "gap",
    "size",
    "tokens_in",
    "tokens_out",
    "cost",
    "shadow_differs",
    "shadow_latency",
)
LARGEST_COUNT = 2**32 - 1  # revisions and epochs have 32 bits in a decision id
MOST_LANES = 64  # the arm index has 6 bits in an event
OTHER = "other"  # units whose segment is none of the declared ones
MOST_SEGMENTS = 255  # a segment has 8 bits in an event


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stretch of buckets an arm owns: [start, start + share), filled from its left edge; in ppm."""

    arm: str
    role: Role
    start: int
    share: int
    state: Literal["open", "closed"] = "open"

    def width(self, coverage: int) -> int:
        """How many buckets are filled at a coverage; a closed lane has none."""
        return self.share * coverage // PPM if self.state == "open" else 0


class Attributes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an experiment reads of a request beside its unit, and keeps with the exposure.

    Attributes:
        covariate: place of a number known before the exposure.
        segments: place of the unit's segment.
        values: the declared segments, in the order of their numbers 1, 2, 3 …; 0 is any other.
    """

    covariate: tuple[str, str] | None = None
    segments: tuple[str, str] | None = None
    values: tuple[str, ...] = ()


class RunningExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run on a route: its lanes (treatments first, control last) and how far they are filled."""

    run: str
    experiment: str
    epoch: int
    salt: str
    lanes: tuple[Lane, ...]
    coverage: int = 0
    traffic: int = PPM
    slow_ms: int | None = None
    ttl_ms: int = 0
    attributes: Attributes | msgspec.UnsetType = msgspec.UNSET  # absent from the stored form of all others
    measures: tuple[str, ...] = ()

    def arm_index(self, arm: str) -> int:
        """0 for control, 1 and up for treatments, -1 for an arm without a lane."""
        treatments = [lane.arm for lane in self.lanes if lane.role == "treatment"]
        if arm in treatments:
            return treatments.index(arm) + 1
        return 0 if any(lane.arm == arm for lane in self.lanes) else -1


class ArmSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an arm sets on a request: its path, fields, and values at JSON pointers of its body."""

    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    json: tuple[tuple[str, Any], ...] = ()


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One alternative of a route.

    ``identity`` is a digest of what it is: a change of it is a new epoch. ``declares`` is what its answers say that they
    come from; empty when nothing is declared. ``warm`` is how many copies of requests it answers before its first unit.
    """

    name: str
    upstream: str
    identity: str = ""
    set: ArmSet | None = None
    declares: str = ""
    price: Price | None = None
    pool: PoolLimits | None = None
    warm: int = 0


class TokenSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are believed.

    Attributes:
        keys: of the issuer, each as text or as the name of a secret; one that verifies a token is enough.
        algorithms: of its signatures.
        field: of the request, lower case, ``Bearer`` before the token or not.
        issuer: empty when it is not asked.
        audience: empty when it is not asked.
    """

    keys: tuple[str, ...]
    algorithms: tuple[str, ...]
    field: str = "authorization"
    issuer: str = ""
    audience: str = ""


class UnitSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the unit stands in a request; the first place that holds one wins."""

    kind: str
    places: tuple[tuple[str, str], ...]
    on_missing: OnMissing = "control"
    jwt: TokenSource | None = None


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a route takes; ``path`` is a prefix that ends at a segment's border."""

    path: str = "/"
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The routing truth of one route."""

    route: str
    unit: UnitSource
    arms: tuple[Arm, ...]
    default: str
    revision: int = 0
    enabled: bool = True
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
    algorithm: Literal["murmur3-32/v1"] = "murmur3-32/v1"
    format: Literal[1] = 1

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
    if len(flag.experiments) > 1:
        yield Problem("experiments", "at most one experiment on a route", str(len(flag.experiments)))
    for experiment in flag.experiments:
        yield from _experiment_contradictions(experiment, names)
        if experiment.attributes is not msgspec.UNSET:
            yield from _attribute_contradictions(f"experiments.{experiment.run}", experiment.attributes)


def _request_contradictions(flag: Flag) -> Iterator[Problem]:
    if flag.protocol not in PROTOCOLS:
        yield Problem("protocol", f"one of {', '.join(PROTOCOLS)}", repr(flag.protocol))
    for kind, _ in flag.unit.places:
        if kind not in UNIT_PLACES:
            yield Problem("unit.places", f"one of {', '.join(UNIT_PLACES)}", repr(kind))
        if kind == "jwt" and flag.unit.jwt is None:
            yield Problem("unit.jwt", "keys for the tokens that hold the unit", "none")
    shadow = flag.serving.shadow if flag.serving is not None else None
    if shadow is not None and shadow.arm not in [arm.name for arm in flag.arms]:
        yield Problem("serving.shadow.arm", "one of the arms", repr(shadow.arm))
    if flag.match is not None and not flag.match.path.startswith("/"):
        yield Problem("match.path", "a path that begins with '/'", repr(flag.match.path))


def _experiment_contradictions(experiment: RunningExperiment, names: list[str]) -> Iterator[Problem]:
    at = f"experiments.{experiment.run}"
    if not 0 <= experiment.coverage <= PPM:
        yield Problem(f"{at}.coverage", f"0 .. {PPM}", str(experiment.coverage))
    if not 0 < experiment.traffic <= PPM:
        yield Problem(f"{at}.traffic", f"1 .. {PPM}", str(experiment.traffic))
    if not 0 <= experiment.epoch <= LARGEST_COUNT:
        yield Problem(f"{at}.epoch", f"0 .. {LARGEST_COUNT}", str(experiment.epoch))
    roles = [lane.role for lane in experiment.lanes]
    if roles.count("control") != 1 or not 2 <= len(roles) <= MOST_LANES:
        yield Problem(f"{at}.lanes", f"one control and 1 .. {MOST_LANES - 1} treatments", str(roles))
    arms = [lane.arm for lane in experiment.lanes]
    if len(set(arms)) != len(arms):
        yield Problem(f"{at}.lanes", "one lane for each arm", str(arms))
    edge = 0
    for lane in experiment.lanes:
        if lane.arm not in names:
            yield Problem(f"{at}.lanes", "arms of this route", repr(lane.arm))
        if lane.share <= 0 or lane.start < edge:
            yield Problem(
                f"{at}.lanes", "lanes side by side, each with a share", f"{lane.arm} at {lane.start}"
            )
        edge = lane.start + lane.share
    if edge > PPM:
        yield Problem(f"{at}.lanes", f"lanes within {PPM}", str(edge))


def _attribute_contradictions(at: str, attributes: Attributes) -> Iterator[Problem]:
    for place in (attributes.covariate, attributes.segments):
        if place is not None and place[0] not in HEAD_PLACES:
            yield Problem(f"{at}.attributes", f"one of {', '.join(HEAD_PLACES)}", repr(place[0]))
    if len(attributes.values) > MOST_SEGMENTS:
        yield Problem(f"{at}.attributes.values", f"at most {MOST_SEGMENTS}", str(len(attributes.values)))
