"""The API's own counters, one table; ``/metrics`` is their text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Counters of one application; a registry of its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.outcomes = Counter(
            "pointsman_outcomes",
            "Outcomes received, by result: accepted, not_analysed, or the reason of refusal.",
            ["result"],
            registry=self.registry,
        )
        self.answers = Counter(
            "pointsman_api_answers",
            "Answers of the API and the dashboard, by class of status.",
            ["status"],
            registry=self.registry,
        )
        self.acts = Counter(
            "pointsman_acts",
            "Changes made by people through this process.",
            ["action"],
            registry=self.registry,
        )
        self.stored = Histogram(
            "pointsman_outcome_store_seconds",
            "Time from taking outcomes to having them stored.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The exposition that Prometheus reads."""
        return generate_latest(self.registry)
