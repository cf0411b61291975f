"""Moves: how many units change their arm between two flags, computed from ranges, never sampled.

Both flags are asked by the code that serves requests, but with buckets instead of hashes: whenever a salt is asked for
that has no bucket yet, each cell of that salt's edges is tried in turn, weighted by its width. What rules, unit lists,
prerequisites and audiences decide depends on who asks and has no range: the result is about all other units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import msgspec

from router.assignment import CompiledFlag
from router.bucketing import PPM
from router.flag import Flag

ANYBODY = b"anybody"


class _Asked(Exception):
    """A salt that has no bucket yet."""

    def __init__(self, salt: str) -> None:
        super().__init__(salt)
        self.salt = salt


def moved(old: Flag, new: Flag) -> tuple[tuple[str, str, int], ...]:
    """(from, to, ppm) of all units whose arm changes."""
    shares: dict[tuple[str, str], Fraction] = {}
    for before, after, share in _pairs(old, new):
        if before != after:
            shares[before, after] = shares.get((before, after), Fraction(0)) + share
    rounded = ((*pair, round(share * PPM)) for pair, share in sorted(shares.items()))
    return tuple(row for row in rounded if row[2])


def _pairs(old: Flag, new: Flag) -> Iterator[tuple[str, str, Fraction]]:
    """The arm before and after of each cell, and the cell's share of all units."""
    edges = _edges(old, new)
    known: dict[str, int] = {}

    def prepare(prefix: str) -> Callable[[str], Callable[[bytes], int]]:
        def for_salt(salt: str) -> Callable[[bytes], int]:
            def where(_: bytes) -> int:
                if prefix + salt not in known:
                    raise _Asked(prefix + salt)
                return known[prefix + salt]

            return where

        return for_salt

    # Two algorithms deal the same salt independently.
    flags = [CompiledFlag(_anonymous(flag), prepare(f"{flag.algorithm} ")) for flag in (old, new)]

    def walk(share: Fraction) -> Iterator[tuple[str, str, Fraction]]:
        try:
            before, after = (flag.assign(ANYBODY).arm for flag in flags)
        except _Asked as asked:
            for start, end in pairwise(edges[asked.salt]):
                known[asked.salt] = start
                yield from walk(share * (end - start) / PPM)
            del known[asked.salt]
        else:
            yield before, after, share

    yield from walk(Fraction(1))


def _anonymous(flag: Flag) -> Flag:
    """The flag as it is for those of whom nothing but the bucket is known."""
    experiments = tuple(msgspec.structs.replace(one, audience=()) for one in flag.experiments)
    return msgspec.structs.replace(flag, rules=(), units=(), requires=(), experiments=experiments)


def _edges(*flags: Flag) -> dict[str, list[int]]:
    """Where the answer of a salt can change, for each salt."""
    found: dict[str, set[int]] = {}
    for flag in flags:
        for one in flag.experiments:
            ranges = [(f"{one.salt}#in", 0, one.traffic)]
            ranges += [(held.salt, 0, held.share) for held in one.holdouts]
            ranges += [(one.layer.salt, *edges) for edges in one.layer.ranges] if one.layer else []
            for lane in one.lanes:
                ranges.append((f"{one.salt}#arm", lane.start, lane.start + lane.width(one.coverage)))
            for salt, start, end in ranges:
                found.setdefault(f"{flag.algorithm} {salt}", {0, PPM}).update((start, end))
    return {salt: sorted(edges) for salt, edges in found.items()}
