"""A whole run in one process with a hand clock: people, gateway's events, fold, looks, decisions, flag.

Only the sockets are missing: assignment, packed entries, fold, evidence and decision are the product's own.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from router.assignment import Assignment, CompiledFlag
from router.controller.fold import Fold
from router.controller.look import health_of, look
from router.decision import Decision
from router.event_rows import ERROR, EXPOSURE, OUTCOME, OutcomeRows, RequestRows, pack_where
from router.events import Entry
from router.flag import Flag
from router.lifecycle import FINAL, Action
from router.store.ledger import Ledger
from tests.controller.memory_ledger import MemoryLedger
from tests.controller.runs import EXPERIMENT, START, started

LATENCY_MS = 5
Wrong = Callable[[str, int, float], float]  # (arm, person, activity) -> chance that a visit is corrected


@dataclass
class World:
    """What is true out there.

    Attributes:
        wrong: the chance that a visit is corrected.
        failing: the chance that a request fails, by arm.
        reporting: the chance that a visit is reported, by arm.
        loses: the share of the treatment's exposures that never arrive.
        newcomers: the share of people who come for the first time while the run lives, evenly over ``newcomers_s``.
    """

    wrong: Wrong
    failing: dict[str, float]
    reporting: dict[str, float]
    loses: float = 0.0
    newcomers: float = 0.0
    newcomers_s: int = 0
    people: int = 3000
    per_second: int = 150


class Simulation:
    """One run of an experiment in a world."""

    def __init__(self, world: World, seed: int, experiment: str = EXPERIMENT) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.now = START
        self.run, self.flag = started(experiment)
        self.ledger = MemoryLedger()
        self.fold = Fold(cast(Ledger, self.ledger), self.run, 1)
        self.activity = [self.rng.lognormvariate(0, 1) for _ in range(world.people)]
        old = round(world.people * (1 - world.newcomers))
        self.born = [START if person < old else self._birth() for person in range(world.people)]
        self.seen_before: set[int] = set()  # people who came before the first step
        self.analysed: set[int] = set()
        self.decisions: list[Decision] = []
        self.shares: list[int] = []
        self._cumulative: list[float] = []
        total = 0.0
        for weight in self.activity:
            total += weight
            self._cumulative.append(total)
        self._seq = 0
        self._later: list[tuple[int, int, int, int, int]] = []
        self._compiled, self._assigned = CompiledFlag(self.flag), dict[int, Assignment]()

    def _birth(self) -> int:
        return START + self.rng.randrange(1000 * self.world.newcomers_s)

    def play(self, seconds: int, ready: bool = True) -> Simulation:
        """So many seconds of traffic with a look after each."""
        for _ in range(seconds):
            if self.run["state"] in FINAL:
                break
            self._second()
            self.look(ready)
        return self

    def _second(self) -> None:
        rows, outcomes = RequestRows(), OutcomeRows()
        people = range(self.world.people)
        for person in self.rng.choices(people, cum_weights=self._cumulative, k=self.world.per_second):
            if self.born[person] > self.now:
                continue
            if self.run["step"] < 0:
                self.seen_before.add(person)
            assignment = self._assign(person)
            if assignment.arm_index >= 0 and assignment.bucket is not None:
                self.analysed.add(person)
                at = self.now + self.rng.randrange(1000)
                self._visit(rows, person, at, assignment.arm, assignment.arm_index, assignment.bucket)
        self.now += 1000
        while self._later and self._later[0][0] < self.now:
            at, unit, value, asked, key = heapq.heappop(self._later)
            outcomes.append(unit, 0, value * 1_000_000, at, asked, key, -1)
        self._seq += 1
        entry = Entry(
            "w",
            self._seq,
            1,
            self.flag.revision,
            self.now,
            base=START,
            requests=rows,
            outcomes=outcomes,
            names=("corrected",),
        )
        self.ledger.append(entry, self.now)

    def _assign(self, person: int) -> Assignment:
        """The product's assignment; the same until the flag changes."""
        found = self._assigned.get(person)
        if found is None:
            found = self._assigned[person] = self._compiled.assign(b"p%d" % person)
        return found

    def _visit(self, rows: RequestRows, person: int, at: int, arm: str, index: int, bucket: int) -> None:
        world, rng = self.world, self.rng
        if index and rng.random() < world.loses:
            return
        facts = EXPOSURE | OUTCOME | (ERROR if rng.random() < world.failing[arm] else 0)
        rows.append(person + 1, at - START, pack_where(bucket, index, facts), LATENCY_MS * 1000)
        if rng.random() < world.reporting[arm]:
            wrong = rng.random() < world.wrong(arm, person, self.activity[person])
            heapq.heappush(
                self._later, (at + rng.randrange(200, 900), person + 1, int(wrong), at, rng.getrandbits(62))
            )

    def look(self, ready: bool = True) -> Decision:
        """Fold what has arrived, look, and apply what was decided."""
        while self.fold.advance(self.now, 10_000, 60_000):
            pass
        self.ledger.forget()
        health = health_of(self.fold, self.now, 30_000, 10_000)
        decision, change = look(self.run, self.flag, self.fold, health, self.now, ready=ready)
        assert change.run is not None
        self.run = cast(dict[str, Any], change.run)
        if decision.flag is not None:
            self.flag = decision.flag
            self._compiled, self._assigned = CompiledFlag(self.flag), {}
        self.fold.learn(self.run)
        if decision.action is not Action.NONE:
            self.decisions.append(decision)
        return decision

    @property
    def actions(self) -> list[str]:
        """What was done, in order."""
        return [decision.action.value for decision in self.decisions]


def aa_world(base: float = 0.2) -> World:
    """Both arms the same; who is more active is corrected more often; a quarter comes while the run lives."""

    def wrong(arm: str, person: int, activity: float) -> float:
        return min(0.9, base * (0.5 + 0.5 * math.sqrt(activity)))

    return World(
        wrong,
        failing={"v1": 0.002, "v2": 0.002},
        reporting={"v1": 0.8, "v2": 0.8},
        newcomers=0.12,
        newcomers_s=120,
        people=2400,
        per_second=240,
    )


def world_of(control: float, treatment: float, **changes: Any) -> World:
    """A world in which the arms differ in how often they are corrected."""
    chances = {"v1": control, "v2": treatment}
    return World(
        lambda arm, person, activity: chances[arm],
        changes.pop("failing", {"v1": 0.0, "v2": 0.0}),
        changes.pop("reporting", {"v1": 0.8, "v2": 0.8}),
        **changes,
    )


def flag_state(flag: Flag) -> tuple[str, int]:
    """The default arm and how many experiments run."""
    return flag.default, len(flag.experiments)
