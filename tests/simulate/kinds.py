"""How often verdicts on every kind of metric are false: units booked by the kinds' own readings, every look weighed in full."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.controller.runs import START, started
from tests.simulate.outcomes import FREEZE, METRIC
from tests.simulate.populations import POPULATIONS, Population
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.streams import Flags, batches
from tests.simulate.through_router import CLAIMS, claimed
from tests.simulate.units import moments_of

LOOKS, UNITS = 24, 12_000
SIZES = batches(100, UNITS, LOOKS)
EXPERIMENT = """
experiment: simulated
route: digits
kind: canary
control: v1
treatment: v2
goal: {{metric: {metric}, {keys}, better: {better}, mde: {margin}, margin: {margin}}}
{file}ramp: ["25%"]
"""


def run_of(population: Population) -> dict[str, Any]:
    """The run of an experiment file with this metric for its goal."""
    scale = 100 if population.unit else 1
    margin = f"{population.margin * scale:.9f} {population.unit}".strip()
    text = EXPERIMENT.format(
        metric=METRIC, keys=population.keys, better=population.better, margin=margin, file=population.file
    )
    run = started(text, step=0)[0]
    frozen = {METRIC: {"since": START + FREEZE * 1000, "limit": 0}}
    return run | ({"constants": frozen} if population.frozen else {})


def claims_of(population: Population, effect: float, reps: int, seed: int) -> dict[str, Flags]:
    """By claim, whether each replication ever makes it."""
    rng = rng_of(seed, f"kinds {population.name} {effect:g}")
    run, draw = run_of(population), population.draw(effect)
    moments = moments_of(run, rng, reps, SIZES, draw, population.strata)
    found = [claimed(run, moments, replication, LOOKS) for replication in range(reps)]
    return {claim: np.array([row[claim] for row in found]) for claim in CLAIMS}


def rows_of(population: Population, reps: int, seed: int) -> list[Row]:
    """Harm and superiority where the arms are alike, promotion where the treatment is worse by the margin."""
    alike = claims_of(population, 0.0, reps, seed)
    worse = claims_of(population, population.margin, reps, seed)
    invalid = np.concatenate([alike["invalid"], worse["invalid"]])
    return [
        rate(population.name, alike["harm"], 0.01, column="rollback"),
        rate(population.name, alike["superior"], 0.05, column="superior"),
        rate(population.name, worse["promotion"], 0.05, column="promotion"),
        rate(population.name, invalid, 0.011, column="invalid"),
    ]


def study(reps: int, seed: int) -> Result:
    """Every kind of metric, and all that a file may say of one."""
    rows = [row for population in POPULATIONS for row in rows_of(population, reps, seed)]
    return Result(
        "kinds",
        "Wrong verdicts on every kind of metric",
        f"Units one by one, booked by each kind's own reading, through the experiment file and `weigh`: {LOOKS} looks at up to "
        f"{UNITS:,} units, a quarter in the treatment, windows of two looks. Harm and superiority where the arms are alike, "
        "promotion where the treatment is worse by just the margin. A canary with one metric: harm at 1 %, promotion at 5 %.",
        reps,
        seed,
        rows,
    )
