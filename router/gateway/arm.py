"""One arm of a route as requests need it: where to send to, and what to count."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from router.assignment import Reason
from router.flag import Arm, Flag
from router.gateway.counters import Row, Tally
from router.telemetry import ROWS

STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
FAULTS = ("connect_failed", "timeout", "truncated", "bad_answer")
BOUNDS_S = ROWS["pointsman_request_seconds"].bounds


class ArmRoute:
    """One arm of a route, ready to send to. Its counters are made when they first count: most arms rest."""

    def __init__(self, flag: Flag, arm: Arm, upstream: Any, row: Row) -> None:
        self.name = arm.name
        self.upstream = upstream
        path = urlsplit(arm.upstream).path.rstrip("/")
        self.base: bytes | None = path.encode() if path else None
        self._route = flag.route
        self._row = row

    def _tally(self, name: str, **labels: str) -> Tally:
        return self._row.tally(name, route=self._route, arm=self.name, **labels)

    @cached_property
    def statuses(self) -> list[Tally]:
        """Answers by the first digit of their status."""
        return [self._tally("pointsman_requests", status=status) for status in STATUSES]

    @cached_property
    def faults(self) -> dict[str, Tally]:
        """Requests without a good answer."""
        return {fault: self._tally("pointsman_upstream_failures", outcome=fault) for fault in FAULTS}

    @cached_property
    def aborts(self) -> Tally:
        """Requests that their client gave up."""
        return self._tally("pointsman_client_aborts")

    @cached_property
    def slow(self) -> Tally:
        """Requests over the declared time."""
        return self._tally("pointsman_slow_requests")

    @cached_property
    def latency_us(self) -> Tally:
        """The sum of all latencies."""
        return self._tally("pointsman_request_seconds_sum")

    @cached_property
    def latency(self) -> list[Tally]:
        """Requests by their latency."""
        edges = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        return [self._tally("pointsman_request_seconds_bucket", le=edge) for edge in edges]


class Reasons(dict[Reason, Tally]):
    """Assignments of one route by their reason, each counter made when it first counts."""

    def __init__(self, route: str, row: Row) -> None:
        super().__init__()
        self._route = route
        self._row = row

    def __missing__(self, reason: Reason) -> Tally:
        tally = self[reason] = self._row.tally(
            "pointsman_assignments", route=self._route, reason=reason.value
        )
        return tally
