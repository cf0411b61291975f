"""What the weights of the MDE grid gain, and what they cost elsewhere."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from stats import grid, sprt
from stats.evalues import log_mixtures, threshold
from tests.simulate import worlds
from tests.simulate.efficiency import ALPHA, POINT, n80
from tests.simulate.peers import given
from tests.simulate.results import Result, Row, average, rng_of
from tests.simulate.shipped import Said, of_proportions
from tests.simulate.streams import Float, first

# True effect in MDEs -> units an arm between looks, and looks: up to 3.4 times n80 where that matters.
WORLDS = {0.5: (400, 490), 1.0: (100, 500), 2.0: (100, 260), 4.0: (100, 80)}
# Of steps of a half, one, two and four MDE.
OTHERS = {"flatter, .2 .5 .2 .1": (0.2, 0.5, 0.2, 0.1), "all on the MDE": (0.0, 1.0, 0.0, 0.0)}
BOUND = 0.94  # of a test that knows the effect and never accepts
WITHIN = 1.08


def draw(seed: int, reps: int) -> dict[float, Said]:
    """Streams of all true effects."""
    found = {}
    for size, (look, looks) in WORLDS.items():
        rng, sizes = rng_of(seed, f"weights {size}"), np.full(looks, 2 * look)
        stream = worlds.proportions(rng, reps, 0.5, 0.1, 0.1 + size * POINT, sizes=sizes, window=0)
        found[size] = of_proportions(stream.running)
    return found


def weighted(said: Said, weights: tuple[float, ...]) -> Float:
    """Log e of the grid with other weights: its components are Wald's tests."""
    a, b = cast(Any, said.a), cast(Any, said.b)
    parts = [np.asarray(sprt.log_evalue(a, b, 0.0, step * POINT)) for step in grid.STEPS]
    return log_mixtures(np.stack(parts), weights)


def units(said: dict[float, Said], weights: tuple[float, ...]) -> dict[float, Float]:
    """By true effect, the units an arm of each replication over n80."""
    found = {}
    for size, (look, _) in WORLDS.items():
        at, _any = first(weighted(said[size], weights) >= threshold(ALPHA))
        found[size] = np.asarray((at + 1.0) * look / n80(size * POINT))
    return found


def study(reps: int, seed: int) -> Result:
    """The shipped weights and others, on the same streams."""
    said, rows = draw(seed, reps), list[Row]()
    ours = units(said, grid.WEIGHTS)
    for size in WORLDS:
        where = f"effect of {size:g} MDE, mean units ÷ n80"
        limit = round(WITHIN * BOUND, 3) if size == 1 else None
        peers = f"{WITHIN:g} × bound {given(BOUND)}" if limit else ""
        rows.append(average(f"shipped: {where}", ours[size], limit, peers=peers))
        for name, weights in OTHERS.items():
            rows.append(average(f"{name}: {where}, less shipped", units(said, weights)[size] - ours[size]))
    shares = " ".join(given(weight) for weight in grid.WEIGHTS)
    return Result(
        "weights",
        "The weights of the MDE grid",
        f"Shipped are {shares} of ½, 1, 2 and 4 MDE; the others on the same streams, as differences. A test with all its weight "
        "on the MDE is the quickest there, and the slowest elsewhere. One-sided .025, stopped at 3.4 n80 for ½ and 1.",
        reps,
        seed,
        rows,
    )
