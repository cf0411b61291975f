"""Units one by one: each has a value, which its kind's own reading books into the moments that the fold keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from router.event_rows import NO_COVARIATE
from router.metric import KINDS
from router.reading import Reading
from tests.simulate.streams import Flags, Whole
from tests.simulate.worlds import arrivals

WINDOW = 2  # looks until a window has closed
STRATUM = ("1",)
Objects = npt.NDArray[np.object_]  # Python's whole numbers, which never overflow
Rng = np.random.Generator


class Who(NamedTuple):
    """The units of one arm in all replications: of each, its replication and the look by which it entered."""

    replication: Whole
    look: Whole


class Drawn(NamedTuple):
    """What each unit of an arm comes to.

    Attributes:
        y: its value, fixed point.
        n: what it is counted over.
        there: whether it has a value; absent, all have.
        covariate: fixed point, ``NO_COVARIATE`` without one; absent where the metric has none.
        stratum: the number of its stratum; absent, all are in the first.
        late: looks from its entry until y is heard; absent, none. Until then it counts as 0.
    """

    y: Whole
    n: Whole
    there: Flags | None = None
    covariate: Whole | None = None
    stratum: Whole | None = None
    late: Whole | None = None


Draw = Callable[[Rng, tuple[Who, Who]], tuple[Mapping[str, Drawn], Mapping[str, Drawn]]]


class Grid(NamedTuple):
    """The shape of moments: replications, looks, strata."""

    reps: int
    looks: int
    strata: int

    def totals(self, cells: Whole, amounts: Objects) -> Objects:
        """Sums of all looks so far, from amounts that enter cells; cells are in order."""
        total: Objects = np.zeros(self.reps * self.looks * self.strata, object)
        if len(cells):
            there, starts = np.unique(cells, return_index=True)
            total[there] = np.add.reduceat(amounts, starts)
        return np.asarray(total.reshape(self).cumsum(axis=1))

    def later(self, sums: Objects, looks: int) -> Objects:
        """The same sums so many looks later."""
        moved: Objects = np.zeros_like(sums)
        moved[:, looks:] = sums[:, : self.looks - looks]
        return moved


def _distinct(columns: Sequence[Whole]) -> tuple[list[list[int]], Whole]:
    """Every row that occurs, once, and of each unit which of them is its own: a reading then reads each row once."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        inverse = np.unique(column, return_inverse=True)[1]
        code = code * (int(inverse.max(initial=0)) + 1) + inverse
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    return np.stack([column[first] for column in columns], axis=1).tolist(), np.asarray(which)


def booked(reading: Reading, columns: Sequence[Whole], cells: Whole, grid: Grid) -> dict[str, Objects]:
    """Sums of a reading in every cell, of units with these values."""
    if not len(cells):
        return {name: grid.totals(cells, cells.astype(object)) for name in reading.names}
    rows, which = _distinct(columns)
    parts = [reading.part(*(None if value == NO_COVARIATE else value for value in row)) for row in rows]
    pairs, counts = np.unique(cells * len(rows) + which, return_counts=True)
    cell, row = np.divmod(pairs, len(rows))
    table, times = np.array(parts, dtype=object), counts.astype(object)
    return {name: grid.totals(cell, table[row, j] * times) for j, name in enumerate(reading.names)}


def _running(reading: Reading, drawn: Drawn, cells: Whole, who: Who, grid: Grid) -> dict[str, Objects]:
    """Sums of all units so far; a value that is heard later takes the place of a 0."""
    if drawn.late is None:
        return booked(reading, (drawn.y, drawn.n), cells, grid)
    heard = (drawn.y > 0) & (who.look + drawn.late < grid.looks)
    y, n, at = drawn.y[heard], drawn.n[heard], cells[heard] + drawn.late[heard] * grid.strata
    silent = booked(reading, (0 * drawn.y, 0 * drawn.n), cells, grid)
    after, before = booked(reading, (y, n), at, grid), booked(reading, (0 * y, 0 * n), at, grid)
    return {name: silent[name] + after[name] - before[name] for name in reading.names}


def of_metric(metric: Mapping[str, Any], drawn: Drawn, who: Who, grid: Grid) -> dict[str, Objects]:
    """The moments of one metric in one arm, by ``reading|sum``."""
    strata = np.zeros_like(drawn.y) if drawn.stratum is None else drawn.stratum
    cells = (who.replication * grid.looks + who.look) * grid.strata + strata
    there = np.ones(len(cells), bool) if drawn.there is None else drawn.there
    own = Drawn(*(None if part is None else part[there] for part in drawn))  # type: ignore[arg-type]
    kind, of = KINDS[metric["kind"]], Who(*(part[there] for part in who))
    running = _running(kind.reading(metric, "r"), own, cells[there], of, grid)
    columns = (own.y, own.n) if own.covariate is None else (own.y, own.n, own.covariate)
    closed = booked(kind.reading(metric, "c"), columns, cells[there], grid)
    found = {f"r|{name}": sums for name, sums in running.items()}
    found |= {f"c|{name}": grid.later(sums, WINDOW) for name, sums in closed.items()}
    for key, units in (("m", np.ones_like(there)), ("p", there), ("e", there & (drawn.y > 0))):
        found[f"{key}|n"] = grid.later(_count(cells[units], grid), WINDOW)
    return found


def _count(cells: Whole, grid: Grid) -> Objects:
    there, counts = np.unique(cells, return_counts=True)
    return grid.totals(there, counts.astype(object))


def moments_of(
    run: Mapping[str, Any], rng: Rng, reps: int, sizes: Whole, draw: Draw, strata: Sequence[str] = STRATUM
) -> dict[str, Objects]:
    """The moments of a run after every look: name to values of shape (replications, looks).

    Args:
        run: a run, whose metrics are measured.
        rng: of this world.
        reps: replications.
        sizes: units of both arms between looks.
        draw: what the units of (control, treatment) come to, by metric.
        strata: their names.
    """
    grid, share = Grid(reps, len(sizes), len(strata)), _share(run)
    who = tuple(_entering(n) for n in arrivals(rng, reps, sizes, share))
    moments: dict[str, Objects] = {}
    for arm, (units, drawn) in enumerate(zip(who, draw(rng, (who[0], who[1])), strict=True)):
        for metric in run["spec"]["metrics"]:
            of_one = of_metric(metric, drawn[metric["name"]], units, grid)
            moments |= _named(of_one, f"{arm}|{metric['name']}", strata)
        entered = next(iter(drawn.values())).stratum
        cells = (units.replication * grid.looks + units.look) * grid.strata
        exposed = _count(cells if entered is None else cells + entered, grid)
        moments |= _named({"u|n": exposed, "c|n": grid.later(exposed, WINDOW)}, f"{arm}|", strata)
    return moments


def _share(run: Mapping[str, Any]) -> float:
    lanes = {lane["role"]: lane["share"] for lane in run["spec"]["lanes"]}
    return float(lanes["treatment"] / sum(lanes.values()))


def _entering(new: Whole) -> Who:
    reps, looks = new.shape
    cells = np.repeat(np.arange(reps * looks), new.ravel())
    return Who(cells // looks, cells % looks)


def _named(sums: Mapping[str, Objects], place: str, strata: Sequence[str]) -> dict[str, Objects]:
    return {
        f"{stratum}|{place}|{name}": course[:, :, i]
        for name, course in sums.items()
        for i, stratum in enumerate(strata)
    }
