"""The reading half of a client's connection: octets to requests, within the limits, and every refusal on the way.

The parser may find several requests in one read; whoever answers them takes them in order. Trailers are kept apart
from the head: a field behind the body must never become one that routing has believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httptools

from router.gateway.head import NO_FIELDS, Head, RefusedHeadError, complete
from router.gateway.ports import Limits
from router.gateway.shape import REQUEST_SHAPES, Field, Shape, fields_of

USUAL: Final = b" HTTP/1.1\r"
OVERHEAD_LIMIT: Final = 65_536  # octets between two pieces of a chunked body: sizes, extensions, trailers


class Request(Head):
    """A request that the parser has begun: its head, and what of its body nobody has taken yet."""

    refusal: RefusedHeadError | None = None
    body: list[bytes] | None = None
    complete: bool = False

    def __init__(self, shape: Shape = NO_FIELDS, values: tuple[bytes, ...] = ()) -> None:
        super().__init__(shape, values)
        self.trailers: Sequence[Field] = ()

    def keep(self, data: bytes) -> None:
        """Keep octets of the body for when the request is served."""
        if self.body is None:
            self.body = []
        self.body.append(data)


class RequestReader:
    """Feeds the parser and holds what it finds to the limits; a subclass serves what is found."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.deaf = False  # nothing more is read from this client
        self.in_head = False
        self.reading: Request | None = None  # the request whose body the parser is in
        self._parser = httptools.HttpRequestParser(self)
        self._names: list[bytes] = []  # of the fields of a head, or of those behind its body
        self._values: list[bytes] = []
        self._target = b""
        self._first = b""  # what came first of a message, while its head is read
        self._last: Request | None = None
        self._fed = 0
        self._overhead = 0
        self._body_octets = 0

    def began(self, request: Request) -> None:
        """A head is whole and checked."""
        raise NotImplementedError

    def piece(self, request: Request, data: bytes) -> None:
        """Octets of the body of a request."""
        raise NotImplementedError

    def whole(self, request: Request) -> None:
        """A request is whole."""
        raise NotImplementedError

    def refused(self, refusal: RefusedHeadError) -> None:
        """A request breaks the rules; nothing behind it is read."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Octets from the client."""
        if self.reading is None:
            self._fed += len(data)
            self._first = b"" if self.in_head else data
        elif self.reading.chunked:
            self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._stopped(data, problem)
        if (self._fed > self.limits.head or self._overhead) and not self.deaf:
            self._check_overhead()

    def _check_overhead(self) -> None:
        """Octets that are neither a whole head nor body: there may be so many of them."""
        if self.reading is None and self._fed > self.limits.head + self.limits.target:
            self.refused(_too_long(self.limits))
        elif self._overhead > OVERHEAD_LIMIT:
            expected = "expected short chunk extensions and trailers"
            self.refused(RefusedHeadError(400, "chunk_overhead", expected))

    def _stopped(self, data: bytes, problem: Exception) -> None:
        """The parser went no further."""
        if isinstance(problem, httptools.HttpParserUpgrade):
            # The request is whole; what it would switch to is not spoken here, and the answer says so by HTTP/1.1.
            self._parser = httptools.HttpRequestParser(self)
            rest = data[problem.args[0] :]
            if rest and not self.deaf:
                self.feed(rest)
        elif isinstance(problem, httptools.HttpParserCallbackError):
            if not isinstance(problem.__context__, RefusedHeadError):
                raise problem
            self.refused(problem.__context__)
        elif not self.deaf:
            if self._last is not None and not self._last.keep_alive and not self.in_head:
                self.deaf = True  # octets behind a request that closes the connection are no request
            else:
                self.refused(RefusedHeadError(400, "not_http", f"expected HTTP/1.1: {problem}"))

    def on_message_begin(self) -> None:
        """A head begins."""
        self._target = b""
        self.in_head = True

    def on_url(self, data: bytes) -> None:
        """A part of the target."""
        self._target = self._target + data if self._target else data
        if len(self._target) > self.limits.target:
            raise RefusedHeadError(
                414, "target_too_long", f"expected a target of at most {self.limits.target} octets"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or behind a chunked body."""
        self._names.append(name)
        self._values.append(value)

    def on_headers_complete(self) -> None:
        """A head is whole: check it."""
        self.in_head = False
        limits, parser = self.limits, self._parser
        if len(self._names) > limits.fields:
            raise _too_many(limits)
        request = Request(REQUEST_SHAPES[tuple(self._names)], tuple(self._values))
        self._names.clear()  # what follows are trailers
        self._values.clear()
        if self._fed > limits.head and request.octets(self._target) > limits.head:
            raise _too_long(limits)
        first, self._first = self._first, b""
        usual = first[: first.find(b"\n")].endswith(
            USUAL
        )  # as the parser says, which makes a text of two numbers
        version = "1.1" if usual else parser.get_http_version()
        complete(request, self._target, parser.get_method(), version, limits.target, limits.body)
        request.keep_alive = parser.should_keep_alive()
        self._fed = self._overhead = self._body_octets = 0
        self.reading = self._last = request
        self.began(request)

    def on_body(self, data: bytes) -> None:
        """Octets of a body."""
        request = self.reading
        if request is None:
            return
        if request.chunked:  # any other has said how long it will be
            self._overhead = 0
            self._body_octets += len(data)
            if self._body_octets > self.limits.body:
                expected = f"expected a body of at most {self.limits.body} octets"
                raise RefusedHeadError(413, "body_too_long", expected)
        self.piece(request, data)

    def on_message_complete(self) -> None:
        """A request is whole."""
        request, self.reading = self.reading, None
        if request is not None:
            request.complete = True
            if self._names:
                request.trailers = fields_of(self._names, self._values)
                self._names.clear()
                self._values.clear()
                if len(request.trailers) > self.limits.fields:
                    raise _too_many(self.limits)
            self.whole(request)


def _too_many(limits: Limits) -> RefusedHeadError:
    return RefusedHeadError(431, "too_many_fields", f"expected at most {limits.fields} fields")


def _too_long(limits: Limits) -> RefusedHeadError:
    return RefusedHeadError(431, "head_too_long", f"expected a head of at most {limits.head} octets")
