"""Layers: who owns which range, what is free, and which experiments can meet in one unit.

A layer's state is nowhere kept apart: its owners are the live runs, and what cools down are the ranges of runs that
ended. So it can neither be lost nor contradict what is routed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from router.bucketing import PPM
from router.flag import Flag
from router.lanes import Range, RunningExperiment
from router.run import FINAL


@dataclass(frozen=True, slots=True)
class Owned:
    """One range of a layer: who has it, and for an ended run until when it rests (UTC ms)."""

    start: int
    end: int
    run: str
    until: int | None


def owners(runs: Mapping[str, Mapping[str, Any]], layer: str, cooldown_ms: int, now: int) -> list[Owned]:
    """The taken ranges of a layer, in their order."""
    found = []
    for run in runs.values():
        held = run.get("layer")
        if not held or held["layer"] != layer:
            continue
        until = run["ended"] + cooldown_ms if run["state"] in FINAL and run["ended"] is not None else None
        if until is None or until > now:
            found += [Owned(start, end, run["run"], until) for start, end in held["ranges"]]
    return sorted(found, key=lambda one: (one.start, one.end))


def free(taken: Iterable[Owned]) -> list[Range]:
    """What nobody has."""
    gaps, edge = [], 0
    for one in taken:
        if one.start > edge:
            gaps.append((edge, one.start))
        edge = max(edge, one.end)
    return [*gaps, (edge, PPM)] if edge < PPM else gaps


def allocate(taken: Iterable[Owned], share: int) -> tuple[Range, ...] | None:
    """Free ranges that are ``share`` wide together, the lowest first; None when there are not enough."""
    found: list[Range] = []
    for start, end in free(taken):
        if share <= 0:
            break
        found.append((start, min(end, start + share)))
        share -= end - start
    return tuple(found) if share <= 0 else None


def overlaps(flags: Iterable[Flag]) -> list[dict[str, Any]]:
    """Which pairs of running experiments share units, and how many.

    The share is of all units, for units that pass both audiences and all holdouts: 0 inside one layer, else the product
    of both, since their hashes are independent. Experiments on different kinds of units have no common unit to count.
    """
    running = [(flag, one) for flag in sorted(flags, key=lambda flag: flag.route) for one in flag.experiments]
    rows = []
    for (one_flag, one), (other_flag, other) in combinations(running, 2):
        apart = one.layer is not None and other.layer is not None and one.layer.layer == other.layer.layer
        same_kind = one_flag.unit.kind == other_flag.unit.kind
        product = _enrolled(one) * _enrolled(other) // PPM
        rows.append(
            {
                "experiments": [one.experiment, other.experiment],
                "routes": [one_flag.route, other_flag.route],
                "how": "disjoint" if apart else "independent" if same_kind else "different units",
                "ppm": 0 if apart else product if same_kind else None,
            }
        )
    return rows


def _enrolled(one: RunningExperiment) -> int:
    """The share of all units that is enrolled, but for audience and holdouts."""
    lanes = sum(lane.width(one.coverage) for lane in one.lanes)
    part = sum(end - start for start, end in one.layer.ranges) if one.layer else PPM
    return lanes * one.traffic // PPM * part // PPM
