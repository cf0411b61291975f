"""A gate for tests of the HTTP side: one upstream takes everything, and what ended how is written down."""

from __future__ import annotations

from typing import Any

from router.gateway.counters import Counts
from router.gateway.head import Head
from router.gateway.ticket import Ticket
from router.gateway.upstream import Upstream


class StubGate:
    """Routes everything to one upstream."""

    def __init__(
        self,
        url: str,
        first_byte_ms: int = 5000,
        needs_body: int = 0,
        total_ms: int = 60_000,
        local: tuple[int, bytes, bytes] | None = None,
    ) -> None:
        self.total_ms = total_ms
        self.own = local
        self.tickets: list[Ticket] = []
        self.upstream = Upstream(url, Counts())
        self.first_byte_ms = first_byte_ms
        self.needs_body = needs_body
        self.bodies: list[bytes] = []
        self.ended: list[tuple[int, str]] = []
        self.reports: list[bytes] = []

    def redirect(self, url: str) -> None:
        """From now on requests go there."""
        self.upstream = Upstream(url, Counts())

    def local(self, head: Head) -> tuple[int, bytes, bytes] | None:
        return self.own

    def route(self, head: Head, body: bytes | None) -> Any:
        ticket = Ticket()
        ticket.upstream, ticket.target = self.upstream, head.target
        ticket.first_byte_ms, ticket.total_ms = self.first_byte_ms, self.total_ms
        self.tickets.append(ticket)
        if self.needs_body and body is None:
            ticket.needs_body = self.needs_body
        elif body is not None:
            self.bodies.append(body)
        return ticket

    def again(self, ticket: Any, head: Head, outcome: str, *, replayable: bool) -> bool:
        return False

    def instead(self, ticket: Any, head: Head, outcome: str) -> bool:
        return False

    def finished(self, ticket: Any, status: int, outcome: str, latency_us: int) -> None:
        self.ended.append((status, outcome))

    def noted(self, ticket: Any, metric: str, value: float) -> None:
        pass

    def reported(self, ticket: Any, value: bytes) -> None:
        self.reports.append(value)
