"""Streams: the sums of both arms after every batch, for many replications of one world at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Sums(NamedTuple):
    """Sums over the units of one arm, each of shape (replications, looks), as they stand after each look.

    Attributes:
        n: units with a value.
        hit: of them with at least one event.
        sx: reports.
        sy: sum of values, in the stream's resolution.
        sxx: sum over units of squared reports.
        sxy: sum over units of reports times value.
        syy: sum over units of squared value.
    """

    n: Whole
    hit: Whole
    sx: Whole
    sy: Whole
    sxx: Whole
    sxy: Whole
    syy: Whole


Arms = tuple[Sums, Sums]  # control, treatment


@dataclass(frozen=True, slots=True)
class Stream:
    """What both arms have seen after each look.

    Attributes:
        name: of the world, as tables show it.
        share: of the treatment in the units of both arms.
        exposed: units of (control, treatment) that have entered.
        running: sums of all units so far.
        closed: sums of the units whose window has closed.
        resolution: how many of the values' steps make 1.
    """

    name: str
    share: float
    exposed: tuple[Whole, Whole]
    running: Arms
    closed: Arms
    resolution: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """(replications, looks)."""
        reps, looks = self.exposed[0].shape
        return reps, looks


def events(n: Whole, hit: Whole) -> Sums:
    """Sums of units that give one report each, 1 with the event and 0 without."""
    return Sums(n, hit, n, hit, n, hit, hit)


def later(sums: Sums, looks: int) -> Sums:
    """The same sums so many looks later: what has closed when a window lasts that long."""
    if not looks:
        return sums
    return Sums(*(np.pad(part, ((0, 0), (looks, 0)))[:, :-looks] for part in sums))


def batches(first: float, total: float, looks: int) -> Whole:
    """Sizes of batches that grow by a constant factor, as traffic in a ramp does, from ``first`` to ``total`` in all."""
    ends = np.rint(np.geomspace(first, total, looks)).astype(np.int64)
    ends = np.maximum.accumulate(np.maximum(ends, np.arange(1, looks + 1)))
    return np.diff(ends, prepend=0)


def rows_of(*arrays: npt.NDArray[Any]) -> list[list[Any]]:
    """Each array flattened to Python numbers, for functions of scalars."""
    return [array.ravel().tolist() for array in arrays]


def each(function: Callable[..., float], *arrays: npt.NDArray[Any]) -> Float:
    """A function of scalars over arrays of one shape."""
    found = [function(*row) for row in zip(*rows_of(*arrays), strict=True)]
    return np.array(found).reshape(arrays[0].shape)


def first(reached: Flags) -> tuple[Whole, Flags]:
    """Of each replication, the first look that has it (the last look where none has), and whether any has."""
    any_look = reached.any(axis=1)
    return np.where(any_look, reached.argmax(axis=1), reached.shape[1] - 1), np.asarray(any_look)
