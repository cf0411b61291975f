"""Latency by a fixed schedule: what each adds to the model server's own."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.bench.hop.loads import PATH, requests
from tests.bench.hop.paced import Latencies, Paced
from tests.bench.hop.rounds import Figure, best_of, played, spread
from tests.bench.hop.stage import Stage
from tests.bench.hop.targets import Target

SECONDS = 2.0
QUIET = 0.03  # of the time: below it the median does not notice who else wanted the core


def paced(rate: float, path: bytes = PATH) -> Callable[[Target], Latencies]:
    """Requests at this rate, to a target."""
    return lambda target: Paced(target, rate, SECONDS, path).run()


def latency(stage: Stage) -> list[Figure]:
    """What each adds to the model server's own latency, at half of what the gateway can serve, by a fixed schedule."""
    gateway = stage.target("gateway")
    rate = stage.measured(gateway, requests(16)).rate / 2
    targets = {"direct": stage.model, "nginx": stage.target("nginx"), "gateway": gateway}
    rows: list[dict[str, Latencies]] = played(targets, paced(rate))
    sound = [
        row for row in rows if not row["direct"].wrong
    ]  # whose model server shares its core with the load anyway
    kept, word = undisturbed(sound, ("nginx", "gateway"))
    return [_added(kept, share, word, f"at {rate:,.0f}/s") for share in (0.5, 0.99)]


def undisturbed(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> tuple[list[Mapping[str, Any]], str]:
    """The rounds that count: no wrong answer, and nobody else on the measured core if there are any such rounds."""
    return best_of(
        rows,
        lambda row: not any(row[name].wrong for name in names),
        lambda row: all(row[name].waited < QUIET for name in names),
        "quiet",
    )


def _added(rows: Sequence[Mapping[str, Latencies]], share: float, word: str, at: str) -> Figure:
    """A quantile beyond the direct one, as a multiple of what nginx adds."""
    added = [
        {name: row[name].at(share) - row["direct"].at(share) for name in ("nginx", "gateway")} for row in rows
    ]
    ratios = [one["gateway"] / one["nginx"] for one in added if one["nginx"] > 0]
    if not ratios:
        return Figure(None, rounds=word, note="wrong answers, or nginx added nothing, in every round")
    costs = (f"{name} +{statistics.median(one[name] for one in added):,.0f} µs" for name in added[0])
    return spread(ratios, word, f"{', '.join(costs)}, {at}")
