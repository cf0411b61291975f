"""Worlds whose units come back: people with uneven activity, assigned by the product itself, entering as a ramp opens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from router.assignment import CompiledFlag
from router.bucketing import PPM
from tests.controller.runs import started
from tests.simulate.streams import Float, Stream, Sums, Whole

POOL = 20_000  # people from whom each replication draws its own
EXPERIMENT = """
experiment: returning
route: digits
kind: canary
control: v1
treatment: v2
goal: {{metric: outcome, kind: proportion, better: lower, mde: 10 pp}}
ramp: {ramp}
"""


@lru_cache(maxsize=8)
def pool(share: float, coverages: tuple[float, ...]) -> tuple[Whole, Whole]:
    """Of each person in the pool: the arm, and the first step of the ramp at which it is enrolled."""
    ramp = [f"{share * coverage * 100:g}%" for coverage in coverages]
    run, flag = started(EXPERIMENT.format(ramp=ramp))
    arms, steps = np.zeros(POOL, np.int64), np.full(POOL, len(coverages), np.int64)
    for step in reversed(range(len(coverages))):
        coverage = round(coverages[step] * PPM)
        compiled = CompiledFlag(flag.with_coverage(run["run"], coverage))
        for person in range(POOL):
            index = compiled.assign(b"p%d" % person).arm_index
            if index >= 0:
                arms[person], steps[person] = index, step
    return arms, steps


@dataclass(frozen=True, slots=True)
class Population:
    """Who is out there.

    Attributes:
        name: of the world.
        correlation: of two visits' outcomes of one person; 0 for none of its own.
        by_activity: whether the active have more events: the chance goes with the root of activity.
        coverages: of the steps of the ramp, each as long as the others; 1 alone means all from the start.
        rate: of events over all visits, about.
        people: of the population.
        visits: of a person in a look, on average.
        window: looks after a person's first exposure in which outcomes count.
        looks: how many.
    """

    name: str
    correlation: float = 0.0
    by_activity: bool = False
    coverages: tuple[float, ...] = (1.0,)
    rate: float = 0.2
    people: int = 2400
    visits: float = 0.1
    window: int = 25
    looks: int = 60

    def chances(self, rng: np.random.Generator, activity: Float) -> Float:
        """Of each person, how likely a visit has the event."""
        if self.by_activity:
            return np.minimum(0.9, self.rate * (0.5 + 0.5 * np.sqrt(activity)))
        if not self.correlation:
            return np.full(len(activity), self.rate)
        scale = (1 - self.correlation) / self.correlation
        return rng.beta(self.rate * scale, (1 - self.rate) * scale, len(activity))


def returning(
    rng: np.random.Generator, reps: int, share: float, population: Population, effect: float = 0.0
) -> Stream:
    """Persons who come again and again; an outcome counts within a window after the person's entry.

    Args:
        rng: of this world.
        reps: replications.
        share: of the treatment's lane in both lanes.
        population: who they are.
        effect: added to the chance of an event in the treatment.
    """
    courses = [_one(rng, share, population, effect) for _ in range(reps)]
    kinds = [
        [
            Sums(*(np.stack(part) for part in zip(*[course[kind][arm] for course in courses], strict=True)))
            for arm in (0, 1)
        ]
        for kind in (0, 1)
    ]
    exposed = tuple(np.stack([course[2][arm] for course in courses]) for arm in (0, 1))
    return Stream(
        population.name,
        share,
        (exposed[0], exposed[1]),
        (kinds[0][0], kinds[0][1]),
        (kinds[1][0], kinds[1][1]),
    )


Course = tuple[tuple[Sums, ...], tuple[Sums, ...], tuple[Whole, ...]]


def _one(rng: np.random.Generator, share: float, population: Population, effect: float) -> Course:
    """One replication: running sums, closed sums and exposed units, by arm."""
    looks = population.looks
    arms, steps = pool(share, population.coverages)
    drawn = rng.choice(POOL, population.people, replace=False)
    arm, step = arms[drawn], steps[drawn]
    activity = rng.lognormal(0.0, 1.0, population.people)
    chances = population.chances(rng, activity)
    chances = np.clip(chances + effect * (arm == 1), 0.0, 1.0)
    now = np.arange(looks)
    step_now = now * len(population.coverages) // looks
    rate = activity / np.exp(0.5) * population.visits
    visits = rng.poisson(rate[:, None], (population.people, looks)) * (step[:, None] <= step_now)
    seen = visits.cumsum(axis=1)
    entry = np.where(seen[:, -1] > 0, (seen > 0).argmax(axis=1), looks)[:, None]
    visits *= now < entry + population.window
    x = visits.cumsum(axis=1)
    y = rng.binomial(visits, chances[:, None]).cumsum(axis=1)
    closed = now >= entry + population.window
    return (
        tuple(_sums(x[arm == a], y[arm == a]) for a in (0, 1)),
        tuple(_sums(x[arm == a] * closed[arm == a], y[arm == a] * closed[arm == a]) for a in (0, 1)),
        tuple((now >= entry)[arm == a].sum(axis=0) for a in (0, 1)),
    )


def _sums(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Sums:
    parts = (x > 0, y > 0, x, y, x * x, x * y, y * y)
    return Sums(*(part.sum(axis=0) for part in parts))


RAMP = (0.04, 0.2, 0.4, 1.0)
POPULATIONS = (
    Population("returning, ICC .2, all from the start", correlation=0.2),
    Population("returning, ICC .2, joining under a ramp", correlation=0.2, coverages=RAMP),
    Population("returning, activity goes with outcome, ramp", by_activity=True, coverages=RAMP),
)
