"""Rounds: every target once, in a turning order; and what is made of them."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.hop.loads import Load
from tests.bench.hop.stage import Stage
from tests.bench.hop.targets import Target

ROUNDS = int(os.environ.get("ROUNDS", "5"))
BUSY = 0.9
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A measured value; ``value`` is None where there is none, and ``note`` says why.

    Attributes:
        low: the lowest of the rounds that count, None for a single measurement.
        high: the highest.
        rounds: how many count, of how many, where there are rounds.
        note: what stands beside the value in the table.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    rounds: str = ""
    note: str = ""


def spread(values: Sequence[float], rounds: str, note: str) -> Figure:
    """The median and the range of rounds."""
    return Figure(statistics.median(values), min(values), max(values), rounds, note)


def turned(names: Sequence[str], number: int) -> list[str]:
    """The order of a round: everyone is first in his turn."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def played(
    targets: Mapping[str, Target], measure: Callable[[Target], Any], rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """Each target measured once a round."""
    names = list(targets)
    return [{name: measure(targets[name]) for name in turned(names, number)} for number in range(rounds)]


def best_of(
    rows: Sequence[Row], sound: Callable[[Row], bool], better: Callable[[Row], bool], word: str
) -> tuple[list[Row], str]:
    """The rounds that count: of the sound ones the better ones, or all where none is; and how many of how many."""
    kept = [row for row in rows if sound(row)]
    best = [row for row in kept if better(row)]
    if best or not kept:
        return best, f"{len(best)} of {len(rows)}"
    return kept, f"{len(kept)} of {len(rows)}, none {word}"


def full(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[Row], str]:
    """The rounds without a wrong answer, in which the measured core was busy."""
    return best_of(
        rows,
        lambda row: not any(row[name].wrong for name in names),
        lambda row: all(row[name].busy >= BUSY for name in names),
        "full",
    )


def ratio(
    rows: Sequence[Row],
    ours: str,
    theirs: str,
    of: Callable[[Row], float] | None = None,
) -> Figure:
    """The median of the ratio inside each round, with its range; ``of`` is another one than that of the costs."""
    kept, word = full(rows, (ours, theirs))
    if not kept:
        wrong = {name: sum(row[name].wrong for row in rows) for name in (ours, theirs)}
        return Figure(None, rounds=word, note=f"wrong answers in every round: {wrong}")
    ratios = [of(row) if of else row[ours].us / row[theirs].us for row in kept]
    costs = ", ".join(
        f"{name} {statistics.median(row[name].us for row in kept):.1f} µs"
        f" ({statistics.median(row[name].busy for row in kept):.0%} busy)"
        for name in (ours, theirs)
    )
    return spread(ratios, word, costs)


def beside(
    stage: Stage, other: str, load: Callable[[], Load], rounds: int = ROUNDS, *, ours: str = "gateway"
) -> Figure:
    """What the gateway spends on a load, as a multiple of what another spends."""
    targets = {name: stage.target(name) for name in (ours, other)}
    rows = played(targets, lambda target: stage.measured(target, load()), rounds)
    return ratio(rows, ours, other)
