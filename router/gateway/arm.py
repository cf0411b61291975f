"""One arm of a route, ready to send to: its upstream, what it sets, its counters, and how it has stood so far."""

from __future__ import annotations

from typing import Any

from router.address import Address
from router.flag import Arm, Flag
from router.gateway.breaker import Breaker, Budget
from router.gateway.counters import Row, Tally
from router.gateway.setting import Edit
from router.telemetry import ROWS

IDENTITIES_MOST = 4  # two are too many already
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# How a request may end without a good answer of its arm; each is an error of the arm.
FAULTS = ("connect_failed", "timeout", "truncated", "bad_answer", "stream_error", "circuit_open", "not_set")
BOUNDS_S = ROWS["pointsman_request_seconds"].bounds


class Standing:
    """What is known of an arm from its requests; outlives the flag's revisions."""

    __slots__ = ("breaker", "budget", "epoch", "identities")

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.budget = Budget()
        self.epoch = 0
        self.identities: set[str] = set()  # as its answers named themselves in this epoch

    def begin(self, epoch: int) -> None:
        """A flag of this epoch routes from now on."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.identities = set()

    def named(self, identity: str) -> None:
        """An answer said which model it comes from."""
        if len(self.identities) < IDENTITIES_MOST:
            self.identities.add(identity)


class ArmRoute:
    """One arm of a route, ready to send to."""

    __slots__ = (
        "aborts",
        "base",
        "edit",
        "fallbacks",
        "faults",
        "first_byte",
        "first_byte_us",
        "latency",
        "latency_us",
        "name",
        "slow",
        "standing",
        "statuses",
        "tokens",
        "upstream",
    )

    def __init__(self, flag: Flag, arm: Arm, upstream: Any, row: Row, standing: Standing) -> None:
        self.name = arm.name
        self.upstream = upstream
        self.standing = standing
        self.edit = None if arm.set is None else Edit(arm.set, f"arms.{arm.name}.set")
        base = Address.parse(arm.upstream).base.encode() if arm.upstream else b""
        if self.edit is not None and self.edit.path is not None:
            base += self.edit.path
        self.base: bytes | None = base or None
        labels = {"route": flag.route, "arm": arm.name}
        self.statuses = [row.tally("pointsman_requests", **labels, status=status) for status in STATUSES]
        self.faults: dict[str, Tally] = {
            fault: row.tally("pointsman_upstream_failures", **labels, outcome=fault) for fault in FAULTS
        }
        self.aborts = row.tally("pointsman_client_aborts", **labels)
        self.slow = row.tally("pointsman_slow_requests", **labels)
        self.latency_us = row.tally("pointsman_request_seconds_sum", **labels)
        self.fallbacks = row.tally("pointsman_fallbacks", **labels)
        self.tokens = [row.tally("pointsman_tokens", **labels, direction=way) for way in ("in", "out")]
        self.first_byte_us = row.tally("pointsman_first_byte_seconds_sum", **labels)
        edges = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        self.latency = [row.tally("pointsman_request_seconds_bucket", **labels, le=edge) for edge in edges]
        self.first_byte = [
            row.tally("pointsman_first_byte_seconds_bucket", **labels, le=edge) for edge in edges
        ]
