"""How many units a decision takes: open-ended tests, and those that are bounded by a horizon."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stats import grid, group_sequential, half_normal, normal, obrien_fleming, sprt
from stats.evalues import threshold
from tests.simulate import worlds
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, average, rate, rng_of
from tests.simulate.shipped import Said, of_means, of_proportions
from tests.simulate.streams import Float, Stream, each, first

LOOK = 100  # units an arm between looks
LOOKS = 500
ALPHA = 0.025  # one-sided
POINT = 0.01
POWER = (1.959964 + 0.841621) ** 2  # of a fixed test, two-sided 5 % with power 80 %: I * effect^2 at n80
CHUNK = 100


def n80(effect: float, p: float = 0.1) -> float:
    """Units an arm that a fixed test needs for a power of 80 %."""
    return POWER * (p * (1 - p) + (p + effect) * (1 - p - effect)) / effect**2


N80 = round(n80(POINT))
VALUE = 0.05 * math.exp(0.5)  # 5 % of the mean of a lognormal value with sigma 1
N80_VALUE = 11_342  # of a treatment whose values are all 5 % larger


def shares_said(rng: np.random.Generator, reps: int, effect: float) -> Said:
    """Proportions of .1 and of so much more."""
    sizes = np.full(LOOKS, 2 * LOOK)
    return of_proportions(
        worlds.proportions(rng, reps, 0.5, 0.1, 0.1 + effect, sizes=sizes, window=0).running
    )


def values_said(rng: np.random.Generator, reps: int, effect: float) -> Said:
    """Lognormal values, larger by so much on average, each by the same factor; in pieces for the memory."""
    pieces: list[Said] = []
    for begun in range(0, reps, CHUNK):
        stream: Stream = worlds.values(
            rng,
            min(CHUNK, reps - begun),
            0.5,
            lambda n: rng.lognormal(0.0, 1.0, n),
            sizes=np.full(LOOKS, 2 * LOOK),
            factor=1 + effect / math.exp(0.5),
            window=0,
        )
        pieces.append(of_means(stream.running, stream.resolution))
    return Said(*(np.concatenate([piece[i] for piece in pieces]) for i in (0, 1)))


Test = Callable[[Said, float], Float]
# Name -> log e over log 1/alpha: at least 1 where it rejects "the treatment is not higher"; two-sided ones at 5 %.
OPEN: dict[str, Test] = {
    "MDE grid": lambda said, mde: grid.log_evalues(said.a, said.b, 0.0, mde) / threshold(ALPHA),
    "half-normal, τ = MDE": lambda said, mde: (
        half_normal.log_evalues(said.a, said.b, 0.0, mde**2) / threshold(ALPHA)
    ),
    "normal two-sided, τ = MDE": lambda said, mde: (
        normal.log_evalues(said.a, said.b, 0.0, mde**2) / threshold(0.05)
    ),
}


def _open(name: str, test: Test, said: dict[str, Said]) -> list[Row]:
    ours = name == "MDE grid"  # the default, which the targets are about

    def others(world: str) -> str:
        return words(world) if ours else ""

    def stop(world: str, mde: float) -> tuple[Float, Float]:
        look, found = first(test(said[world], mde) >= 1)
        return np.asarray((look + 1.0) * LOOK), found.astype(float)

    units, found = stop("+1 pp", POINT)
    early = (found > 0) & (units <= N80)
    rows = [
        rate(
            f"{name}: {world}, wrong",
            stop(world, mde)[1] > 0,
            2 * ALPHA if "two-sided" in name else ALPHA,
            peers=others(peers),
        )
        for world, mde, peers in (
            ("A/A p .1", POINT, "wrong, p .1, of .05"),
            ("A/A lognormal", VALUE, "wrong, lognormal, of .05"),
        )
    ]
    limit = 0.56 if ours else None
    rows.append(rate(f"{name}: power by n80", early, limit, side="least", peers=others("power by n80")))
    for world, size, mde, target, peers in (
        ("+1 pp", N80, POINT, 1.06, "units at the MDE"),
        ("+2 pp", n80(0.02), POINT, 1.20, "units at twice the MDE"),
        ("+4 pp", n80(0.04), POINT, 1.55, ""),
        ("lognormal +5 %", N80_VALUE, VALUE, 1.06, "units, lognormal"),
    ):
        what = f"{name}: {world}, mean units ÷ n80"
        rows.append(
            average(
                what,
                stop(world, mde)[0] / size,
                target if ours else None,
                peers=others(peers) if peers else "",
            )
        )
    return rows


def course(said: Said, mde: float) -> dict[str, list[list[float]]]:
    """Share of A/A runs with a false claim so far: every look at a fixed test, and ours, both ways."""
    z = np.abs(said.b / np.sqrt(np.maximum(said.a, 1e-300)))
    ours = np.maximum(grid.log_evalues(said.a, said.b, 0.0, mde), grid.log_evalues(said.a, -said.b, 0.0, mde))
    looks = range(4, LOOKS, 5)
    lines = {
        "a fixed test at every look": z >= 1.959964,
        "MDE grid, both directions": ours >= threshold(ALPHA),
    }
    return {
        name: [[(look + 1) * LOOK, float(hit[:, : look + 1].any(axis=1).mean())] for look in looks]
        for name, hit in lines.items()
    }


def study(reps: int, seed: int) -> Result:
    """Open-ended: a look every 100 units an arm, 50,000 at most."""

    def rng(name: str) -> np.random.Generator:
        return rng_of(seed, "efficiency " + name)

    said = {f"+{points} pp": shares_said(rng(str(points)), reps, points / 100) for points in (1, 2, 4)}
    said["A/A p .1"] = shares_said(rng("a/a"), reps, 0.0)
    said["A/A lognormal"] = values_said(rng("a/a values"), reps, 0.0)
    said["lognormal +5 %"] = values_said(rng("values"), reps, VALUE)
    rows = [row for name, test in OPEN.items() for row in _open(name, test, said)]
    return Result(
        "efficiency",
        "Open-ended tests: units until a decision",
        f"A look every {LOOK} units an arm, stopped at 50,000; one-sided .025 (the two-sided one .05); others both ways at .05. n80 is what a fixed test needs for a power "
        f"of 80 %: {N80:,} units an arm for .10 → .11. The MDE is 1 pp throughout, also where the truth is 2 or 4 pp.",
        reps,
        seed,
        rows,
        course(said["A/A p .1"], POINT),
    )


def _ends(reached: np.ndarray[tuple[int, int], np.dtype[np.bool_]], horizon: float) -> tuple[Float, Float]:
    """(units at the end over the horizon, rejected or not)."""
    look, found = first(reached)
    return np.where(found, (look + 1.0) * LOOK / horizon, 1.0), found.astype(float)


def horizon_tests(said: Said, units: int) -> dict[str, tuple[Float, Float]]:
    """Each horizon-bounded test on the looks up to the horizon, of so many units an arm; one-sided."""
    looks = math.ceil(units / LOOK)
    a, b = said.a[:, :looks], said.b[:, :looks]
    t = np.minimum(1.0, (np.arange(looks) + 1.0) * LOOK / units)
    z = b / np.sqrt(np.maximum(a, 1e-300))
    edge = np.array([obrien_fleming.boundary(float(time), 1.0, ALPHA) for time in t])
    continuous = _ends(z * np.sqrt(t) >= edge, units)
    every = _ends(z >= np.array(group_sequential.boundary(t.tolist(), ALPHA)), units)
    at = np.unique(np.ceil(np.arange(1, 21) / 20 * looks).astype(int)) - 1
    limits = np.full(looks, math.inf)
    limits[at] = group_sequential.boundary(t[at].tolist(), ALPHA)
    return {
        "continuous O'Brien-Fleming": continuous,
        "Lan-DeMets O'Brien-Fleming, every 100": every,
        "Lan-DeMets O'Brien-Fleming, 20 looks": _ends(z >= limits, units),
    }


def sprt_ends(said: Said, mde: float, units: int) -> tuple[Float, Float]:
    """Wald's test of no effect against the MDE: (units at the end over n80, rejected or not)."""
    accept, reject = sprt.thresholds(ALPHA, 0.2)
    log_e = each(lambda a, b: sprt.log_evalue(a, b, 0.0, mde), said.a, said.b)
    look, found = first((log_e >= reject) | (log_e <= accept))
    rejected = found & (log_e[np.arange(len(look)), look] >= reject)
    return (look + 1.0) * LOOK / units, rejected.astype(float)


def horizon(reps: int, seed: int) -> Result:
    """Bounded by n80, and the SPRT."""
    rows: list[Row] = []
    for world, effect, units, draw in (
        ("+1 pp", POINT, N80, shares_said),
        ("lognormal +5 %", VALUE, N80_VALUE, values_said),
    ):
        true = draw(rng_of(seed, f"horizon {world}"), reps, effect)
        null = draw(rng_of(seed, f"horizon a/a {world}"), reps, 0.0)
        at_null = horizon_tests(null, units)
        for name, (size, rejected) in horizon_tests(true, units).items():
            wrong = at_null[name][1] > 0
            rows += [
                rate(f"{name}: {world}, wrong", wrong, ALPHA),
                rate(
                    f"{name}: {world}, power",
                    rejected > 0,
                    0.775,
                    side="least",
                    peers=words("horizon, power"),
                ),
                average(f"{name}: {world}, mean units ÷ n80", size, 0.76, peers=words("horizon, units")),
            ]
        size, rejected = sprt_ends(true, effect, units)
        rest, wrongly = sprt_ends(null, effect, units)
        rows += [
            rate(f"SPRT: {world}, wrong", wrongly > 0, ALPHA / 0.8, peers="guaranteed α/(1 − β) = .031"),
            rate(f"SPRT: {world}, power", rejected > 0, 0.8, side="least"),
            average(f"SPRT: {world}, mean units ÷ n80", size, 0.70, peers=words("SPRT, units")),
            average(
                f"SPRT: {world} planned, no effect, mean units ÷ n80",
                rest,
                0.42,
                peers=words("SPRT, units, no effect"),
            ),
        ]
    return Result(
        "horizon",
        "Horizon-bounded tests: power and units",
        f"Up to n80, one-sided .025, a look every {LOOK} units an arm; the SPRT with β = 20 % has no horizon. "
        "A fixed test has a power of .80 at n80.",
        reps,
        seed,
        rows,
    )
