"""The text of /metrics: the tallies of all workers, as Prometheus reads them; names and words are telemetry's table.

Gauges are those of the worker that answers. Never here: a counter of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from router.telemetry import rows_of

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()


class _Collector:
    def __init__(self, totals: Mapping[str, int], gauges: Mapping[str, float]) -> None:
        self._values: dict[str, list[tuple[dict[str, str], float]]] = {}
        for key, value in sorted({**totals, **gauges}.items()):
            name, *pairs = key.split("\t")
            labels = dict(pair.split("=", 1) for pair in pairs)
            self._values.setdefault(name, []).append((labels, value))

    def collect(self) -> Iterator[Metric]:
        """All families of the gateway."""
        for row in rows_of("gateway"):
            if row.type == "histogram":
                yield self._histogram(row.name, row.about, row.labels)
                continue
            make = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
            family = make(row.name, row.about, labels=list(row.labels))
            for labels, value in self._values.get(row.name, []):
                family.add_metric([labels.get(label, "") for label in row.labels], value)
            yield family

    def _histogram(self, name: str, about: str, names: tuple[str, ...]) -> Metric:
        family = HistogramMetricFamily(name, about, labels=list(names))
        counts: dict[tuple[str, ...], dict[str, float]] = {}
        for labels, value in self._values.get(f"{name}_bucket", []):
            counts.setdefault(tuple(labels[label] for label in names), {})[labels["le"]] = value
        sums = {
            tuple(labels[label] for label in names): value / 1e6
            for labels, value in self._values.get(f"{name}_sum", [])
        }
        for place, by_edge in counts.items():
            below, buckets = 0.0, []
            for edge in sorted({*by_edge, "+Inf"}, key=float):
                below += by_edge.get(edge, 0)
                buckets.append((edge, below))
            family.add_metric(list(place), buckets, sum_value=sums.get(place, 0.0))
        return family


def text(totals: Mapping[str, int], gauges: Mapping[str, float]) -> bytes:
    """The exposition."""
    registry = CollectorRegistry()
    registry.register(_Collector(totals, gauges))
    return generate_latest(registry)
