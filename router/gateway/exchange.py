"""The life of one request, top to bottom: route, connect, send, answer, record.

Callbacks only: on the path that finds a pooled connection no task, future or timer is made. What goes out in one turn
of the loop goes out in one write. Whatever happens, ``Gate.finished`` is called once for each ticket with an upstream.
"""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from router.gateway.answers import REASONS, failure
from router.gateway.fields import CRLF, HOP_BY_HOP, LAST_CHUNK, OUTCOME_FIELD, OWN, chunk, named, request_head
from router.gateway.head import Field, Head

if TYPE_CHECKING:
    from router.gateway.client import Client
    from router.gateway.upstream import Connection

REPLAY_MOST = 65_536  # octets of a request body kept for one repetition on a fresh connection
USUAL = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close"))  # these name no other field
STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in REASONS.items()}
FAILURES = {
    "connect_failed": (502, "connect_failed", "the model server cannot be reached"),
    "timeout": (504, "timeout", "the model server did not answer in time"),
    "bad_answer": (502, "bad_answer", "the model server's answer is not valid HTTP"),
    "truncated": (502, "truncated", "the model server closed the connection before it answered"),
}


class Exchange:
    """One request on its way to an upstream and back."""

    __slots__ = ("_answer_chunked", "_answered", "_begun", "_begun_ns", "_connection", "_dialing", "_fresh", "_held",
                 "_held_octets", "_kept", "_out", "_send", "_status", "_total_deadline", "client", "deadline", "ended",
                 "head", "request_complete", "ticket")  # fmt: skip

    def __init__(self, client: Client, head: Head) -> None:
        self.client = client
        self.head = head
        self.ticket: Any = None
        self.ended = False
        self.request_complete = not head.has_body
        self.deadline = 0.0
        self._begun = client.since
        self._begun_ns = perf_counter_ns()  # the loop's own clock has whole milliseconds
        self._total_deadline = 0.0
        self._connection: Connection | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._fresh = False
        self._held: list[bytes] = []  # the body that the gate wants to see
        self._held_octets = 0
        self._send: list[bytes] = []
        self._kept: bytes | None = b""  # what was sent, for one repetition; None when it is too much
        self._out: list[bytes] = []
        self._answered = False
        self._answer_chunked = False
        self._status = 0

    def start(self) -> None:
        """Ask the gate; hold the body first if it wants to see it."""
        self.ticket = self.client.gate.route(self.head, None)
        if not self.ticket.needs_body:
            self._decided()
        elif self.request_complete:
            self._route_again(b"")

    def _route_again(self, body: bytes) -> None:
        self._send = [chunk(data) for data in self._held] if self.head.chunked else self._held
        self._held = []
        self.ticket = self.client.gate.route(self.head, body)
        self._decided()

    def _decided(self) -> None:
        ticket = self.ticket
        if ticket.refusal is not None:
            self._refuse(*ticket.refusal)
            return
        self._total_deadline = self._begun + ticket.total_ms / 1000
        connection = ticket.upstream.take()
        if connection is None:
            self._dial()
        else:
            self._connected(connection, self._begun)

    def body(self, data: bytes) -> None:
        """Octets of the request's body."""
        if self.ended:
            return
        needs = self.ticket.needs_body
        if needs:
            self._held.append(data)
            self._held_octets += len(data)
            if self._held_octets > needs:
                self._route_again(b"")
            return
        self._send.append(chunk(data) if self.head.chunked else data)
        if self._connection is None:
            self._held_octets += len(data)
            if self._held_octets > REPLAY_MOST:
                self.client.pause()

    def body_complete(self) -> None:
        """The request is whole."""
        self.request_complete = True
        if self.ended:
            return
        if self.ticket.needs_body:
            self._route_again(b"".join(self._held))
        if self.head.chunked:
            self._send.append(LAST_CHUNK)

    def _dial(self) -> None:
        self._fresh = True
        self._dialing = self.client.loop.create_task(self._dialed())

    async def _dialed(self) -> None:
        try:
            connection = await self.ticket.upstream.dial(self.client.limits.connect_s)
        except (TimeoutError, OSError):
            self._dialing = None
            self._fail("connect_failed")
            return
        self._dialing = None
        if self.ended:
            connection.transport.abort()
            return
        self._connected(connection, self.client.loop.time())
        self.flush()

    def _connected(self, connection: Connection, now: float) -> None:
        """Send what is there: the head and what has come of the body, or all of it once more."""
        self._connection = connection
        connection.begin(self)
        # The clock of the first byte starts here; the tick of the worker looks at it.
        self.deadline = min(self._total_deadline, now + self.ticket.first_byte_ms / 1000)
        begins = self._kept or request_head(self.head, self.ticket.target, self.client.peer)
        self._kept = b""
        if self._send:
            self._send.insert(0, begins)
        else:
            self._send.append(begins)
        if self._fresh:
            self.client.resume()

    def flush(self) -> None:
        """Write what this turn has gathered: at most one write to each side."""
        if self._send and self._connection is not None:
            octets = b"".join(self._send)
            self._send.clear()
            self._connection.transport.write(octets)
            kept = self._kept
            if kept is not None:
                fits = len(kept) + len(octets) <= REPLAY_MOST
                self._kept = (kept + octets if kept else octets) if fits else None
        if self._out:
            octets = b"".join(self._out)
            self._out.clear()
            self.client.write(octets)

    def answer_head(self, status: int, headers: list[Field], length: int | None, *, bodiless: bool) -> None:
        """The head of the upstream's answer, framed anew for the client."""
        self._answered = True
        self._kept = None
        self._status = status
        self.deadline = 0.0
        out = self._out
        out.append(STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status)
        named_too = False
        for key, name, value in headers:
            if key in HOP_BY_HOP:
                named_too = named_too or (key == b"connection" and value not in USUAL)
            elif not key.startswith(OWN):
                out += (name, b": ", value, CRLF)
            elif key == OUTCOME_FIELD:
                self.client.gate.reported(self.ticket, value)
        if named_too:
            self._drop_named(headers)
        out.append(self.ticket.answer_headers)
        self._frame(length if status != 204 else None, framed=length is not None or bodiless)

    def _drop_named(self, headers: list[Field]) -> None:
        """Take out again what a Connection field names."""
        drop = named(headers)
        kept = [
            f for f in headers if f[0] not in drop and f[0] not in HOP_BY_HOP and not f[0].startswith(OWN)
        ]
        self._out[1:] = [part for _, name, value in kept for part in (name, b": ", value, CRLF)]

    def _frame(self, length: int | None, *, framed: bool) -> None:
        """The fields that are ours: how the body ends, and whether the connection stays."""
        out, client = self._out, self.client
        close = not client.stays_open(self)
        if length is not None:
            out.append(b"Content-Length: %d\r\n" % length)
        elif not framed:
            if self.head.version == "1.1":
                self._answer_chunked = True
                out.append(b"Transfer-Encoding: chunked\r\n")
            else:
                close = client.closing = True
        if close:
            out.append(b"Connection: close\r\n\r\n")
        elif self.head.version == "1.0":
            out.append(b"Connection: keep-alive\r\n\r\n")
        else:
            out.append(CRLF)

    def answer_body(self, data: bytes) -> None:
        """Octets of the answer's body."""
        self._out.append(chunk(data) if self._answer_chunked else data)

    def answer_complete(self) -> None:
        """The answer is whole."""
        if self._answer_chunked:
            self._out.append(LAST_CHUNK)
        self._end("ok", self._status)

    def upstream_lost(self, *, answered: bool) -> None:
        """The upstream closed before its answer was whole."""
        connection, self._connection = self._connection, None
        again = bool(self._kept) and not (answered or self._answered or self._fresh)
        if again and self.request_complete and connection is not None and connection.used:
            # A kept-alive connection that its server had just closed: once more, on a fresh one, in the same arm.
            self.client.counts.retries += 1
            self._dial()
            return
        self._fail("truncated")

    def upstream_failed(self, outcome: str, why: str) -> None:
        """The upstream's answer cannot be passed on."""
        self._connection = None
        self._fail(outcome)

    def expired(self, now: float) -> bool:
        """Whether a deadline has passed; then the exchange fails as a timeout."""
        if self.ended or self.ticket is None or not self._total_deadline:
            return False
        if (self.deadline and now > self.deadline) or now > self._total_deadline:
            self._drop_upstream()
            self._fail("timeout")
            return True
        return False

    def client_left(self) -> None:
        """The client is gone: the upstream's work is cancelled."""
        if self.ended:
            return
        self._drop_upstream()
        self._end("client_abort", self._status, tell_client=False)

    def _drop_upstream(self) -> None:
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()

    def _fail(self, outcome: str) -> None:
        """A failure of the arm: an answer of ours, or, when its head has left, a cut one."""
        if self.ended:
            return
        if self._answered:
            self.flush()
            self._end(outcome, self._status, tell_client=False)
            self.client.cut()
            return
        status, code, message = FAILURES[outcome]
        close = not self.client.stays_open(self)
        extra = self.ticket.answer_headers
        bare = self.head.method == b"HEAD"
        self._out = [failure(status, code, message, close=close, extra=extra, head_only=bare)]
        self._end(outcome, status)

    def _refuse(self, status: int, code: str, message: str) -> None:
        close = not self.client.stays_open(self)
        bare = self.head.method == b"HEAD"
        extra = self.ticket.answer_headers
        self._out.append(failure(status, code, message, close=close, extra=extra, head_only=bare))
        self._end("", status)

    def _end(self, outcome: str, status: int, *, tell_client: bool = True) -> None:
        self.ended = True
        self._connection = None
        self._kept = None
        if outcome:
            latency_us = (perf_counter_ns() - self._begun_ns) // 1000
            self.client.gate.finished(self.ticket, status, outcome, latency_us)
        if tell_client:
            self.flush()
            self.client.exchange_ended(self)


def of_upstream(exchange: Exchange) -> Connection | None:
    """The connection an exchange is using, for back-pressure."""
    return exchange._connection
