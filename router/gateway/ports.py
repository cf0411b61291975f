"""What the HTTP side and the gate know of each other, and the limits of the HTTP side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from router.gateway.head import Head
from router.gateway.ticket import Ticket
from router.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets, counts and seconds that a connection may take."""

    head: int = 65_536
    fields: int = 128
    target: int = 16_384
    body: int = 1_073_741_824
    head_s: float = 10.0
    idle_s: float = 60.0
    connect_s: float = 1.0
    connections: int = 16_384
    requests: int = 4096
    hold: int = 65_536

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a process."""
        return cls(
            settings.header_limit,
            settings.header_count_limit,
            settings.target_limit,
            settings.body_limit,
            settings.head_timeout_ms / 1000,
            settings.idle_timeout_ms / 1000,
            settings.connect_timeout_ms / 1000,
            settings.connections_limit,
            settings.requests_limit,
            settings.body_hold_limit,
        )


class Gate(Protocol):
    """Who decides where requests go and is told how they ended."""

    def local(self, head: Head) -> tuple[int, bytes, bytes] | None:
        """(status, content type, body) of a path of our own; None for all others."""

    def route(self, head: Head, body: bytes | None) -> Ticket:
        """The ticket of a request; ``body`` is given when the first ticket asked for it."""

    def again(self, ticket: Ticket, head: Head, outcome: str, *, replayable: bool) -> bool:
        """Whether to make another attempt after one that gave no answer, by what the ticket says from now on."""

    def instead(self, ticket: Ticket, head: Head, outcome: str) -> bool:
        """Whether another arm is to answer in the place of the assigned one, by what the ticket says from now on."""

    def finished(self, ticket: Ticket, status: int, outcome: str, latency_us: int) -> None:
        """The request has ended: ok, client_abort, or one of the arm's faults."""

    def noted(self, ticket: Ticket, metric: str, value: float) -> None:
        """Something was measured about a request, perhaps after its end."""

    def reported(self, ticket: Ticket, value: bytes) -> None:
        """The value of an answer's Pointsman-Outcome field."""
