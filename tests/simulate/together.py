"""How often several goals, and metrics that are only observed, let a run claim what is false, through the router."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from tests.simulate.outcomes import METRIC, events
from tests.simulate.plans import ALPHA, GOALS, LOOKS, METHODS, courses, run_of
from tests.simulate.results import Result, Row, average, rate
from tests.simulate.streams import Flags, Float
from tests.simulate.units import Draw, Drawn, Rng, Who


def together(names: Sequence[str], effects: Mapping[str, float], *, segmented: bool = False) -> Draw:
    """Events of chance .2 that go together (correlation .5 of what is behind them); an effect makes them rarer."""

    def arm(rng: Rng, who: Who, effects: Mapping[str, float]) -> dict[str, Drawn]:
        common = rng.standard_normal(len(who.look))
        segment = rng.integers(0, 2, len(who.look)) if segmented else None
        return {
            name: events(_hit(rng, common, 0.2 - effects.get(name, 0.0)))._replace(stratum=segment)
            for name in names
        }

    return lambda rng, who: (arm(rng, who[0], {}), arm(rng, who[1], effects))


def _hit(rng: Rng, common: Float, chance: float) -> Flags:
    behind = math.sqrt(0.5) * (common + rng.standard_normal(len(common)))
    return np.asarray(behind < ndtri(chance))


SEGMENTS = "segments: {from: header:x-country, values: [de]}\n"
STRATA = ("1/de", "1/other")


def _metric(name: str, kind: str = "proportion") -> str:
    return f"{{metric: {name}, kind: {kind}, better: lower, mde: 4 pp, margin: 4 pp, absent: missing}}"


def of_goals(method: str, reps: int, seed: int) -> list[Row]:
    """Two goals that go together, at least one of which must be better."""
    units = GOALS[0].units("ab")
    run = run_of(
        "ab", f"goals: [{_metric('first')}, {_metric('second')}]", METHODS[method].format(units=units)
    )
    names = ("first", "second")
    none = courses(run, f"goals {method}", together(names, {}), units, reps, seed)
    one = courses(run, f"goals one {method}", together(names, {"first": 0.08}), units, reps, seed)
    return [
        rate(f"two goals, {method}: any better, arms alike", [bool(ever.superior) for ever in none], ALPHA),
        rate(f"two goals, {method}: the other better", ["second" in ever.superior for ever in one], ALPHA),
    ]


OBSERVED = {f"seen{i}": "proportion" if i % 2 else "rare_proportion" for i in range(8)}
TRUE = {"seen0": 0.08, "seen1": 0.08, "seen2": 0.08}


def of_observed(reps: int, seed: int) -> list[Row]:
    """Eight observed metrics and a segment of each and of the goal, named by e-BH."""
    listed = ", ".join(_metric(name, kind) for name, kind in OBSERVED.items())
    metrics, units = f"goal: {_metric(METRIC)}\nobserve: [{listed}]", GOALS[0].units("canary")
    run, names = run_of("canary", metrics, SEGMENTS), (METRIC, *OBSERVED)
    none = courses(run, "observed", together(names, {}, segmented=True), units, reps, seed, STRATA)
    some = courses(run, "observed some", together(names, TRUE, segmented=True), units, reps, seed, STRATA)
    true = {*TRUE, *(f"{name}/" for name in TRUE)}
    at_first = [next((found for found in ever.named if found), frozenset[str]()) for ever in some]
    at_end = [ever.named[-1] for ever in some]
    return [
        rate("observed: any difference named, arms alike", [any(ever.named) for ever in none], ALPHA),
        average("observed: false share of the first that are named", _false(at_first, true), ALPHA),
        average("observed: false share of those named at the end", _false(at_end, true), ALPHA),
        average(
            "observed: found of 3 metrics and their segments", [len(found & true) / 6 for found in at_end]
        ),
    ]


def _false(named: Sequence[frozenset[str]], true: set[str]) -> list[float]:
    return [len(found - true) / max(1, len(found)) for found in named]


def study(reps: int, seed: int) -> Result:
    """Several goals by every method, and what is only observed."""
    rows = [row for method in METHODS for row in of_goals(method, reps, seed)]
    rows += of_observed(max(2, reps // 2), seed)
    return Result(
        "together",
        "Several goals and observed metrics, through the router",
        f"Units one by one through the experiment file and `weigh`, {LOOKS} looks. Two goals of an A/B test that go together "
        "(correlation .5), none or one of them better; eight observed metrics of a canary and a segment of each and of the goal, "
        "none or three of them different. Any wrong claim at any look counts. Observed: half the runs.",
        reps,
        seed,
        rows,
    )
