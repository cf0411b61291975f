"""One arm of a route, ready to send to: its upstream, what it sets, its counters, and how it has stood so far."""

from __future__ import annotations

from typing import Any

from router.address import Address
from router.flag import Arm, Flag
from router.gateway.breaker import Breaker, Budget
from router.gateway.counters import Row, Tally
from router.gateway.setting import edit_of
from router.telemetry import ROWS

IDENTITIES_MOST = 4  # two are too many already
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# How a request may end without a good answer of its arm; each is an error of the arm.
FAULTS = ("connect_failed", "timeout", "truncated", "bad_answer", "stream_error", "circuit_open", "no_room",
          "not_set")  # fmt: skip
BOUNDS_S = ROWS["pointsman_request_seconds"].bounds


class Standing:
    """What is known of an arm from its requests; outlives the flag's revisions."""

    __slots__ = ("breaker", "budget", "cold", "epoch", "identities")

    def __init__(self, warm: int = 0) -> None:
        self.cold = warm  # copies of requests it has still to answer before its first unit
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
        "headers",
        "latency",
        "latency_us",
        "name",
        "price",
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
        self.price = arm.price
        self.edit = edit_of(flag, arm)
        base = Address.parse(arm.upstream).base.encode()
        if self.edit is not None and self.edit.path is not None:
            base += self.edit.path
        self.base: bytes | None = base or None
        self.headers = _headers(flag, arm.name)
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


def _headers(flag: Flag, arm: str) -> bytes:
    """The answer's header fields up to the decision id; empty when none are shown."""
    if not flag.experiments or flag.expose == "none":
        return b""
    shown = "Pointsman-Decision: "
    if flag.expose == "all":
        name = flag.experiments[0].experiment
        shown = f"Pointsman-Experiment: {name}\r\nPointsman-Arm: {arm}\r\nPointsman-Revision: {flag.revision}\r\n{shown}"
    return shown.encode()
