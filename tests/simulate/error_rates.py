"""How often the formulas claim what is false, when one looks after every batch."""

from __future__ import annotations

import numpy as np

from stats.evalues import threshold
from tests.simulate.cases import CASES, Case
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.shipped import Looks, by_srm

ALPHAS = (0.05, 0.01)
CHUNK = 500  # replications at a time, for the memory


def maxima(looks: Looks) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The highest log e of each claim (row) in each replication."""
    return np.stack([log_e.max(axis=1) for log_e in looks])


def highest(case: Case, reps: int, seed: int) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """By test, the highest log e of each false claim in each replication; and that of the sample ratio."""
    rng, parts = rng_of(seed, case.name), []
    for begun in range(0, reps, CHUNK):
        stream = case.draw(rng, min(CHUNK, reps - begun))
        found = case.tests(stream, case.ask) | {"sample ratio": by_srm(stream)}
        parts.append({name: maxima(looks) for name, looks in found.items()})
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def rows_of(case: Case, reps: int, seed: int) -> list[Row]:
    """The worse claim of each test at each alpha."""
    rows = []
    for name, best in highest(case, reps, seed).items():
        for alpha in ALPHAS if name != "sample ratio" else (0.001,):
            hits = best >= threshold(alpha)
            worst = hits[int(hits.mean(axis=1).argmax())]
            rows.append(rate(case.name, worst, alpha, column=name))
    return rows


def study(reps: int, seed: int) -> Result:
    """The grid of worlds, every formula in each."""
    rows = [row for case in CASES for row in rows_of(case, max(2, reps // case.weight), seed)]
    return Result(
        "error_rates",
        "Wrong claims of the formulas, looking after every batch",
        "Share of runs in which a false claim is ever made; of two directions the worse. Batches grow until 5,000 events "
        "are expected (150 looks); numbers up to 20,000 units (70 looks); ramps 120 looks; returning units 60.",
        reps,
        seed,
        rows,
    )
