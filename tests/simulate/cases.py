"""The worlds of the error rates: one table, read by the study of the formulas and by the one of the router."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.simulate import visits, worlds
from tests.simulate.shipped import Looks, Question, of_numbers, of_shares, of_visits
from tests.simulate.streams import Stream, batches

RATES = (0.1, 0.01, 0.001, 0.0002)
SHARES = (0.5, 0.2, 0.05)
Draw = Callable[[np.random.Generator, int], Stream]
Tests = Callable[[Stream, Question], dict[str, Looks]]


@dataclass(frozen=True, slots=True)
class Case:
    """One world, what is asked in it, and by which tests.

    Attributes:
        name: of the world.
        draw: its streams, from random numbers and a count of replications.
        ask: what is false in it.
        tests: the formulas that apply.
        kinds: the kinds of metric that apply, for the router: of its goal, then of its guardrails. None: not run there.
        weight: of its cost; replications are divided by it.
    """

    name: str
    draw: Draw
    ask: Question
    tests: Tests
    kinds: tuple[str, ...]
    weight: int = 1


def _shares() -> list[Case]:
    found = []
    for p in RATES:
        kinds = ("proportion", "rare_proportion") if p >= 0.05 else ("rare_proportion", "proportion")
        for share in SHARES:
            where = f"p {p:g}, share {share:g}"

            def same(rng: np.random.Generator, reps: int, p: float = p, share: float = share) -> Stream:
                return worlds.proportions(rng, reps, share, p, p)

            def worse(rng: np.random.Generator, reps: int, p: float = p, share: float = share) -> Stream:
                return worlds.proportions(rng, reps, share, p, 2 * p)

            def bare(rng: np.random.Generator, reps: int, p: float = p, share: float = share) -> Stream:
                sizes = batches(2 / p, worlds.EVENTS / p, worlds.LOOKS)
                return worlds.proportions(rng, reps, share, 0.0, p, sizes=sizes)

            through = kinds if share == min(SHARES) else ()
            found += [
                Case(where, same, Question(0.2 * p), of_shares, kinds),
                Case(f"{where}, worse by the margin (p)", worse, Question(p, p, 2.0), of_shares, kinds),
                Case(f"{where}, control without events", bare, Question(p, p), of_shares, through),
            ]
    return found


def _common() -> list[Case]:
    """Events that most units have: what must be expected fifty times is then the event's absence."""
    found = []
    for p in (0.43, 0.9, 0.99):
        margin = min(0.02, 0.9 * (1 - p))
        for effect in (0.0, margin):

            def draw(rng: np.random.Generator, reps: int, p: float = p, e: float = effect) -> Stream:
                sizes = batches(20, 60_000, worlds.LOOKS)
                return worlds.proportions(rng, reps, 0.25, p, p + e, sizes=sizes)

            edge = ", worse by the margin" if effect else ""
            name = f"p {p:g}, share 0.25{edge}"
            found.append(Case(name, draw, Question(margin, effect), of_shares, ("proportion",)))
    return found


def _numbers() -> list[Case]:
    found = []
    for sigma in (1.0, 2.0):
        for share in SHARES:
            unit = 0.15 * np.exp(sigma**2 / 2)
            for effect in (0.0, unit):

                def draw(
                    rng: np.random.Generator,
                    reps: int,
                    s: float = sigma,
                    share: float = share,
                    e: float = effect,
                ) -> Stream:
                    return worlds.lognormal(rng, reps, share, s, e)

                edge = ", worse by the margin" if effect else ""
                name = f"lognormal σ {sigma:g}, share {share:g}{edge}"
                found.append(Case(name, draw, Question(unit, effect), of_numbers, ("mean",), weight=4))
    return found


def _ramps() -> list[Case]:
    found = []
    for name, world in (("drift .10 → .12", worlds.drifting), ("delayed conversions", worlds.delayed)):
        for effect in (0.0, 0.02):

            def draw(
                rng: np.random.Generator, reps: int, world: Callable[..., Stream] = world, e: float = effect
            ) -> Stream:
                return world(rng, reps, 0.25, e)

            edge = ", worse by the margin" if effect else ""
            found.append(
                Case(
                    f"{name} under a ramp{edge}",
                    draw,
                    Question(0.02, effect),
                    of_shares,
                    ("proportion", "rare_proportion"),
                )
            )
    for population in visits.POPULATIONS:

        def back(rng: np.random.Generator, reps: int, p: visits.Population = population) -> Stream:
            return visits.returning(rng, reps, 0.25, p)

        found.append(
            Case(
                population.name,
                back,
                Question(0.05),
                of_visits,
                ("proportion", "ratio", "rare_proportion", "mean"),
                weight=8,
            )
        )
    return found


def _silent() -> Case:
    def draw(rng: np.random.Generator, reps: int) -> Stream:
        return worlds.silent(reps, 0.25, rng)

    return Case("no event at all", draw, Question(0.01), of_shares, ("proportion", "rare_proportion"))


CASES = [*_shares(), *_common(), *_numbers(), *_ramps(), _silent()]
