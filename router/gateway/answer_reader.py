"""What a route wants read in its answers, and the readers that are made of it: one per answer, none on plain routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.flag import Flag
from router.gateway.observing import Observer
from router.gateway.restoring import Restorer
from router.protocols import ROWS as PROTOCOLS
from router.serving import Serving

if TYPE_CHECKING:
    from router.gateway.exchange import Exchange
    from router.gateway.shadowing import Shadowing
    from router.gateway.shape import Field
    from router.gateway.ticket import Ticket


class AnswerReader:
    """A route's wishes about answers, compiled.

    Attributes:
        protocol: what its clients speak.
        shadows: to which arms its requests are copied.
        outcomes: names of the metrics that are read in answers.
    """

    __slots__ = ("_cost", "_pointers", "outcomes", "protocol", "shadows")

    def __init__(self, flag: Flag) -> None:
        self.shadows: list[Shadowing] = []
        serving = flag.serving or Serving()
        self.protocol = PROTOCOLS[flag.protocol]
        self.outcomes = frozenset(metric for metric, _ in serving.outcomes)
        self._pointers = serving.outcomes
        self._cost = serving.cost.encode()

    @classmethod
    def of(cls, flag: Flag) -> AnswerReader | None:
        """The reader of a route; None where nothing is to be read."""
        serving = flag.serving
        reads = flag.protocol != "plain" or (
            serving is not None and bool(serving.cost or serving.outcomes or serving.shadow)
        )
        return cls(flag) if reads or any(arm.declares or arm.price or arm.warm for arm in flag.arms) else None

    def begin(self, exchange: Exchange, status: int, headers: list[Field]) -> Observer:
        """What reads the answer that begins now; what is held of the request may be copied."""
        ticket = exchange.ticket
        observer = self._observer(ticket, status, headers)
        for shadowing in self.shadows:
            if shadowing.takes(exchange) and (copy := shadowing.copy(exchange)) is not None:
                observer.copies = (*observer.copies, copy)
        return observer

    def _observer(self, ticket: Ticket, status: int, headers: list[Field]) -> Observer:
        arm = ticket.served
        if ticket.asked_model:
            observer: Observer = Restorer(self.protocol, headers, ticket.asked_model)
        else:
            observer = Observer(self.protocol, headers)
        if status < 400:
            observer.pointers = self._pointers
            observer.price = arm.price if arm is not None else None
            if self._cost:
                observer.charged(self._cost)
        return observer
