"""The life of one request, top to bottom: route, connect, send, answer, record.

Callbacks only: on the path that finds a pooled connection no task, future or timer is made. What goes out in one turn
of the loop goes out in one write. Whatever happens, ``Gate.finished`` is called once for each ticket with an upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from router.gateway.answers import FAILURES, STATUS_LINES, failure
from router.gateway.fields import CHUNKED, CRLF, answer_fields, chunk, last_chunk, request_head
from router.gateway.head import Field, Head

if TYPE_CHECKING:
    from router.gateway.client import Client
    from router.gateway.connection import Connection

REPLAY_MOST = 65_536  # octets of a request body kept for one repetition on a fresh connection
CONTINUE_AFTER_S = 0.5  # for so long the upstream may say itself whether it wants the body
CONTINUE = 100


class Exchange:
    """One request on its way to an upstream and back."""

    __slots__ = (
        "_answer_chunked", "_asked_continue", "_begun", "_begun_ns", "_connection", "_deadline", "_dialing", "_fresh",
        "_held", "_held_octets", "_moved", "_moved_ns", "_out", "_replayable", "_send", "_status", "_total_deadline",
        "_trailers", "_wants_continue", "answered", "client", "ended", "head", "request_complete",
        "request_sent", "ticket", "until_close",
    )  # fmt: skip

    def __init__(self, client: Client, head: Head) -> None:
        self.client = client
        self.head = head
        self.ticket: Any = None
        self.ended = False
        self.answered = False  # the head of an answer has left
        self.request_complete = not head.has_body
        self.request_sent = False
        client.plane.open_requests += 1
        self._begun = self._moved = client.loop.time()
        self._begun_ns = self._moved_ns = perf_counter_ns()  # the loop's own clock has whole milliseconds
        self._deadline = self._total_deadline = 0.0
        self._connection: Connection | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._fresh = False
        self._held: list[bytes] = []
        self._held_octets = 0
        self._trailers: list[Field] = []
        self._replayable = True
        self._wants_continue = head.expects and head.has_body
        self._asked_continue = 0.0
        self._send: list[bytes] = []
        self._out: list[bytes] = []
        self._answer_chunked = self.until_close = False
        self._status = 0

    def start(self) -> None:
        """Ask the gate; hold the body first if it wants to see it."""
        self.ticket = self.client.gate.route(self.head, None)
        if not self.ticket.needs_body:
            self._decided()
        elif self.request_complete:
            self._route_again(b"")
        else:
            self._continue()

    def _route_again(self, body: bytes) -> None:
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
            self._connected(connection)

    def _continue(self) -> None:
        """Let the client send its body, if it waits for that."""
        if self._wants_continue:
            self._wants_continue = False
            self.client.say_continue()

    def body(self, data: bytes) -> None:
        """Octets of the request's body."""
        if self.ended:
            return
        self._wants_continue = False
        self._moved = self.client.loop.time()
        ticket = self.ticket
        if ticket.needs_body:
            self._held.append(data)
            self._held_octets += len(data)
            if self._held_octets > ticket.needs_body:
                self._route_again(b"")
            return
        self._hold(data)
        if self._connection is not None:
            self._send.append(chunk(data) if self.head.chunked else data)

    def _hold(self, data: bytes) -> None:
        """Keep a small body for one repetition, and any body until there is a connection."""
        if self._connection is not None and not self._replayable:
            return
        self._held.append(data)
        self._held_octets += len(data)
        if self._held_octets > REPLAY_MOST:
            self._replayable = False
            if self._connection is not None:
                self._held.clear()
            else:
                self.client.pause()

    def body_complete(self, trailers: list[Field]) -> None:
        """The request is whole."""
        self.request_complete = True
        if self.ended:
            return
        self._trailers = trailers
        if self.ticket.needs_body:
            self._route_again(b"".join(self._held))
        elif self._connection is not None and not self.request_sent:
            if self.head.chunked:
                self._send.append(last_chunk(trailers))
            self._sent()

    def _sent(self) -> None:
        """The upstream has the whole request; the clock of its first byte starts."""
        self.request_sent = True
        if not self.answered:
            self._deadline = self.client.loop.time() + self.ticket.first_byte_ms / 1000

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
        self._connected(connection)
        self.flush()

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        connection.begin(self)
        expects = self._wants_continue and not self._held
        if expects:
            self._asked_continue = self.client.loop.time()
        chunked = self.head.chunked
        self._send.append(request_head(self.head, self.ticket.target, self.client.peer, expects=expects))
        self._send += [chunk(data) for data in self._held] if chunked else self._held
        if self.request_complete:
            if chunked:
                self._send.append(last_chunk(self._trailers))
            self._sent()
        if not self._replayable:
            self._held.clear()
        self.client.resume()

    def flush(self) -> None:
        """Write what this turn has gathered: at most one write to each side."""
        if self._send and self._connection is not None:
            gathered, self._send = self._send, []
            self._connection.transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))
        if self._out:
            out, self._out = self._out, []
            self.client.write(out[0] if len(out) == 1 else b"".join(out))

    def informational(self, status: int, headers: list[Field]) -> None:
        """A 1xx answer before the answer: passed on, unless it is a 100 that the client does not wait for."""
        if status == CONTINUE:
            self._continue()
        elif self.head.version == "1.1":
            self._out.append(STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status)
            answer_fields(self._out, headers)
            self._out.append(CRLF)

    def answer_head(self, status: int, headers: list[Field], length: int | None, *, bodiless: bool) -> None:
        """The head of the upstream's answer, framed anew for the client."""
        self.answered = True
        self._held.clear()
        self._status = status
        self._deadline = 0.0
        self._moved = self.client.loop.time()
        self._moved_ns = perf_counter_ns()
        ticket = self.ticket
        ticket.first_byte_us = (self._moved_ns - self._begun_ns) // 1000
        out = self._out
        out.append(STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status)
        reports, has_date = answer_fields(out, headers)
        for value in reports:
            self.client.gate.reported(ticket, value)
        if not has_date:
            out.append(self.client.plane.date)
        out.append(ticket.answer_headers)
        close = not self.client.stays_open(self)
        if length is not None and status != 204:
            out.append(b"Content-Length: %d\r\n" % length)
        elif not bodiless:
            if self.head.version == "1.1":
                self._answer_chunked = True
                out.append(CHUNKED)
            else:
                self.until_close = close = True
        if close:
            out.append(b"Connection: close\r\n\r\n")
        elif self.head.version == "1.0":
            out.append(b"Connection: keep-alive\r\n\r\n")
        else:
            out.append(CRLF)

    def answer_body(self, data: bytes) -> None:
        """Octets of the answer's body."""
        self._moved = self.client.loop.time()
        ticket, now = self.ticket, perf_counter_ns()
        gap = (now - self._moved_ns) // 1000
        if gap > ticket.gap_us:
            ticket.gap_us = gap
        self._moved_ns = now
        ticket.answer_octets += len(data)
        self._out.append(chunk(data) if self._answer_chunked else data)

    def answer_complete(self, trailers: Iterable[Field]) -> None:
        """The answer is whole."""
        if self._answer_chunked:
            self._out.append(last_chunk(trailers))
        self._end("ok", self._status)

    def upstream_lost(self, *, began: bool) -> None:
        """The upstream closed before its answer was whole; ``began`` when octets of it had come."""
        connection, self._connection = self._connection, None
        repeat = not (began or self.answered or self._fresh) and self._replayable and self.request_complete
        if repeat and connection is not None and connection.used:
            # A kept-alive connection that its server had just closed: once more, on a fresh one, in the same arm.
            self.client.counts.retries += 1
            self._send.clear()
            self.request_sent = False
            self._dial()
            return
        self._fail("truncated")

    def upstream_failed(self, why: str) -> None:
        """The upstream's answer cannot be passed on."""
        self._connection = None
        self._fail("bad_answer")

    def pause_answer(self) -> None:
        """The client takes no more for now."""
        if self._connection is not None:
            self._connection.pause()

    def resume_answer(self) -> None:
        """It has caught up."""
        if self._connection is not None:
            self._connection.resume()

    def tick(self, now: float, *, client_full: bool) -> None:
        """Deadlines of this exchange, looked at some twenty times a second."""
        if self.ended or self.ticket is None:
            return
        idle = now - self._moved > self.client.limits.idle_s
        if self._asked_continue and now - self._asked_continue > CONTINUE_AFTER_S:
            self._asked_continue = 0.0
            self._continue()  # the upstream does not know of Expect
        late = (self._deadline and now > self._deadline) or (
            self._total_deadline and now > self._total_deadline
        )
        if late or (idle and self.answered and not client_full):
            self._time_out()
        elif idle and not self.request_complete and not self.answered:
            if self.client.paused and self._connection is not None:
                self._time_out()  # it is the upstream that takes nothing
            else:
                self._client_idle()

    def _time_out(self) -> None:
        self._drop_upstream()
        self._fail("timeout")

    def _client_idle(self) -> None:
        """The client has stopped in the middle of its request: no fault of the arm."""
        self._drop_upstream()
        self._reply(408, "body_timeout", "the request's body did not arrive in time")
        self._end("client_abort", 408)

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
        if self.answered:
            self.flush()
            self._end(outcome, self._status, tell_client=False)
            self.client.cut_short(framed=not self.until_close)
            return
        status, code, message = FAILURES[outcome]
        self._reply(status, code, message)
        self._end(outcome, status)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._reply(status, code, message)
        self._end("", status)

    def _reply(self, status: int, code: str, message: str) -> None:
        """An answer of ours instead of the upstream's."""
        close = not self.client.stays_open(self)
        extra = self.client.plane.date + self.ticket.answer_headers
        bare = self.head.method == b"HEAD"
        self._out.append(failure(status, code, message, close=close, extra=extra, head_only=bare))

    def _end(self, outcome: str, status: int, *, tell_client: bool = True) -> None:
        self.ended = True
        self.client.plane.open_requests -= 1
        self._connection = None
        self._held.clear()
        if outcome:
            latency_us = (perf_counter_ns() - self._begun_ns) // 1000
            self.client.gate.finished(self.ticket, status, outcome, latency_us)
        if tell_client:
            self.flush()
            self.client.exchange_ended(self)
