"""The controller's numbers, read from the runs it writes: it listens on no port, so the API exposes them.

Never here: a count of its own. While Redis does not answer there are no numbers, which is not the same as zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from router.api.plane import Plane
from router.bucketing import PPM
from router.errors import StoreUnavailable
from router.run import FINAL
from router.telemetry import rows_of

WITHOUT_EFFECT = ("duplicate", "late", "orphan", "unknown_metric", "repeated_entries")

Number = tuple[str, tuple[str, ...], float]  # name, labels, value


class _Collector:
    def __init__(self, numbers: list[Number]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """All families of the controller."""
        for row in rows_of("controller"):
            make = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
            family = make(row.name, row.about, labels=list(row.labels))
            for name, labels, value in self._numbers:
                if name == row.name:
                    family.add_metric(list(labels), value)
            yield family


def text(here: Plane) -> bytes:
    """The exposition; empty while Redis does not answer."""
    try:
        numbers = list(_numbers(here))
    except StoreUnavailable:
        return b""
    registry = CollectorRegistry()
    registry.register(_Collector(numbers))
    return generate_latest(registry)


def _numbers(here: Plane) -> Iterator[Number]:
    beats = here.store.heartbeats(here.now())
    yield "pointsman_leader", (), int(any(beat.get("role") == "controller" for beat in beats))
    for name, run in sorted(here.store.runs().items()):
        if run["state"] in FINAL:
            continue
        yield "pointsman_coverage_ratio", (name,), run["coverage"][-1][2] / PPM if run["coverage"] else 0
        if run["evidence"] is not None:
            yield "pointsman_looks", (name,), run["look"]["number"]
            yield from _health(name, run["evidence"]["health"])


def _health(run: str, health: Mapping[str, Any]) -> Iterator[Number]:
    counts, sent = health["counts"], health["loss"]["sent"]
    for reason in WITHOUT_EFFECT:
        yield "pointsman_rows_without_effect", (run, reason), counts.get(reason, 0)
    yield "pointsman_dead_entries", (run,), counts.get("dead_letter", 0)
    yield "pointsman_lost_entries", (run,), counts.get("lost_entries", 0)
    if sent is not None:
        yield "pointsman_folded_rows", (run,), sum(sent)
    if health["lag_ms"] is not None:
        yield "pointsman_fold_lag_seconds", (run,), health["lag_ms"] / 1000
