"""The reading half of a client's connection: octets to requests, within the limits, and every refusal on the way.

The parser may find several requests in one read; whoever answers them takes them in order. Trailers are kept apart
from the head: a field behind the body must never become one that routing has believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import httptools

from router.gateway.head import NO_FIELDS, Head, RefusedHeadError, complete
from router.gateway.ports import Limits
from router.gateway.shape import REQUEST_SHAPES, SPACE, Field, Shape, fields_of, trimmed

SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:;[^\n]*)?\r\n")
SIZE_LINE: Final = 256  # octets: the size of a chunk is shorter, unless it is filled up with zeros
USUAL: Final = b" HTTP/1.1\r"
LINE_MORE: Final = 64  # octets of a request line beside its target
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
        self._read = b""  # the octets that the parser is in, behind those of a head that began before
        self._begun = b""  # the last octets of a head that has begun, as many as a request line may have
        self._last: Request | None = None
        self._upgrade: Request | None = None  # its body comes behind what the parser takes for its end
        self._fed = 0
        self._size = 0  # of what the parser is in
        self._fed_most = 0  # octets in which the head that is read stands, or the one that comes next
        self._chunk = -1  # octets of the chunk that began in this read, while it is read; -1 without one
        self._line = b""  # of a chunk's size, what came with the read before
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
        self._read = self._begun + data if self._begun else data  # compiled, adding nothing is a copy too
        self._size = len(data)
        self._fed_most += self._size
        self._chunk = -1
        if self.reading is None:
            self._fed += len(data)
            self._first = b"" if self.in_head else data
        elif self.reading.chunked:
            self._overhead += len(data)
        rest: bytes | memoryview = data
        while rest and not self.deaf:
            try:
                self._parser.feed_data(rest)
                break
            except httptools.HttpParserUpgrade as switch:
                rest = memoryview(rest)[switch.args[0] :]
                self._stay()
            except httptools.HttpParserError as problem:
                self._stopped(problem)
                break
        self._begun = self._read[-self.limits.target - LINE_MORE :] if self.in_head else b""
        self._read = b""
        if self.reading is not None and self.reading.chunked and not self.deaf:
            self._check_chunk(data)
        if (self._fed > self.limits.head or self._overhead) and not self.deaf:
            self._check_overhead()

    def _stay(self) -> None:
        """The parser takes a request that would upgrade for the last one of HTTP/1.1, and its body for what follows.

        What it would switch to is not spoken here. Another parser goes on, and is told how a body is framed.
        """
        request, last = self._upgrade, self._last
        if self.deaf or last is None or (request is None and not last.keep_alive):
            self.deaf = True
            return
        self._parser = httptools.HttpRequestParser(self)
        if request is not None:
            length = b"Content-Length: %d\r\n" % (request.length or 0)
            framing = b"Transfer-Encoding: chunked\r\n" if request.chunked else length
            close = b"" if request.keep_alive else b"Connection: close\r\n"
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b%b\r\n" % (framing, close))

    def _check_chunk(self, data: bytes) -> None:
        """A chunk longer than a body may be is refused when it says so, as a length is."""
        if self._chunk >= 0:
            end = len(data) - self._chunk
            begin = data.rfind(b"\n", 0, end - 1) + 1
            size = SIZE.match(data[begin:end] if begin else self._line + data[:end])
            if size is not None and int(size[1], 16) > self.limits.body:
                self.refused(_body_too_long(self.limits))
        begin = data.rfind(b"\n") + 1
        line = data[begin : begin + SIZE_LINE]
        self._line = line if begin else (self._line + line)[:SIZE_LINE]

    def _check_overhead(self) -> None:
        """Octets that are neither a whole head nor body: there may be so many of them."""
        if self.reading is None and self._fed > self.limits.head + self.limits.target:
            self.refused(_too_long(self.limits))
        elif self._overhead > OVERHEAD_LIMIT:
            expected = "expected short chunk extensions and trailers"
            self.refused(RefusedHeadError(400, "chunk_overhead", expected))

    def _stopped(self, problem: Exception) -> None:
        """The parser went no further."""
        if isinstance(problem, httptools.HttpParserCallbackError):
            refusal = problem.__context__
            if not isinstance(refusal, RefusedHeadError):
                raise problem
            refusal.bare = self._parser.get_method() == b"HEAD"
            self.refused(refusal)
        elif not self.deaf:
            between = not self.in_head and self.reading is None
            if between and self._last is not None and not self._last.keep_alive:
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
        self._values.append(trimmed(name, value) if value and value[-1] <= SPACE else value)

    def on_headers_complete(self) -> None:
        """A head is whole: check it."""
        self.in_head = False
        request, self._upgrade = self._upgrade, None
        if request is None:
            request = self._checked()
            if request.has_body and request.shape.wishes and self._parser.should_upgrade():
                self._upgrade = request
                return
        else:
            self._names.clear()
            self._values.clear()
        self._fed = self._overhead = self._body_octets = 0
        self.reading = request
        self.began(request)

    def _checked(self) -> Request:
        """The request whose head has just been read."""
        limits, parser = self.limits, self._parser
        if len(self._names) > limits.fields:
            raise _too_many(limits)
        request = Request(REQUEST_SHAPES[tuple(self._names)], tuple(self._values))
        self._names.clear()  # what follows are trailers
        self._values.clear()
        if self._fed_most > limits.head and request.octets(self._target) > limits.head:
            raise _too_long(limits)
        self._fed_most = self._size
        first, self._first = self._first, b""
        usual = first[: first.find(b"\n")].endswith(USUAL)
        version = "1.1" if usual else self._version()
        complete(request, self._target, parser.get_method(), version, limits.target, limits.body)
        request.keep_alive = parser.should_keep_alive()
        if version == "1.0" and b"close" in request.options():
            request.keep_alive = False  # beside keep-alive, which the parser heeds
        self._last = request
        return request

    def _version(self) -> str:
        """As the parser says, which makes a text of two numbers, and takes RTSP and ICE for HTTP."""
        line = self._parser.get_method() + b" " + self._target
        if line + b" RTSP/" in self._read or line + b" ICE/" in self._read:
            raise RefusedHeadError(400, "not_http", "expected HTTP/1.1")
        version: str = self._parser.get_http_version()
        return version

    def on_body(self, data: bytes) -> None:
        """Octets of a body."""
        request = self.reading
        if request is None:
            return
        if request.chunked:  # any other has said how long it will be
            self._overhead = 0
            self._body_octets += len(data)
            if self._chunk >= 0:
                self._chunk += len(data)
            if self._body_octets > self.limits.body:
                raise _body_too_long(self.limits)
        self.piece(request, data)

    def on_chunk_header(self) -> None:
        """A chunk's size and extensions are read."""
        self._chunk = 0

    def on_chunk_complete(self) -> None:
        """A chunk is whole."""
        self._chunk = -1

    def on_message_complete(self) -> None:
        """A request is whole."""
        request = self.reading
        if request is None:
            return
        if self._names:
            if len(self._names) > self.limits.fields:
                raise _too_many(self.limits)
            request.trailers = fields_of(self._names, self._values)
            self._names.clear()
            self._values.clear()
        self.reading = None
        request.complete = True
        self.whole(request)


def _too_many(limits: Limits) -> RefusedHeadError:
    return RefusedHeadError(431, "too_many_fields", f"expected at most {limits.fields} fields")


def _body_too_long(limits: Limits) -> RefusedHeadError:
    return RefusedHeadError(413, "body_too_long", f"expected a body of at most {limits.body} octets")


def _too_long(limits: Limits) -> RefusedHeadError:
    return RefusedHeadError(431, "head_too_long", f"expected a head of at most {limits.head} octets")
