"""Do the intervals that are shown contain the truth, at every look and when one stops?"""

from __future__ import annotations

import numpy as np

from stats import grid
from stats.evalues import threshold
from tests.simulate.efficiency import LOOK, LOOKS, POINT, shares_said
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.shipped import Said
from tests.simulate.streams import first

Flags = np.ndarray[tuple[int, int], np.dtype[np.bool_]]  # one for each run and look
ALPHA = 0.05  # two-sided
FIXED = 1.959964


def study(reps: int, seed: int) -> Result:
    """Intervals of a difference of 1 pp, around .10."""
    rows: list[Row] = []
    curves: dict[str, list[list[float]]] = {}
    for effect in (0.0, POINT):
        said = shares_said(rng_of(seed, f"coverage {effect}"), reps, effect)
        outside, missed = _outside(said, effect), _missed(said, effect)
        where = f"true difference {effect * 100:g} pp"
        rows += [
            rate(
                f"{where}: our interval holds at all {LOOKS} looks",
                ~outside.any(axis=1),
                1 - ALPHA,
                side="least",
            ),
            rate(f"{where}: a fixed 95 % interval holds at all looks", ~missed.any(axis=1)),
        ]
        if effect:
            rows += _at_the_stop(said.a, said.b, effect)
        steps = range(4, LOOKS, 5)
        curves |= {
            f"{name}, {where}": [
                [(s + 1) * LOOK, float(1 - bad[:, : s + 1].any(axis=1).mean())] for s in steps
            ]
            for name, bad in (("always-valid", outside), ("fixed 95 %", missed))
        }
    return Result(
        "coverage",
        "Intervals that hold at every look",
        f"A look every {LOOK} units an arm, up to 50,000, proportions around .10, 95 %. The last rows look once: when the "
        "grid first shows a benefit (one-sided .025).",
        reps,
        seed,
        rows,
        curves,
    )


def _outside(said: Said, effect: float) -> Flags:
    """Where the truth lies outside of ours: the test of that null rejects, in one of both directions."""
    up = grid.log_evalues(said.a, said.b, effect, POINT)
    down = grid.log_evalues(said.a, -said.b, -effect, POINT)
    return np.maximum(up, down) >= threshold(ALPHA / 2)


def _missed(said: Said, effect: float) -> Flags:
    """Where the truth lies outside of the fixed interval."""
    spread = 1 / np.sqrt(np.maximum(said.a, 1e-300))
    return np.abs(said.b / np.maximum(said.a, 1e-300) - effect) > FIXED * spread


def _at_the_stop(
    a: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    b: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    effect: float,
) -> list[Row]:
    """Coverage when the test stops the run."""
    look, found = first(grid.log_evalues(a, b, 0.0, POINT) >= threshold(ALPHA / 2))
    stopped = [(a[i, at], b[i, at]) for i, at in enumerate(look.tolist()) if found[i]]
    intervals = [grid.interval(float(i), float(w), POINT, ALPHA) for i, w in stopped]
    ours = np.array([low <= effect <= high for low, high in intervals])
    fixed = np.array([abs(w / i - effect) <= FIXED / i**0.5 for i, w in stopped])
    return [
        rate("when a benefit is shown: our interval holds", ours, 1 - ALPHA, side="least"),
        rate(
            "when a benefit is shown: a fixed 95 % interval holds",
            fixed,
            peers=words("fixed interval at the stop"),
        ),
    ]
