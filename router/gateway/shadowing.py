"""Copies of requests to another arm, whose answers are thrown away: by whom they are asked for, and the life of one.

A copy is made of what the gateway holds anyway and leaves only after the client has its whole answer, on connections of
its own, so that no request ever waits for one. What would be too many, or too long to hold, is dropped and counted.

Never here: a second try, a word to the client, or a count among the arm's own requests.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from random import getrandbits
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from router.bucketing import PPM
from router.gateway.arm import BOUNDS_S, ArmRoute
from router.gateway.comparing import same
from router.gateway.counters import Row
from router.gateway.fields import request_head
from router.gateway.observing import BINARY_LENGTH, Observer
from router.gateway.receiver import Receiver
from router.gateway.upstream import NoRoomError
from router.protocols import ROWS as PROTOCOLS
from router.serving import Shadow

if TYPE_CHECKING:
    from router.gateway.connection import Connection
    from router.gateway.exchange import Exchange
    from router.gateway.head import Head
    from router.gateway.shape import Field, Shape

METHODS = ("GET", "POST")  # whose requests warm an arm
MOST = 64  # copies of one route that are under way in a worker
OUTCOMES = ("ok", "5xx", "connect_failed", "timeout", "truncated", "bad_answer", "dropped")
RESULTS = ("equal", "differs", "unreadable")
BOUNDS_US = tuple(int(bound * 1_000_000) for bound in BOUNDS_S)
PLAIN = PROTOCOLS["plain"]


class Shadowing:
    """A route's shadow, compiled.

    Attributes:
        open: copies under way now.
    """

    __slots__ = ("arm", "compare", "label", "latency", "latency_us", "methods", "open", "outcomes", "prefix", "results",
                 "share", "upstream")  # fmt: skip

    def __init__(
        self, route: str, prefix: bytes, wanted: Shadow, arm: ArmRoute, upstream: Any, row: Row
    ) -> None:
        self.arm = arm
        self.upstream = upstream
        self.prefix = prefix
        self.share = wanted.share
        self.methods = frozenset(method.encode() for method in wanted.methods)
        self.compare = wanted.compare
        self.label = f"Pointsman-Shadow: {route}\r\n".encode()
        self.open = 0
        labels = {"route": route, "arm": arm.name}
        self.outcomes = {one: row.tally("pointsman_shadows", **labels, outcome=one) for one in OUTCOMES}
        self.results = {
            one: row.tally("pointsman_shadow_comparisons", **labels, result=one) for one in RESULTS
        }
        self.latency_us = row.tally("pointsman_shadow_seconds_sum", **labels)
        edges = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        self.latency = [row.tally("pointsman_shadow_seconds_bucket", **labels, le=edge) for edge in edges]

    def takes(self, exchange: Exchange) -> bool:
        """Whether a request is to be copied."""
        if exchange.ticket.served is self.arm or exchange.head.method not in self.methods:
            return False
        return self.share == PPM or getrandbits(20) * PPM < self.share << 20

    def copy(self, exchange: Exchange) -> Copy | None:
        """A copy, to be started later; None when the request is not held as a whole, or cannot be set."""
        body, edit, head = exchange.held_body(), self.arm.edit, exchange.head
        if body is None or (edit is not None and edit.changes_body and b"content-encoding" in head.shape.at):
            self.outcomes["dropped"].n += 1
            return None
        return Copy(self, exchange, body)

    def octets(self, head: Head, body: bytes, peer: bytes) -> bytes:
        """The request as the arm is asked it."""
        edit = self.arm.edit
        lines, drops, length = self.label, frozenset[bytes](), len(body) if head.has_body else None
        if edit is not None:
            lines, drops = lines + edit.lines, edit.drops
            if edit.changes_body and head.has_body:
                body, more = edit.body(body, head.field(BINARY_LENGTH))
                lines, length = lines + more, len(body)
        base = self.arm.base
        target = head.target if base is None else base + head.target[len(self.prefix) :]
        return request_head(head, target, peer, drops=drops, lines=lines, length=length) + body

    def ended(self, copy: Copy, outcome: str, latency_us: int) -> None:
        """A copy has come to its end."""
        self.open -= 1
        self.outcomes[outcome].n += 1
        self.latency_us.n += latency_us
        self.latency[bisect_left(BOUNDS_US, latency_us)].n += 1
        if outcome not in ("ok", "5xx"):
            return
        copy.gate.noted(copy.ticket, "shadow_latency", latency_us / 1000)
        if self.compare is None:
            return
        one, other = copy.ticket.observed.document, copy.document
        if one is None or other is None:
            self.results["unreadable"].n += 1
            return
        differs = not same(one, other, self.compare)
        self.results["differs" if differs else "equal"].n += 1
        copy.gate.noted(copy.ticket, "shadow_differs", float(differs))


class Warming(Shadowing):
    """Copies to an arm that has not answered enough of them yet; nothing of them is compared."""

    __slots__ = ()

    def takes(self, exchange: Exchange) -> bool:
        """Whether the arm is still cold."""
        return self.arm.standing.cold > self.open and super().takes(exchange)

    def ended(self, copy: Copy, outcome: str, latency_us: int) -> None:
        """A copy has come to its end; a good answer warms."""
        self.open -= 1
        self.outcomes[outcome].n += 1
        if outcome == "ok":
            self.arm.standing.cold = max(0, self.arm.standing.cold - 1)


def every(arm: str) -> Shadow:
    """A shadow of all requests."""
    return Shadow(arm, PPM, METHODS)


class Copy(Receiver):
    """One copy on its way.

    Attributes:
        document: the answer, where it is JSON short enough to read.
    """

    def __init__(self, shadowing: Shadowing, exchange: Exchange, body: bytes) -> None:
        super().__init__(exchange.head, 0)
        self.ticket = exchange.ticket
        self.gate = exchange.client.gate
        self.loop = exchange.client.loop
        self._turn = exchange.client.turn
        self.document: object = None
        self._shadowing = shadowing
        self._body = body
        self._peer = exchange.client.peer
        self._connection: Connection | None = None
        self._observer: Observer | None = None
        self._job: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._status = 0
        self._begun_ns = 0

    def start(self) -> None:
        """Send it, unless too many are under way."""
        shadowing = self._shadowing
        if shadowing.open >= MOST or shadowing.upstream.closed:
            shadowing.outcomes["dropped"].n += 1
            return
        shadowing.open += 1
        self._begun_ns = perf_counter_ns()
        self._timer = self.loop.call_later(self.ticket.first_byte_ms / 1000, self._late)
        connection = shadowing.upstream.take(self._begun_ns)
        if connection is None:
            self._job = self.loop.create_task(self._dialed())
        else:
            self._connected(connection)

    async def _dialed(self) -> None:
        try:
            connection = await self._shadowing.upstream.dial(self.ticket.first_byte_ms / 1000)
        except (TimeoutError, OSError, NoRoomError):
            self._end("connect_failed")
            return
        if self.ended:
            connection.transport.abort()
        else:
            self._connected(connection)

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        connection.begin(self)
        octets = self._shadowing.octets(self.head, self._body, self._peer)
        self._turn.write(connection.transport, octets)
        self._body = b""
        self.request_sent = True

    def _late(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()
        self._end("timeout")

    def informational(self, status: int, shape: Shape, values: tuple[bytes, ...]) -> None:
        """Nobody waits for it."""

    def answer_head(
        self, status: int, shape: Shape, values: tuple[bytes, ...], length: int | None, *, bodiless: bool
    ) -> None:
        """The answer begins."""
        self._status = status
        if self._shadowing.compare is not None:
            self._observer = Observer(PLAIN, shape.fields(values))

    def answer_body(self, data: bytes) -> None:
        """Octets that go nowhere."""
        if self._observer is not None:
            self._observer.feed(data)

    def answer_complete(self, trailers: Iterable[Field]) -> None:
        """The answer is whole."""
        if self._observer is not None:
            self._observer.end()
            self.document = self._observer.document
        self._end("5xx" if self._status >= 500 else "ok")

    def upstream_failed(self, why: str) -> None:
        """The answer is none."""
        self._end("bad_answer")

    def upstream_lost(self, *, began: bool) -> None:
        """The server closed before its answer was whole."""
        self._end("truncated")

    def flush(self) -> None:
        """Nothing is gathered."""

    def pause_request(self) -> None:
        """The server reads slower: it is given the whole copy at once all the same."""

    def resume_request(self) -> None:
        """It has caught up."""

    def _end(self, outcome: str) -> None:
        if self.ended:
            return
        self.ended = True
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
        self._shadowing.ended(self, outcome, (perf_counter_ns() - self._begun_ns) // 1000)
