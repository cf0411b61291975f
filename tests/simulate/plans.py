"""How often each method of promotion claims what is false and finds what is true, through the router."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from router.evidence import State
from router.methods import BETA
from router.verdict import given_up
from tests.controller.runs import started
from tests.simulate.outcomes import METRIC, by_arm, numbers, shares
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.through_router import looks_of
from tests.simulate.units import STRATUM, Draw, Drawn, Rng, Who, moments_of

LOOKS, PLANNED = 26, 20  # looks at a run, and with which of its batches its plan ends
ALPHA = 0.05
POWER = 0.775  # of plans whose fixed test has .8
GIVEN_UP = BETA / (1 - ALPHA)  # Wald's bound
EFFECTS = 2.4865  # standard errors that a fixed one-sided test at .05 needs for a power of .8
METHODS = {
    "open-ended": "",
    "horizon, any look": "method: horizon\nmax_units: {units}\n",
    "horizon, 10 looks": "method: horizon\nmax_units: {units}\nlooks: 10\n",
    "sprt": "method: sprt\n",
}
BOUNDED = tuple(METHODS)[1:]
SHARES = {"ab": 0.5, "canary": 0.25}
EXPERIMENT = """
experiment: simulated
route: digits
kind: {kind}
control: v1
treatment: v2
{metrics}
{more}ramp: ["{share:g}%"]
"""


class Ever(NamedTuple):
    """What one replication has said at any of its looks.

    Attributes:
        superior: metrics shown to be better.
        proven: whether all that a promotion asks was there.
        given_up: whether the deciding test of any metric gave up.
        named: differences named among observed metrics and segments at each look.
    """

    superior: frozenset[str]
    proven: bool
    given_up: bool
    named: Sequence[frozenset[str]]


def run_of(kind: str, metrics: str, more: str) -> dict[str, Any]:
    """The run of an experiment file."""
    return started(EXPERIMENT.format(kind=kind, metrics=metrics, more=more, share=SHARES[kind] * 100), 0)[0]


def courses(
    run: Mapping[str, Any],
    name: str,
    draw: Draw,
    units: int,
    reps: int,
    seed: int,
    strata: Sequence[str] = STRATUM,
) -> list[Ever]:
    """What each replication says; batches are alike, and the one in which the plan ends overruns it."""
    sizes = np.full(LOOKS, math.ceil(units / (PLANNED - 0.5)))
    moments = moments_of(run, rng_of(seed, f"methods {name}"), reps, sizes, draw, strata)
    return [_ever(dict(run), moments, replication) for replication in range(reps)]


def _ever(run: dict[str, Any], moments: Mapping[str, Any], replication: int) -> Ever:
    superior: set[str] = set()
    named, proven, gave_up = [], False, False
    for said in looks_of(run, moments, replication, LOOKS):
        rows = said.document["metrics"]
        superior |= {name for name, row in rows.items() if row["state"] == State.SUPERIOR}
        proven |= said.proven
        gave_up |= any(given_up(row) for row in rows.values())
        named.append(frozenset(_named(rows)))
    return Ever(frozenset(superior), proven, gave_up, named)


def _named(rows: Mapping[str, Any]) -> list[str]:
    found = [name for name, row in rows.items() if row.get("exploring", {}).get("differs")]
    return found + [f"{name}/" for name, row in rows.items() for part in row["segments"] if part["differs"]]


class Goal(NamedTuple):
    """A goal: what the file says of it, what its units come to, its MDE, unit, and variance."""

    name: str
    keys: str
    draw: Callable[[float], Draw]
    mde: float
    unit: str
    variance: float

    @property
    def text(self) -> str:
        """Its line in the file."""
        mde = f"{self.mde * (100 if self.unit else 1):g} {self.unit}".strip()
        return f"goal: {{metric: {METRIC}, {self.keys}, better: lower, mde: {mde}, margin: {mde}}}"

    def units(self, kind: str) -> int:
        """Of both arms, for a fixed test with a power of .8."""
        share = SHARES[kind]
        return math.ceil((EFFECTS / self.mde) ** 2 * self.variance / (share * (1 - share)))


def normal(rng: Rng, who: Who, effect: float) -> Drawn:
    """Normal values of deviation 1."""
    return numbers(rng.standard_normal(len(who.look)) + effect)


GOALS = (
    Goal("proportion", "kind: proportion", by_arm(shares(0.2, relative=False)), 0.04, "pp", 0.16),
    Goal("mean", "kind: mean", by_arm(normal), 0.08, "", 1.0),
)
RATIO = Goal("ratio of rates", "kind: rare_proportion", by_arm(shares(0.02, relative=True)), 0.9, "%", 40.0)


def said(goal: Goal, method: str, kind: str, effect: float, reps: int, seed: int) -> list[Ever]:
    """A run with one goal whose plan has the units of a fixed test."""
    units, world = goal.units(kind), f"{goal.name} {method} {kind} {effect:g}"
    run = run_of(kind, goal.text, METHODS[method].format(units=units))
    return courses(run, world, goal.draw(effect), units, reps, seed)


def of_canary(goal: Goal, method: str, reps: int, seed: int) -> list[Row]:
    """A canary that is as bad as its margin, and one that is as good as control."""
    start = f"{goal.name}, {method}:"
    wrong = [one.proven for one in said(goal, method, "canary", goal.mde, reps, seed)]
    alike = said(goal, method, "canary", 0.0, reps, seed)
    rows = [rate(f"{start} promoted at the margin", wrong, ALPHA)]
    if method == "sprt":
        return [*rows, rate(f"{start} given up, canary alike", [one.given_up for one in alike], GIVEN_UP)]
    right = [one.proven for one in alike]
    return [*rows, rate(f"{start} promoted, canary alike", right, POWER, side="least")]


def of_ab(goal: Goal, method: str, reps: int, seed: int) -> list[Row]:
    """An A/B test of nothing, and of the MDE."""
    start = f"{goal.name}, {method}:"
    wrong = [bool(one.superior) for one in said(goal, method, "ab", 0.0, reps, seed)]
    better = said(goal, method, "ab", -goal.mde, reps, seed)
    rows = [rate(f"{start} better, arms alike", wrong, ALPHA)]
    if method == "sprt":
        return [*rows, rate(f"{start} given up at the MDE", [one.given_up for one in better], GIVEN_UP)]
    right = [bool(one.superior) for one in better]
    return [*rows, rate(f"{start} better, at the MDE", right, POWER, side="least")]


def study(reps: int, seed: int) -> Result:
    """Every method of promotion that ends."""
    rows = [
        row
        for goal in GOALS
        for method in BOUNDED
        for of in (of_canary, of_ab)
        for row in of(goal, method, reps, seed)
    ]
    rows += of_canary(RATIO, "sprt", reps, seed)
    return Result(
        "plans",
        "Wrong and right verdicts by method, through the router",
        f"Units one by one through the experiment file and `weigh`, {LOOKS} looks; a plan of as many units as a fixed test needs "
        f"for a power of 80 % ends in the middle of its {PLANNED}th batch, which counts. Promotion at 5 %; sprt gives up, wrongly, at "
        f"{BETA:.0%} (Wald's bound: {GIVEN_UP:.1%}). An A/B test is better than nothing, a canary within its margin.",
        reps,
        seed,
        rows,
    )
