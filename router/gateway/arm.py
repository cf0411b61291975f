"""One arm of a route as requests need it: where to send to, what it sets, what to count, and how it has stood so far."""

from __future__ import annotations

from typing import Any

from router.address import Address
from router.assignment import Reason
from router.flag import Arm, Flag
from router.gateway.breaker import Breaker, Budget
from router.gateway.counters import Row, Tally
from router.gateway.setting import edit_of
from router.telemetry import ROWS

STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# How a request may end without a good answer of its arm; each is an error of the arm.
FAULTS = ("connect_failed", "timeout", "truncated", "bad_answer", "stream_error", "circuit_open", "no_room",
          "not_set")  # fmt: skip
BOUNDS_S = ROWS["pointsman_request_seconds"].bounds
EDGES = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


class Standing:
    """What is known of an arm from its requests; outlives the flag's revisions."""

    __slots__ = ("breaker", "budget", "cold")

    def __init__(self, warm: int = 0) -> None:
        self.cold = warm  # copies of requests it has still to answer before its first unit
        self.breaker = Breaker()
        self.budget = Budget()


class ArmTallies:
    """What is counted of one arm.

    Attributes:
        statuses: answers by the first digit of their status.
        faults: requests without a good answer.
        aborts: requests that their client gave up.
        slow: requests over the declared time.
        fallbacks: requests that the default arm answered in this arm's place.
        tokens: read and written.
        latency_us: the sum of all latencies; ``first_byte_us`` of all times to the first byte.
        latency: requests by their latency; ``first_byte`` by their time to the first byte.
    """

    __slots__ = (
        "aborts", "fallbacks", "faults", "first_byte", "first_byte_us", "latency", "latency_us", "slow", "statuses",
        "tokens",
    )  # fmt: skip

    def __init__(self, row: Row, route: str, arm: str) -> None:
        def tally(name: str, **labels: str) -> Tally:
            return row.tally(name, route=route, arm=arm, **labels)

        self.statuses = [tally("pointsman_requests", status=status) for status in STATUSES]
        self.faults = {fault: tally("pointsman_upstream_failures", outcome=fault) for fault in FAULTS}
        self.aborts = tally("pointsman_client_aborts")
        self.slow = tally("pointsman_slow_requests")
        self.fallbacks = tally("pointsman_fallbacks")
        self.tokens = [tally("pointsman_tokens", direction=way) for way in ("in", "out")]
        self.latency_us = tally("pointsman_request_seconds_sum")
        self.latency = [tally("pointsman_request_seconds_bucket", le=edge) for edge in EDGES]
        self.first_byte_us = tally("pointsman_first_byte_seconds_sum")
        self.first_byte = [tally("pointsman_first_byte_seconds_bucket", le=edge) for edge in EDGES]


class ArmRoute:
    """One arm of a route, ready to send to. Its tallies are made when the first one counts: most arms rest."""

    __slots__ = ("_route", "_row", "_tallies", "base", "edit", "name", "price", "standing", "upstream")

    def __init__(self, flag: Flag, arm: Arm, upstream: Any, row: Row, standing: Standing) -> None:
        self.name = arm.name
        self.upstream = upstream
        self.standing = standing
        self.price = arm.price
        self.edit = edit_of(flag, arm)
        base = Address.parse(arm.upstream).base.encode() if arm.upstream else b""
        if self.edit is not None and self.edit.path is not None:
            base += self.edit.path
        self.base: bytes | None = base or None
        self._route = flag.route
        self._row = row
        self._tallies: ArmTallies | None = None

    @property
    def tallies(self) -> ArmTallies:
        """What is counted of it."""
        tallies = self._tallies
        if tallies is None:
            tallies = self._tallies = ArmTallies(self._row, self._route, self.name)
        return tallies


class Reasons(dict[Reason, Tally]):
    """Assignments of one route by their reason, each counter made when it first counts."""

    __slots__ = ("_route", "_row")

    def __init__(self, route: str, row: Row) -> None:
        super().__init__()
        self._route = route
        self._row = row

    def __missing__(self, reason: Reason) -> Tally:
        tally = self[reason] = self._row.tally(
            "pointsman_assignments", route=self._route, reason=reason.value
        )
        return tally
