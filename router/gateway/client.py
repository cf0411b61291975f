"""One client connection: requests in, answers out, in order, one at a time.

The parser may find several requests in one read; they wait here, and nothing more is read until they are served.
Back-pressure goes both ways: a slow reader pauses its upstream, a slow upstream pauses its client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from router.gateway.answers import CONTINUE, answer, failure
from router.gateway.exchange import Exchange, of_upstream
from router.gateway.head import Field, Head, RefusedHeadError, complete

if TYPE_CHECKING:
    from router.gateway.plane import Plane

OVERHEAD_LIMIT = 65_536  # octets between two pieces of a chunked body: sizes, extensions, trailers
OWN_PATHS = frozenset((b"/livez", b"/readyz", b"/metrics"))


class Waiting:
    """A request that the parser has read and that is not served yet."""

    __slots__ = ("body", "complete", "head", "refusal")

    def __init__(self, head: Head, refusal: RefusedHeadError | None) -> None:
        self.head = head
        self.refusal = refusal
        self.body: list[bytes] = []
        self.complete = False


class Client(asyncio.Protocol):
    """The client's side of the gateway."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.gate = plane.gate
        self.limits = plane.limits
        self.loop = plane.loop
        self.counts = plane.counts
        self.peer = b"unknown"
        self.closing = False
        self.exchange: Exchange | None = None
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Waiting] = deque()
        self._reading: Waiting | None = None  # the request whose body the parser is in
        self._headers: list[Field] = []
        self._target = b""
        self._in_head = False
        self._fed = 0
        self._overhead = 0
        self._body_octets = 0
        self.since = self.loop.time()  # when the head began, or the connection fell idle
        self._paused = False
        self._deaf = False

    def connection_made(self, transport: Any) -> None:
        """Connected."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.peer = str(peer[0]).encode()
        self.plane.clients.add(self)

    def connection_lost(self, problem: Exception | None) -> None:
        """The client is gone."""
        self.plane.clients.discard(self)
        self._deaf = True
        if self.exchange is not None:
            self.exchange.client_left()
            self.exchange = None

    def eof_received(self) -> bool:
        """The client has said all it will say; what is whole is still answered."""
        if self._in_head or (self._reading is not None and not self._reading.complete):
            self._refused(RefusedHeadError(400, "cut_short", "the request ended before it was whole"))
        elif self.exchange is None and not self._queue:
            return False
        self.closing = True
        return True

    def data_received(self, data: bytes) -> None:
        """Octets of requests."""
        if self._deaf:
            return
        if self._reading is None:
            if not self._in_head:
                self.since = self.loop.time()
            self._fed += len(data)
        elif self._reading.head.chunked:
            self._overhead += len(data)
        self._feed(data)
        if self._fed > self.limits.head or self._overhead:
            self._check_overhead()
        if self.exchange is not None:
            self.exchange.flush()
        if self._queue or self._paused:
            self._pace()

    def _check_overhead(self) -> None:
        """Octets that are neither a whole head nor body: there may be so many of them."""
        if self._reading is None and self._fed > self.limits.head + self.limits.target:
            expected = f"expected a head of at most {self.limits.head} octets"
            self._refused(RefusedHeadError(431, "head_too_long", expected))
        elif self._overhead > OVERHEAD_LIMIT:
            expected = "expected short chunk extensions and trailers"
            self._refused(RefusedHeadError(400, "chunk_overhead", expected))

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The request itself is whole; the protocol it asks for is not spoken here and the answer says so by HTTP/1.1.
            self._parser = httptools.HttpRequestParser(self)
            rest = data[upgrade.args[0] :]
            if rest and not self._deaf:
                self._feed(rest)
        except httptools.HttpParserCallbackError as problem:
            cause = problem.__context__
            if not isinstance(cause, RefusedHeadError):
                raise
            self._refused(cause)
        except httptools.HttpParserError as problem:
            if not self._deaf and not self._ends_here():
                self._refused(RefusedHeadError(400, "not_http", f"expected HTTP/1.1: {problem}"))

    def _ends_here(self) -> bool:
        """Octets behind a request that closes the connection are no request: they are not read."""
        last = self._queue[-1] if self._queue else None
        head = last.head if last is not None else self.exchange.head if self.exchange is not None else None
        if head is not None and not head.keep_alive and not self._in_head:
            self._deaf = True
            return True
        return False

    def on_message_begin(self) -> None:
        """A head begins."""
        self._headers = []
        self._target = b""
        self._in_head = True

    def on_url(self, data: bytes) -> None:
        """A part of the target."""
        self._target += data
        if len(self._target) > self.limits.target:
            raise RefusedHeadError(
                414, "target_too_long", f"expected a target of at most {self.limits.target} octets"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer, which goes nowhere."""
        self._headers.append((name.lower(), name, value))

    def on_headers_complete(self) -> None:
        """A head is whole: check it, and serve it if nothing is before it."""
        self._in_head = False
        limits, parser, head = self.limits, self._parser, Head()
        head.headers, self._headers = self._headers, []
        if len(head.headers) > limits.fields:
            raise RefusedHeadError(431, "too_many_fields", f"expected at most {limits.fields} fields")
        if self._fed > limits.head and head.octets(self._target) > limits.head:
            raise RefusedHeadError(431, "head_too_long", f"expected a head of at most {limits.head} octets")
        complete(
            head, self._target, parser.get_method(), parser.get_http_version(), limits.target, limits.body
        )
        head.keep_alive = parser.should_keep_alive()
        self._fed = self._overhead = self._body_octets = 0
        self._reading = reading = Waiting(head, None)
        if self.exchange is None and not self._queue:
            self._serve(reading)
        else:
            self._queue.append(reading)

    def on_body(self, data: bytes) -> None:
        """Octets of a body: to the exchange, or kept with the request that waits."""
        self._overhead = 0
        self._body_octets += len(data)
        if self._body_octets > self.limits.body:
            raise RefusedHeadError(
                413, "body_too_long", f"expected a body of at most {self.limits.body} octets"
            )
        reading = self._reading
        if reading is None:
            return
        if self.exchange is not None and self.exchange.head is reading.head:
            self.exchange.body(data)
        else:
            reading.body.append(data)

    def on_message_complete(self) -> None:
        """A request is whole."""
        reading, self._reading = self._reading, None
        if reading is None:
            return
        reading.complete = True
        exchange = self.exchange
        if exchange is not None and exchange.head is reading.head:
            exchange.body_complete()
            if exchange.ended:
                self._next_if_ended()

    def _serve(self, waiting: Waiting) -> None:
        """Begin an exchange; what of its body is already here goes with it."""
        self.counts.requests += 1
        head = waiting.head
        if head.path in OWN_PATHS:
            local = self.gate.local(head)
            if local is not None:
                self._answer_locally(waiting, *local)
                return
        exchange = self.exchange = Exchange(self, head)
        if head.expects and not waiting.complete and not waiting.body:
            self.write(CONTINUE)
        exchange.start()
        for data in waiting.body:
            exchange.body(data)
        if waiting.complete and head.has_body:
            exchange.body_complete()

    def _answer_locally(self, waiting: Waiting, status: int, content_type: bytes, body: bytes) -> None:
        close = not waiting.head.keep_alive or waiting.head.has_body
        bare = waiting.head.method == b"HEAD"
        self.write(answer(status, content_type, body, close=close, head_only=bare))
        if close:
            self.cut()

    def exchange_ended(self, exchange: Exchange) -> None:
        """An answer has left; the next request's turn, or the end."""
        if self.exchange is not exchange:
            return
        if (
            not exchange.request_complete
            or not exchange.head.keep_alive
            or (self.closing and not self._queue)
        ):
            self.cut()
            return
        if self.plane.draining:
            self.cut()
            return
        self._next_if_ended()

    def _next_if_ended(self) -> None:
        """Serve what waits, in a loop: a pipeline of local refusals must not recurse."""
        exchange = self.exchange
        if (
            exchange is None
            or not exchange.ended
            or not exchange.request_complete
            or self._deaf_with_nothing()
        ):
            return
        if self._reading is not None and self._reading.head is exchange.head:
            return  # its last octets are still in the parser
        self.exchange = None
        self.since = self.loop.time()
        while self._queue and self.exchange is None:
            waiting = self._queue.popleft()
            if waiting.refusal is not None:
                self._answer_refusal(waiting.refusal)
                return
            self._serve(waiting)
            served: Exchange | None = self.exchange
            if served is not None and served.ended and served.request_complete:
                self.exchange = None
        if self.exchange is not None:
            self.exchange.flush()
        elif self.closing:
            self.cut()
        self._pace()

    def _deaf_with_nothing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _refused(self, refusal: RefusedHeadError) -> None:
        """A request that breaks the rules: what came before it is answered first, then it, then the end."""
        self._deaf = True
        self._in_head = False
        self.counts.refused += 1
        current = self.exchange
        reading, self._reading = self._reading, None
        if current is not None and reading is not None and current.head is reading.head:
            current.client_left()  # its own body is what broke the rules
            self.exchange = None
            self._answer_refusal(refusal)
        elif current is not None or self._queue:
            if reading is not None and reading in self._queue:
                self._queue.remove(reading)
            self._queue.append(Waiting(Head(), refusal))
            if current is None:
                self._next_if_ended()
        else:
            self._answer_refusal(refusal)

    def _answer_refusal(self, refusal: RefusedHeadError) -> None:
        self.write(failure(refusal.status, refusal.code, refusal.message, close=True))
        self.cut()

    def stays_open(self, exchange: Exchange) -> bool:
        """Whether a further request may follow this answer."""
        return (
            exchange.head.keep_alive
            and exchange.request_complete
            and not self.closing
            and not self.plane.draining
        )

    def write(self, data: bytes) -> None:
        """Octets for the client."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def cut(self) -> None:
        """Close once what was written has left."""
        self._deaf = True
        self._queue.clear()
        if self._transport is not None:
            self._transport.close()

    def drain(self) -> None:
        """No further requests on this connection."""
        if self.exchange is None and not self._in_head:
            self.cut()

    def tick(self, now: float) -> None:
        """Deadlines of this connection."""
        exchange = self.exchange
        if exchange is not None:
            exchange.expired(now)
        elif self._in_head:
            if now - self.since > self.limits.head_s:
                self._refused(
                    RefusedHeadError(408, "head_timeout", "the request's head did not arrive in time")
                )
        elif now - self.since > self.limits.idle_s:
            self.cut()

    def _pace(self) -> None:
        """Read no faster than requests are served."""
        if self._queue and not self._paused:
            self.pause()
        elif not self._queue and self._paused and self.exchange is None:
            self.resume()

    def pause(self) -> None:
        """Stop reading from the client."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again, unless requests wait."""
        if (
            self._paused
            and not self._queue
            and self._transport is not None
            and not self._transport.is_closing()
        ):
            self._paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client reads slower than the upstream writes."""
        connection = of_upstream(self.exchange) if self.exchange is not None else None
        if connection is not None:
            connection.pause()

    def resume_writing(self) -> None:
        """It has caught up."""
        connection = of_upstream(self.exchange) if self.exchange is not None else None
        if connection is not None:
            connection.resume()
