"""Moves: how many units change their arm between two flags, computed from ranges, never sampled."""

from __future__ import annotations

from router.bucketing import PPM
from router.flag import Flag


def _ranges(flag: Flag) -> tuple[int, list[tuple[int, int, str]]]:
    """Inclusion and, for the included, (start, end, arm) over all buckets."""
    if not flag.experiments or not flag.enabled:
        return PPM, [(0, PPM, flag.default)]
    experiment = flag.experiments[0]
    ranges, edge = [], 0
    for lane in experiment.lanes:
        end = lane.start + lane.width(experiment.coverage)
        arm = flag.default if lane.arm in flag.killed else lane.arm
        ranges += [(edge, lane.start, flag.default), (lane.start, end, arm)]
        edge = end
    return experiment.traffic, [part for part in (*ranges, (edge, PPM, flag.default)) if part[0] < part[1]]


def moved(old: Flag, new: Flag) -> tuple[tuple[str, str, int], ...]:
    """(from, to, ppm) of all units whose arm changes, computed from the ranges of both flags."""
    (t0, r0), (t1, r1) = _ranges(old), _ranges(new)
    same_salt = [e.salt for e in old.experiments] == [e.salt for e in new.experiments]
    found: dict[tuple[str, str], int] = {}
    for included in sorted({0, t0, t1} - {PPM}):
        ends = [edge for edge in (t0, t1, PPM) if edge > included]
        weight = min(ends) - included
        old_part = r0 if included < t0 else [(0, PPM, old.default)]
        new_part = r1 if included < t1 else [(0, PPM, new.default)]
        for a, b, before in old_part:
            for c, d, after in new_part:
                common = max(0, min(b, d) - max(a, c)) if same_salt else (b - a) * (d - c) // PPM
                if before != after and common:
                    pair = (before, after)
                    found[pair] = found.get(pair, 0) + common * weight // PPM
    return tuple((*pair, ppm) for pair, ppm in sorted(found.items()))
