"""Latency by a fixed schedule: what each adds to the model server's own."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tests.bench.hop.loads import PATH, requests
from tests.bench.hop.paced import Latencies, Paced
from tests.bench.hop.rounds import ROUNDS, Figure, played, spread
from tests.bench.hop.stage import Stage
from tests.bench.hop.targets import Target

SECONDS = 2.0


def paced(rate: float, path: bytes = PATH) -> Callable[[Target], Latencies]:
    """Requests at this rate, to a target."""
    return lambda target: Paced(target.port, rate, SECONDS, path).run()


def latency(stage: Stage) -> list[Figure]:
    """What each adds to the model server's own latency, at half of what the gateway can serve, by a fixed schedule."""
    gateway = stage.target("gateway")
    rate = stage.measured(gateway, requests(16)).rate / 2
    targets = {"direct": stage.model, "nginx": stage.target("nginx"), "gateway": gateway}
    rows: list[dict[str, Latencies]] = played(targets, paced(rate))
    sound = [row for row in rows if not any(one.wrong for one in row.values())]
    return [_added(sound, share, f"at {rate:,.0f}/s") for share in (0.5, 0.99)]


def _added(rows: list[dict[str, Latencies]], share: float, at: str) -> Figure:
    """A quantile beyond the direct one, as a multiple of what nginx adds."""
    added = [
        {name: row[name].at(share) - row["direct"].at(share) for name in ("nginx", "gateway")} for row in rows
    ]
    ratios = [one["gateway"] / one["nginx"] for one in added if one["nginx"] > 0]
    rounds = f"{len(ratios)} of {ROUNDS}"
    if not ratios:
        return Figure(None, rounds=rounds, note="wrong answers, or nginx added nothing, in every round")
    costs = (f"{name} +{statistics.median(one[name] for one in added):,.0f} µs" for name in added[0])
    return spread(ratios, rounds, f"{', '.join(costs)}, {at}")
