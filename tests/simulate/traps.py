"""What lanes, windows and units are for: the same test on the same people, compared as is often done and as it is here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stats import grid, ratios
from stats.evalues import threshold
from tests.simulate import visits, worlds
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.shipped import Said, of_proportions, of_ratios
from tests.simulate.streams import Flags, Sums, events

ALPHA = 0.05  # both directions together
LOOKS = 120
ALL = 4000  # units of all traffic between looks
GROWING = np.repeat(
    (0.01, 0.05, 0.10, 0.25), LOOKS // 4
)  # the treatment's share of all, when all others are control
MDE = 0.02
ACTIVE = replace(visits.POPULATIONS[0], visits=0.5, window=60)
# World -> how it is often compared, and how it is here.
USUAL = {
    "drift": ("all others are control, pooled", "lanes filled alike"),
    "late conversions": ("all others, counted so far", "lanes, closed windows"),
    "returning units": ("a report is a unit", "variance over units"),
}


def claims(said: Said, mde: float = MDE) -> Flags:
    """Whether any look claims a difference, in either direction."""
    both = [grid.log_evalues(said.a, sign * said.b, 0.0, mde).max(axis=1) for sign in (1, -1)]
    return np.asarray(np.maximum(*both) >= threshold(ALPHA / 2))


def _by_report(sums: Sums) -> Sums:
    """As if each report were a unit of its own."""
    return events(sums.sx, sums.sy)


def study(reps: int, seed: int) -> Result:
    """No effect anywhere; whatever is claimed is the comparison's own doing."""
    sizes = np.full(LOOKS, ALL)

    def rng(name: str) -> np.random.Generator:
        return rng_of(seed, "trap " + name)

    p = np.linspace(0.10, 0.12, LOOKS)
    new = worlds.arrivals(rng("drift"), reps, sizes, GROWING)
    grown = [events(n.cumsum(axis=1), rng("rates").binomial(n, p).cumsum(axis=1)) for n in new]
    alike = worlds.drifting(rng("lanes"), reps, 0.25, per_look=ALL)
    early = worlds.delayed(rng("early"), reps, 0.25, sizes=sizes, entering=GROWING)
    late = worlds.delayed(rng("late"), reps, 0.25, sizes=worlds.ramp_sizes(ALL, LOOKS))
    back = visits.returning(rng("back"), max(2, reps // 8), 0.25, ACTIVE)
    rows: list[Row] = []
    for what, usual, ours in (
        ("drift", of_proportions((grown[0], grown[1])), of_proportions(alike.closed)),
        ("late conversions", of_proportions(early.running), of_proportions(late.closed)),
        (
            "returning units",
            of_proportions((_by_report(back.running[0]), _by_report(back.running[1]))),
            of_ratios(back.running, 1, ratios.share_difference),
        ),
    ):
        rows += [
            rate(f"{what}: {USUAL[what][0]}", claims(usual)),
            rate(f"{what}: {USUAL[what][1]}", claims(ours), ALPHA),
        ]
    return Result(
        "traps",
        "What lanes, windows and units are for",
        f"The default test (MDE grid, both directions at {ALPHA:g} together) where no effect exists. A baseline that drifts from "
        f"10 to 12 %, and conversions that come 8 looks late on average, under a ramp of 1, 5, 10 and 25 %, {LOOKS} looks at "
        f"{ALL:,} units of all traffic; units of ICC .2 that return every second look (60 looks, an eighth of the runs).",
        reps,
        seed,
        rows,
    )
