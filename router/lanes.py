"""Lanes: who of a route takes part in a run, and in which arm. Whole numbers of parts per million, half-open ranges.

A layer deals one population out to several experiments: each owns explicit ranges of the layer's own buckets, so that
starting or stopping one never moves another. A holdout keeps the same few units out of many experiments. Every
question has a salt of its own; one hash for two questions gives one arm everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from router.bucketing import PPM
from router.errors import Problem
from router.rules import Condition
from router.traits import Traits, misplaced

Role = Literal["control", "treatment"]
Range = tuple[int, int]
LARGEST_COUNT = 2**32 - 1  # revisions and epochs have 32 bits in a decision id
MOST_LANES = 64  # the arm index has 6 bits in an event
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


class Slice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an experiment owns of a layer: sorted ranges of the layer's buckets."""

    layer: str
    salt: str
    ranges: tuple[Range, ...]


class Holdout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units that an experiment leaves alone: the buckets [0, share) of the holdout's salt."""

    name: str
    salt: str
    share: int


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
    measures: tuple[str, ...] = ()
    traits: Traits | msgspec.UnsetType = msgspec.UNSET  # absent from the stored form of all others
    audience: tuple[Condition, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    layer: Slice | None = None
    sticky: int | msgspec.UnsetType = (
        msgspec.UNSET
    )  # the revision before which nothing is remembered; 0 is its start

    def arm_index(self, arm: str) -> int:
        """0 for control, 1 and up for treatments, -1 for an arm without a lane."""
        treatments = [lane.arm for lane in self.lanes if lane.role == "treatment"]
        if arm in treatments:
            return treatments.index(arm) + 1
        return 0 if any(lane.arm == arm for lane in self.lanes) else -1


def contradictions(experiment: RunningExperiment, names: list[str]) -> Iterator[Problem]:
    """What an experiment says against itself or against the arms of its route."""
    at = f"experiments.{experiment.run}"
    for field, low, high in (("coverage", 0, PPM), ("traffic", 1, PPM), ("epoch", 0, LARGEST_COUNT)):
        if not low <= getattr(experiment, field) <= high:
            yield Problem(f"{at}.{field}", f"{low} .. {high}", str(getattr(experiment, field)))
    yield from _of_lanes(experiment, f"{at}.lanes", names)
    for holdout in experiment.holdouts:
        if not 0 < holdout.share < PPM:
            yield Problem(f"{at}.holdouts.{holdout.name}", f"1 .. {PPM - 1}", str(holdout.share))
    if experiment.layer is not None:
        edge = -1
        for start, end in experiment.layer.ranges:
            if not edge < start < end <= PPM:
                yield Problem(f"{at}.layer", "sorted ranges side by side", f"[{start}, {end})")
            edge = end
        if not experiment.layer.ranges:
            yield Problem(f"{at}.layer", "at least one range", "none")
    if experiment.traits is not msgspec.UNSET:
        yield from misplaced(experiment.traits, f"{at}.traits")


def _of_lanes(experiment: RunningExperiment, at: str, names: list[str]) -> Iterator[Problem]:
    roles = [lane.role for lane in experiment.lanes]
    if roles.count("control") != 1 or not 2 <= len(roles) <= MOST_LANES:
        yield Problem(at, f"one control and 1 .. {MOST_LANES - 1} treatments", str(roles))
    arms = [lane.arm for lane in experiment.lanes]
    if len(set(arms)) != len(arms):
        yield Problem(at, "one lane for each arm", str(arms))
    edge = 0
    for lane in experiment.lanes:
        if lane.arm not in names:
            yield Problem(at, "arms of this route", repr(lane.arm))
        if lane.share <= 0 or lane.start < edge:
            yield Problem(at, "lanes side by side, each with a share", f"{lane.arm} at {lane.start}")
        edge = lane.start + lane.share
    if edge > PPM:
        yield Problem(at, f"lanes within {PPM}", str(edge))
