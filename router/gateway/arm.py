"""One arm of a route as requests need it: where to send to, what it sets, what to count, and how it has stood so far."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from router.address import Address
from router.assignment import Reason
from router.flag import Arm, Flag
from router.gateway.breaker import Breaker, Budget
from router.gateway.counters import Row, Tally
from router.gateway.setting import edit_of
from router.telemetry import ROWS

IDENTITIES_MOST = 4  # two are too many already
NOBODY: frozenset[str] = frozenset()
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# How a request may end without a good answer of its arm; each is an error of the arm.
FAULTS = ("connect_failed", "timeout", "truncated", "bad_answer", "stream_error", "circuit_open", "no_room",
          "not_set")  # fmt: skip
BOUNDS_S = ROWS["pointsman_request_seconds"].bounds
EDGES = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")


class Standing:
    """What is known of an arm from its requests; outlives the flag's revisions."""

    __slots__ = ("breaker", "budget", "cold", "epoch", "identities")

    def __init__(self, warm: int = 0) -> None:
        self.cold = warm  # copies of requests it has still to answer before its first unit
        self.breaker = Breaker()
        self.budget = Budget()
        self.epoch = 0
        self.identities: frozenset[str] = NOBODY  # as its answers named themselves in this epoch

    def begin(self, epoch: int) -> None:
        """A flag of this epoch routes from now on."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.identities = NOBODY

    def named(self, identity: str) -> None:
        """An answer said which model it comes from."""
        if identity not in self.identities and len(self.identities) < IDENTITIES_MOST:
            self.identities |= {identity}


class ArmRoute:
    """One arm of a route, ready to send to. Its counters are made when they first count: most arms rest."""

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
    def fallbacks(self) -> Tally:
        """Requests that the default arm answered in this arm's place."""
        return self._tally("pointsman_fallbacks")

    @cached_property
    def tokens(self) -> list[Tally]:
        """Tokens read and written."""
        return [self._tally("pointsman_tokens", direction=way) for way in ("in", "out")]

    @cached_property
    def latency_us(self) -> Tally:
        """The sum of all latencies."""
        return self._tally("pointsman_request_seconds_sum")

    @cached_property
    def latency(self) -> list[Tally]:
        """Requests by their latency."""
        return [self._tally("pointsman_request_seconds_bucket", le=edge) for edge in EDGES]

    @cached_property
    def first_byte_us(self) -> Tally:
        """The sum of all times to the first byte."""
        return self._tally("pointsman_first_byte_seconds_sum")

    @cached_property
    def first_byte(self) -> list[Tally]:
        """Requests by their time to the first byte."""
        return [self._tally("pointsman_first_byte_seconds_bucket", le=edge) for edge in EDGES]


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
