"""What copying every request to a third arm costs, and what the primary's clients see of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from tests.bench.hop.latency import paced, undisturbed
from tests.bench.hop.loads import PATH, requests
from tests.bench.hop.rounds import ROUNDS, Figure, ratio, spread, turned
from tests.bench.hop.stage import Stage

PATHS = {"plain": PATH, "copied": b"/copied/infer"}
COPIES = ("pointsman_shadows_total", 'outcome="ok"')
PRIMARIES = ("pointsman_requests_total", 'route="copied"')


def _counted(stage: Stage, name: str, label: str) -> float:
    """A counter of the gateway, summed over all but one label."""
    samples = stage.worlds["gateway"].metrics().items()
    return sum(value for key, value in samples if key.startswith(name + "{") and label in key)


def _round(stage: Stage, rate: float, number: int) -> dict[str, Any]:
    """Both paths under a full load and by a schedule, and how many of the primaries were copied under the full one."""
    target = stage.target("gateway")
    order = turned(tuple(PATHS), number)
    before = [_counted(stage, *what) for what in (COPIES, PRIMARIES)]
    costs = {name: stage.measured(target, requests(16, PATHS[name])) for name in order}
    after = [_counted(stage, *what) for what in (COPIES, PRIMARIES)]
    copies, primaries = (now - then for now, then in zip(after, before, strict=True))
    latencies = {f"{name} p50": paced(rate, PATHS[name])(target) for name in order}
    return {**costs, **latencies, "share": copies / max(1.0, primaries)}


def _beyond(row: Mapping[str, Any]) -> float:
    """Per cent beyond what the same requests cost, copies included, when clients send them all."""
    return float(row["copied"].us / (row["plain"].us * (1 + row["share"])) - 1) * 100


def _primary(rows: list[dict[str, Any]], rate: float) -> Figure:
    """The primary's p50 with copies, as a multiple of that without."""
    kept, word = undisturbed(rows, [f"{name} p50" for name in PATHS])
    if not kept:
        return Figure(None, rounds=word, note="wrong answers in every round")
    p50 = {name: [row[f"{name} p50"].at(0.5) for row in kept] for name in PATHS}
    words = (
        f"{name} {statistics.median(found):,.0f} µs ({min(found):,.0f}–{max(found):,.0f})"
        for name, found in p50.items()
    )
    slower = [b / a for a, b in zip(p50["plain"], p50["copied"], strict=True)]
    return spread(slower, word, f"{', '.join(words)}, at {rate:,.0f}/s")


def shadow(stage: Stage) -> list[Figure]:
    """A request and its copy, beside two ordinary requests; then the primary's p50.

    Latencies are taken at a quarter of the load that the gateway can serve, so that there is room for the copies.
    """
    rate = stage.measured(stage.target("gateway"), requests(16)).rate / 4
    rows = [_round(stage, rate, number) for number in range(ROUNDS)]
    cost = ratio(rows, "copied", "plain", _beyond)
    share = statistics.median(row["share"] for row in rows)
    return [
        Figure(cost.value, cost.low, cost.high, cost.rounds, f"{cost.note}; {share:.0%} of requests copied"),
        _primary(rows, rate),
    ]
