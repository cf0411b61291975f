"""The life of one request, from its head to its record; here its second half, the answer and every way to end.

Callbacks only: on the path that finds a pooled connection no task, future or timer is made. What goes out in one turn
of the loop goes out in one write. Whatever happens, ``Gate.finished`` is called once for each ticket with an upstream.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from router.gateway.answers import FAILURES, PLAIN, STATUS_LINES, answer, failure
from router.gateway.fields import CHUNKED, CRLF, answer_fields, chunk, last_chunk
from router.gateway.sending import Sending
from router.gateway.shape import ANSWER_SHAPES, Field, Shape

if TYPE_CHECKING:
    from router.gateway.answer_reader import AnswerReader

CONTINUE_AFTER_NS: Final = 500_000_000  # for so long the upstream may say itself whether it wants the body
CONTINUE: Final = 100
NEVER_SENT: Final = frozenset(("connect_failed", "circuit_open", "no_room"))


class Exchange(Sending):
    """One request on its way to an upstream and back."""

    def flush(self) -> None:
        """Write what this turn has gathered: at most one write to each side."""
        out, send = self._out, self._send
        if out:
            self._out = []
            self.client.write(b"".join(out))
        if send and self._connection is not None:
            self._send = []
            self.client.turn.write(self._connection.transport, b"".join(send))

    def informational(self, status: int, shape: Shape, values: tuple[bytes, ...]) -> None:
        """A 1xx answer before the answer: passed on, unless it is a 100 that the client does not wait for."""
        if status == CONTINUE:
            self._continue()
        elif self.head.version == "1.1":
            self._out.append(STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status)
            self._out += (answer_fields(shape, values)[0], CRLF)

    def answer_head(
        self, status: int, shape: Shape, values: tuple[bytes, ...], length: int | None, *, bodiless: bool
    ) -> None:
        """The head of the upstream's answer, framed anew for the client."""
        ticket, client = self.ticket, self.client
        can_fall_back = status >= 500 and self._replayable and self.request_complete
        if can_fall_back and client.gate.instead(ticket, self.head, str(status)):
            self.drop_upstream()
            self.once_more()
            return
        self.answered = True
        self._status = status
        self._deadline = 0
        self._moved_ns = self.now_ns
        ticket.first_byte_us = (self.now_ns - self._begun_ns) // 1000
        if ticket.reader is not None and not bodiless:
            shape, values, length = self._observe(ticket.reader, status, shape, values, length)
        self._held.clear()
        out = self._out
        out.append(STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status)
        lines, has_date = answer_fields(shape, values)
        out.append(lines)
        for at in shape.reports:
            client.gate.reported(ticket, values[at])
        if not has_date:
            out.append(client.plane.date)
        out.append(ticket.answer_headers)
        self._frame(length if status != 204 else None, framed=length is not None or bodiless)

    def _observe(
        self, reader: AnswerReader, status: int, shape: Shape, values: tuple[bytes, ...], length: int | None
    ) -> tuple[Shape, tuple[bytes, ...], int | None]:
        """Begin to read an answer, as its route wants; its head and length as they go on."""
        fields = shape.fields(values)
        observer = self._observer = self.ticket.observed = reader.begin(self, status, fields)
        framed, length = observer.framed(fields, length)
        if framed is not fields:
            shape, values = ANSWER_SHAPES.split(framed)
        return shape, values, length

    def _frame(self, length: int | None, *, framed: bool) -> None:
        """The fields that are ours: how the body ends, and whether the connection stays."""
        out = self._out
        close = self.last = not self.client.stays_open(self)
        if length is not None:
            out.append(b"Content-Length: %d\r\n" % length)
        elif not framed:
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
        ticket, now = self.ticket, self.now_ns
        if now != self._moved_ns:
            ticket.gap_us = max(ticket.gap_us, (now - self._moved_ns) // 1000)
            self._moved_ns = now
        ticket.answer_octets += len(data)
        if self._observer is not None:
            data = self._observer.feed(data)
            if not data:
                return
        self._out.append(chunk(data) if self._answer_chunked else data)

    def answer_complete(self, trailers: Iterable[Field]) -> None:
        """The answer is whole."""
        outcome, observer = "ok", self._observer
        if observer is not None:
            if rest := observer.end():
                self._out.append(chunk(rest) if self._answer_chunked else rest)
            if observer.failed and self._status < 400:
                outcome = "stream_error"
            for copy in observer.copies:
                self.client.loop.call_soon(copy.start)
        if self._answer_chunked:
            self._out.append(last_chunk(trailers))
        self._end(outcome, self._status, self.now_ns)

    def upstream_lost(self, *, began: bool) -> None:
        """The upstream closed before its answer was whole; ``began`` when octets of it had come."""
        connection, self._connection = self._connection, None
        stale = connection is not None and connection.used and not (began or self.answered or self._fresh)
        if stale and self._replayable:
            # A kept-alive connection that its server had just closed: once more, on a fresh one, in the same arm; what
            # of the body is still to come goes there.
            self._fresh = True
            self.once_more()
            return
        self._replayable = (
            self._replayable and not began
        )  # its octets may have been the beginning of an effect
        self.fail("truncated")

    def upstream_failed(self, why: str) -> None:
        """The upstream's answer cannot be passed on."""
        self._connection = None
        self.fail("bad_answer")

    def pause_request(self) -> None:
        """The upstream reads slower than the client writes."""
        self.client.pause()

    def resume_request(self) -> None:
        """It has caught up."""
        self.client.resume()

    def pause_answer(self) -> None:
        """The client takes no more for now."""
        if self._connection is not None:
            self._connection.pause()

    def resume_answer(self) -> None:
        """It has caught up."""
        if self._connection is not None:
            self._connection.resume()

    def tick(self, *, client_full: bool) -> None:
        """Deadlines of this exchange, looked at some twenty times a second."""
        if self.ended:
            return
        now = perf_counter_ns()
        idle = now - self._moved_ns > self.client.limits.idle_s * 1e9
        if self._asked_continue and now - self._asked_continue > CONTINUE_AFTER_NS:
            self._asked_continue = 0
            self._continue()  # the upstream does not know of Expect
        late = (self._deadline and now > self._deadline) or (
            self._total_deadline and now > self._total_deadline
        )
        owed = not self.request_complete and not self.answered
        if owed and (late or idle) and not (self.client.paused and self._connection is not None):
            self._client_idle()
        elif late or (idle and (owed or (self.answered and not client_full))):
            self._time_out()  # it is the upstream that takes or gives nothing

    def _time_out(self) -> None:
        self.drop_upstream()
        self.fail("timeout")
        self.flush()

    def _client_idle(self) -> None:
        """The client has stopped in the middle of its request, or takes too long with it: no fault of the arm."""
        self.drop_upstream()
        self._reply(408, "body_timeout", "the request's body did not arrive in time")
        self._end("client_abort", 408)

    def client_left(self) -> None:
        """The client is gone: the upstream's work is cancelled."""
        if self.ended:
            return
        self.drop_upstream()
        self._end("client_abort", self._status, tell_client=False)

    def fail(self, outcome: str) -> None:
        """No answer: another attempt, an answer of ours, or, when the head has left, a cut one."""
        if self.ended:
            return
        total = not self._total_deadline or perf_counter_ns() < self._total_deadline
        # What never reached a server is all here still, however long it is and whether or not more of it is to come.
        here = outcome in NEVER_SENT or (self._replayable and self.request_complete)
        replayable = here and not self.answered and total
        if self.client.gate.again(self.ticket, self.head, outcome, replayable=replayable):
            self._fresh = False
            self.once_more()
            return
        if self.answered:
            self.flush()
            self._end(outcome, self._status, tell_client=False)
            self.client.cut_short(framed=not self.until_close)
            return
        status, code, message = FAILURES[outcome]
        self._reply(status, code, message)
        self._end(outcome, status)

    def refuse(self, status: int, code: str, message: str) -> None:
        """The gate does not pass this request on."""
        self._reply(status, code, message)
        self._end("", status)

    def reply(self, lines: bytes, body: bytes) -> None:
        """The gate answers by itself."""
        close = self.last = not self.client.stays_open(self)
        extra = self.client.plane.date + lines
        bare = self.head.method == b"HEAD"
        self._out.append(answer(200, b"application/json", body, close=close, extra=extra, head_only=bare))
        self._end("", 200)

    def _reply(self, status: int, code: str, message: str) -> None:
        """An answer of ours instead of the upstream's, in the shape that the client's protocol knows."""
        close = self.last = not self.client.stays_open(self)
        reader = self.ticket.reader
        shape = PLAIN if reader is None else reader.protocol.error
        extra = self.client.plane.date + self.ticket.answer_headers
        bare = self.head.method == b"HEAD"
        self._out.append(
            failure(status, code, message, close=close, extra=extra, head_only=bare, shape=shape)
        )

    def _end(self, outcome: str, status: int, now_ns: int = 0, *, tell_client: bool = True) -> None:
        """Over; at the beginning of this turn, or now."""
        client = self.client
        self.ended = True
        client.turn.open_requests -= 1
        self._connection = None
        self._held.clear()
        if outcome:
            latency_us = ((now_ns or perf_counter_ns()) - self._begun_ns) // 1000
            client.gate.finished(self.ticket, status, outcome, latency_us)
        if tell_client:
            self.flush()
            client.exchange_ended(self)
