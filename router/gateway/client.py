"""One client connection: requests in, answers out, in order, one at a time.

Requests that the parser has found too early wait here, and nothing more is read until they are served. Back-pressure
goes both ways: a slow reader pauses its upstream, a slow upstream pauses its client. A client that takes its answer not
at all is cut off, and one that is still sending when it is answered is heard out for a moment, or the kernel would
throw the answer away with a reset.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from router.gateway.answers import CONTINUE, answer, failure
from router.gateway.exchange import Exchange
from router.gateway.head import Head, RefusedHeadError
from router.gateway.reading import Request, RequestReader

if TYPE_CHECKING:
    from router.gateway.plane import Plane

OWN_PATHS = frozenset((b"/livez", b"/readyz", b"/metrics"))
S: Final = 1_000_000_000  # ns
LINGER_NS: Final = 2_000_000_000
# Who has closed its sending side and is not answered by then has most likely gone.
LEFT_NS: Final = 500_000_000
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Client(RequestReader):
    """The client's side of the gateway."""

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane.limits)
        self.plane = plane
        self.gate = plane.gate
        self.loop = plane.loop
        self.counts = plane.counts
        self.turn = plane.turn
        self.peer = b"unknown"
        self.closing = False
        self.paused = False  # nothing is read from the client now, because what is behind it is slower
        self.now_ns = perf_counter_ns()  # when the client's turn of the loop began
        self.exchange: Exchange | None = None
        self._transport: Any = None
        self._queue: deque[Request] = deque()
        self._since = self.now_ns  # what the connection is in now began then
        self._full_since = 0  # the client has read nothing of what was written since then; 0 when it reads
        self._lingering = False
        self._encrypted = False

    def connection_made(self, transport: Any) -> None:
        """Connected."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.peer = str(peer[0]).encode()
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        if len(self.plane.clients) >= self.limits.connections:
            self._shed("connections")
            self.cut()
        self.plane.clients.add(self)

    def connection_lost(self, problem: Exception | None) -> None:
        """The client is gone."""
        self.plane.clients.discard(self)
        self.deaf = True
        if self.exchange is not None:
            self.exchange.client_left()
            self.exchange = None

    def eof_received(self) -> bool:
        """The client has said all it will say; what is whole is still answered, if that is soon."""
        if self._lingering:
            return False
        idle = self.exchange is None and not self._queue
        self.closing = True
        self._since = perf_counter_ns()
        if self.in_head or self.reading is not None:
            self.refused(RefusedHeadError(400, "cut_short", "the request ended before it was whole"))
        elif idle:
            return False
        return not self._encrypted  # TLS has no half-closed connections

    def data_received(self, data: bytes) -> None:
        """Octets of requests."""
        if self.deaf:
            return
        self.now_ns = now = perf_counter_ns()
        if self.reading is None and not self.in_head:
            self._since = now
        self.feed(data)
        if self.exchange is not None:
            self.exchange.flush()
        if self._queue or self.paused:
            self._pace()

    def began(self, request: Request) -> None:
        """Serve a request if nothing is before it."""
        if self.exchange is None and not self._queue and not self._full_since:
            self._serve(request)
        else:
            self._queue.append(request)

    def piece(self, request: Request, data: bytes) -> None:
        """Octets of a body: to the exchange, or kept with the request that waits."""
        exchange = self.exchange
        if exchange is not None and exchange.head is request:
            exchange.body(data)
        else:
            request.keep(data)

    def whole(self, request: Request) -> None:
        """A request is whole."""
        exchange = self.exchange
        if exchange is not None and exchange.head is request:
            exchange.body_complete(request.trailers)
            if exchange.ended:
                self._next_if_ended()

    def _serve(self, request: Request) -> None:
        """Begin an exchange; what of its body is already here goes with it."""
        self.counts.requests += 1
        if self._encrypted:
            request.encrypted = True
        local = self.gate.local(request) if request.path in OWN_PATHS else None
        if local is None and request.method == b"OPTIONS":
            local = _own_options(request)
        if local is not None:
            self._answer_locally(request, *local)
            return
        if self.turn.open_requests >= self.limits.requests:
            close = not request.keep_alive or not request.complete
            self._shed("requests", close=close, head_only=request.method == b"HEAD")
            if close:
                self.cut()
            return
        exchange = self.exchange = Exchange(self, request)
        exchange.start()
        if request.body is not None:
            for data in request.body:
                exchange.body(data)
        if request.complete and request.has_body:
            exchange.body_complete(request.trailers)

    def _shed(self, what: str, *, close: bool = True, head_only: bool = False) -> None:
        """One too many: say so at once, before anything is assigned or held."""
        self.counts.shed += 1
        extra, message = self.plane.date, f"this gateway serves as many {what} as it may; try again"
        self.write(failure(503, "overloaded", message, close=close, extra=extra, head_only=head_only))

    def _answer_locally(self, request: Request, status: int, content_type: bytes, body: bytes) -> None:
        close = not request.keep_alive or request.has_body
        bare, date = request.method == b"HEAD", self.plane.date
        self.write(answer(status, content_type, body, close=close, extra=date, head_only=bare))
        if close:
            self.cut()

    def exchange_ended(self, exchange: Exchange) -> None:
        """An answer has left; the next request's turn, or the end."""
        if self.exchange is not exchange:
            return
        if (
            not exchange.request_complete
            or not exchange.head.keep_alive
            or exchange.until_close
            or self.plane.leaving
            or (self.plane.draining and exchange.last)
            or (self.closing and not self._queue)
        ):
            self.cut()
        elif self._queue or self.reading is not None or self.paused:
            self._next_if_ended()
        else:
            self._since = exchange.now_ns
            self.exchange = None

    def _next_if_ended(self) -> None:
        """The next request's turn, once the exchange is over on both sides."""
        exchange = self.exchange
        if exchange is not None:
            if not exchange.ended or not exchange.request_complete:
                return
            if self.reading is exchange.head:
                return  # its last octets are still in the parser
            self._since = perf_counter_ns()
        if self._transport is None or self._transport.is_closing():
            return
        self.exchange = None
        self._serve_waiting()
        self._pace()

    def _serve_waiting(self) -> None:
        """In a loop: a pipeline of local answers must not recurse."""
        self.now_ns = perf_counter_ns()
        while self._queue and not self._full_since:
            request = self._queue.popleft()
            if request.refusal is not None:
                self._answer_refusal(request.refusal)
                return
            self._serve(request)
            served: Exchange | None = self.exchange
            if served is not None:
                if not (served.ended and served.request_complete):
                    break
                self.exchange = None
        if self.exchange is not None:
            self.exchange.flush()
        elif self.closing and not self._queue:
            self.cut()

    def refused(self, refusal: RefusedHeadError) -> None:
        """A request that breaks the rules: what came before it is answered first, then it, then the end."""
        self.deaf = True
        self.in_head = False
        self.counts.refused += 1
        current = self.exchange
        reading, self.reading = self.reading, None
        if current is not None and reading is not None and current.head is reading:
            current.client_left()  # its own body is what broke the rules
            self.exchange = None
            if current.answered:
                self.abort()
            else:
                self._answer_refusal(refusal)
        elif current is not None or self._queue:
            if reading is not None and reading in self._queue:
                self._queue.remove(reading)
            refused = Request()
            refused.refusal = refusal
            self._queue.append(refused)
            if current is None:
                self._next_if_ended()
        else:
            self._answer_refusal(refusal)

    def _answer_refusal(self, refusal: RefusedHeadError) -> None:
        extra, bare, code = self.plane.date, refusal.bare, refusal.code
        self.write(failure(refusal.status, code, refusal.message, close=True, extra=extra, head_only=bare))
        self.cut()

    def stays_open(self, exchange: Exchange) -> bool:
        """Whether a further request may follow this answer."""
        return (
            exchange.head.keep_alive
            and exchange.request_complete
            and not self.closing
            and not self.plane.draining
        )

    def say_continue(self) -> None:
        """The client may send the body it has announced."""
        self.write(CONTINUE)

    def write(self, data: bytes) -> None:
        """Octets for the client."""
        if self._transport is not None and not self._transport.is_closing():
            self.turn.write(self._transport, data)

    def cut(self) -> None:
        """Close once what was written has left; first hear out a client that may be sending still."""
        sending = self.in_head or self.reading is not None or self.deaf
        self.deaf = True
        self._queue.clear()
        self.turn.settle()
        if self._lingering or self._transport is None or self._transport.is_closing():
            return
        self._since = perf_counter_ns()
        if sending and not self._encrypted and not self.closing and self._transport.can_write_eof():
            self._lingering = True
            self._transport.write_eof()
            self.resume()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close with a reset: what was written is not the whole answer, and must not look like it."""
        self.deaf = True
        self._queue.clear()
        self.turn.settle()
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0 and raw.family != socket.AF_UNIX:
            with socket.socket(raw.family, raw.type, fileno=os.dup(raw.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def cut_short(self, *, framed: bool) -> None:
        """An answer ends before its end; one that only the close ends needs a reset to show it."""
        self.deaf = True
        self.turn.settle()
        if not framed:
            self.abort()
        elif self._transport is not None:
            self._since = perf_counter_ns()
            self._transport.close()

    def drain(self) -> None:
        """No further requests on this connection."""
        if self.exchange is None and not self.in_head:
            self.cut()

    def tick(self, now_ns: int) -> None:
        """Deadlines of this connection."""
        limits, lasted = self.limits, now_ns - self._since
        if self._full_since and now_ns - self._full_since > limits.idle_s * S:
            self.abort()  # it takes nothing of its answer
        elif self._lingering:
            if lasted > LINGER_NS:
                self._transport.abort()
        elif self.closing and self.exchange is not None and lasted > LEFT_NS:
            self.abort()
        elif self.exchange is not None:
            self.exchange.tick(client_full=bool(self._full_since))
        elif self.in_head:
            if lasted > limits.head_s * S:
                late = "the request's head did not arrive in time"
                self.refused(RefusedHeadError(408, "head_timeout", late))
        elif lasted > limits.idle_s * S:
            self.cut()

    def _pace(self) -> None:
        """Read no faster than requests are served and answers are taken."""
        if self._queue and not self.paused:
            self.pause()
        elif not self._queue and self.paused and self.exchange is None:
            self.resume()

    def pause(self) -> None:
        """Stop reading from the client."""
        if not self.paused and self._transport is not None and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again, unless requests wait."""
        if (
            self.paused
            and not self._queue
            and self._transport is not None
            and not self._transport.is_closing()
        ):
            self.paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client reads slower than it is answered."""
        self._full_since = perf_counter_ns()
        if self.exchange is not None:
            self.exchange.pause_answer()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full_since = 0
        if self.exchange is not None:
            self.exchange.resume_answer()
        elif self._queue:
            self._next_if_ended()


def _own_options(head: Head) -> tuple[int, bytes, bytes] | None:
    """OPTIONS that is meant for us: of the server itself, or at the end of its hops (RFC 9110 sections 9.3.7, 7.6.2)."""
    if head.path == b"*" or (head.field(b"max-forwards") or b"").strip() == b"0":
        return 200, b"text/plain", b""
    return None
