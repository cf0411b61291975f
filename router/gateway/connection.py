"""One connection to a model server, and the strict reading of its answers.

A connection goes back to its pool only when its answer is whole, the parser said so, and not one octet came behind it:
a surplus octet would be the beginning of another's answer.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

import httptools

from router.gateway.fields import is_chunked, named
from router.gateway.shape import ANSWER_SHAPES, SPACE, Shape, fields_of, trimmed

if TYPE_CHECKING:
    from router.gateway.receiver import Receiver
    from router.gateway.upstream import Upstream

FIELDS_MOST: Final = 256
OVERHEAD_LIMIT: Final = (
    65_536  # octets of a head, or between two pieces of a chunked body: sizes, extensions, trailers
)
INFORMATIONAL_MOST: Final = 16
NO_BODY = frozenset((204, 304))
SWITCHED: Final = 101
VERSIONS = ("1.1", "1.0")
USUAL: Final = b"HTTP/1.1 "
PROTOCOL: Final = b"HTTP/"
HEAD_END: Final = b"\r\n\r\n"
NO_CONTENT: Final = 204


class Connection:
    """One connection to a model server; serves one exchange at a time."""

    transport: Any

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.exchange: Receiver | None = None
        self.idle_since = 0  # ns
        self.used = False
        self._parser = httptools.HttpResponseParser(self)
        self._names: list[bytes] = []  # of the fields of a head, or of those behind its body
        self._values: list[bytes] = []
        self._overhead = 0
        self._in_head = False
        self._in_message = False
        self._usual = False  # the answer that begins says HTTP/1.1
        self._informational = 0
        self._until_close = False
        self._bodiless = False
        self._surplus = False
        self._reusable = False
        self._last = False  # the other side closes behind this answer
        self._paused = False

    def connection_made(self, transport: Any) -> None:
        """Connected."""
        self.transport = transport

    def pause(self) -> None:
        """Stop reading: the client is slower."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again; also before the connection is pooled, or it would stay deaf for ever."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def begin(self, exchange: Receiver) -> None:
        """Serve an exchange from here on."""
        self.exchange = exchange
        self._overhead = self._informational = 0
        self._until_close = False

    def data_received(self, data: bytes) -> None:
        """Octets of the answer, or octets that nobody asked for."""
        exchange = self.exchange
        if exchange is None:
            self._drop_surplus(len(data))
            return
        exchange.now_ns = perf_counter_ns()
        self._overhead += len(data)
        if not self._in_message:
            self._usual = data.startswith(USUAL)
        try:
            if not (self._usual or self._in_message or PROTOCOL.startswith(data.lstrip(HEAD_END)[:5])):
                raise httptools.HttpParserError("it is another protocol")  # the parser takes RTSP too
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            if self.exchange is not None:
                self._fail(f"the upstream's answer is not HTTP/1.1: {problem}")
            else:
                self._surplus = True
        if self._overhead > OVERHEAD_LIMIT and self.exchange is not None:
            what = "head is" if self._in_head else "chunk extensions or trailers are"
            self._fail(f"the upstream's {what} too long")
        if not exchange.ended:
            exchange.flush()
        elif self.exchange is None:
            self._surplus = self._surplus or (self._bodiless and not _ends_head(data))
            self._settle(exchange.now_ns)

    def _fail(self, why: str) -> None:
        exchange, self.exchange = self.exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.upstream_failed(why)

    def _drop_surplus(self, octets: int) -> None:
        self.upstream.counts.surplus_octets += octets
        self.upstream.forget(self)
        self.transport.abort()

    def _settle(self, now_ns: int) -> None:
        """The answer is whole: back into the pool, unless anything speaks against it."""
        if self._surplus:
            self.upstream.counts.surplus_octets += 1
            self.transport.abort()
        elif self._reusable:
            self.upstream.give(self, now_ns)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A message begins; when nobody waits for one it is surplus."""
        if self.exchange is None:
            self._surplus = True
        self._in_message = self._in_head = True
        self._names.clear()
        self._values.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or behind a chunked body."""
        self._names.append(name)
        self._values.append(trimmed(name, value) if value and value[-1] <= SPACE else value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        exchange = self.exchange
        if exchange is None:
            return
        if len(self._names) > FIELDS_MOST:
            raise ValueError("too many fields")
        shape, values = ANSWER_SHAPES[tuple(self._names)], tuple(self._values)
        if self._overhead > OVERHEAD_LIMIT and sum(map(len, self._names + self._values)) > OVERHEAD_LIMIT:
            raise ValueError("head too long")
        self._names.clear()  # what follows are trailers
        self._values.clear()
        status = self._parser.get_status_code()
        # What stands behind an informational answer in one read is not what the read began with.
        usual, self._usual = self._usual, False
        version = "1.1" if usual else self._parser.get_http_version()
        if not 200 <= status <= 599 or version not in VERSIONS:
            self._began_unusually(exchange, status, version, shape, values)
            return
        self.used = True
        self._overhead = 0
        bodiless = self._bodiless = exchange.head.method == b"HEAD" or status in NO_BODY
        chunked = shape.coded and is_chunked(shape.codings(values), version)
        length = None if chunked or shape.length_at < 0 else int(values[shape.length_at])
        self._until_close = length is None and not chunked and not bodiless
        # Beside keep-alive the parser does not heed it.
        self._last = version == "1.0" and b"close" in named(shape.fields(values))
        exchange.answer_head(status, shape, values, length, bodiless=bodiless)
        if bodiless:
            # llhttp knows neither that this answers HEAD nor that a 204 ends here: the rest would be read as a body.
            self._reusable = self._parser.should_keep_alive()
            if status == NO_CONTENT and (chunked or length):
                self._reusable = False  # RFC 9110 section 8.6 forbids both; who knows what follows
            self._parser = httptools.HttpResponseParser(self)
            self._in_message = False
            self._finish()

    def _began_unusually(
        self, exchange: Receiver, status: int, version: str, shape: Shape, values: tuple[bytes, ...]
    ) -> None:
        """A head that is not the one of the answer: informational, or nothing we know."""
        if not 100 <= status < 200 or status == SWITCHED or version not in VERSIONS:
            raise ValueError(f"status {status} of HTTP/{version}")
        if shape.coded or (shape.length_at >= 0 and int(values[shape.length_at])):
            # RFC 9110 section 8.6, RFC 9112 section 6.1: it has none, and the parser would read one.
            raise ValueError("an informational answer with a body")
        self._informational += 1
        if self._informational > INFORMATIONAL_MOST:
            raise ValueError("too many informational answers")
        exchange.informational(status, shape, values)

    def on_body(self, data: bytes) -> None:
        """Octets of the body."""
        self._overhead = 0
        if self.exchange is not None:
            self.exchange.answer_body(data)
        else:
            self._surplus = True

    def on_message_complete(self) -> None:
        """The answer is whole. Whether it may be kept alive is known only in here."""
        self._in_message = False
        if self.exchange is None or self._parser.get_status_code() < 200:
            return
        if len(self._names) > FIELDS_MOST:
            raise ValueError("too many trailers")
        self._reusable = self._parser.should_keep_alive() and not self._until_close
        self._finish()

    def _finish(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self._reusable = self._reusable and exchange.request_sent and not self._last
            exchange.answer_complete(fields_of(self._names, self._values) if self._names else ())

    def eof_received(self) -> bool:
        """The other side has said all it will say."""
        return False

    @property
    def answered_until_close(self) -> bool:
        """Whether the close is the answer's end."""
        return self._until_close and self._in_message

    def connection_lost(self, problem: Exception | None) -> None:
        """Closed: the end of an answer that has no other end, or a failure."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            self.upstream.forget(self)
            return
        exchange.now_ns = perf_counter_ns()
        if self.answered_until_close and problem is None:
            exchange.answer_complete(())
        else:
            exchange.upstream_lost(began=self._in_message or self._overhead > 0)

    def pause_writing(self) -> None:
        """The upstream reads slower than the client writes."""
        if self.exchange is not None:
            self.exchange.pause_request()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.exchange is not None:
            self.exchange.resume_request()


def _ends_head(data: bytes) -> bool:
    """Whether nothing stands behind a head that ended in these octets."""
    at = data.find(HEAD_END)
    return at + len(HEAD_END) == len(data) if at >= 0 else HEAD_END.endswith(data)
