"""Fields on their way through: what a gateway must remove, add and frame by itself. Pure.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names), 7.6.3 (Via), 6.5.1 (what no trailer may carry), 6.6.1
    (Date); RFC 9112 section 6 (framing is made anew, never copied).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from router.gateway.head import Field, Head

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"http2-settings",
    )
)
OWN = b"pointsman"  # with a dash or, for servers that take it for one, an underscore
OUTCOME_FIELD = b"pointsman-outcome"
# Written by us in every request, from what the client's said.
ANEW = HOP_BY_HOP | {b"expect", b"host", b"x-forwarded-for", b"max-forwards"}
# A client may name any field in Connection; these are what routing and framing stand on, and stay.
KEPT_THOUGH_NAMED = frozenset((b"host",))
# What decides about a message before its body must not be changed behind it.
NEVER_TRAILING = ANEW | {
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expires",
    b"forwarded",
    b"location",
    b"pragma",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"trailer",
    b"vary",
    b"via",
    b"www-authenticate",
    b"x-forwarded-host",
    b"x-forwarded-proto",
}
USUAL = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close"))  # these name no other field
NAMES_MOST = 1024  # names of fields that are remembered
CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
VIA = {version: f"\r\nVia: {version} pointsman\r\n".encode() for version in ("1.0", "1.1")}


class Passing(dict[bytes, bool]):
    """Which fields go on, by lower-cased name: worked out once for each, for the same ones come again and again."""

    def __init__(self, stopped: Set[bytes]) -> None:
        super().__init__()
        self._stopped = stopped

    def __missing__(self, key: bytes) -> bool:
        goes = key not in self._stopped and not key.startswith(OWN)
        if len(self) < NAMES_MOST:
            self[key] = goes
        return goes


REQUEST_PASSES = Passing(ANEW)
ANSWER_PASSES = Passing(HOP_BY_HOP)


def named(headers: list[Field]) -> frozenset[bytes]:
    """The fields that the Connection fields of a head name."""
    parts = b",".join(value for key, _, value in headers if key == b"connection").split(b",")
    return frozenset(part.strip().lower() for part in parts) - KEPT_THOUGH_NAMED


def request_head(
    head: Head,
    target: bytes,
    peer: bytes,
    *,
    expects: bool = False,
    drops: frozenset[bytes] = frozenset(),
    lines: bytes = b"",
    length: int | None = None,
) -> bytes:
    """The head as it goes to the upstream, framed by us.

    Args:
        head: as the client sent it.
        target: for this upstream.
        peer: the client's address.
        expects: ask the upstream for its 100 before the body follows.
        drops: names of fields that the arm sets itself.
        lines: those fields, each with its line end.
        length: of a body that the arm has changed; None when it goes as it came.
    """
    lower = head.lower
    passes: Mapping[bytes, bool] = REQUEST_PASSES
    if drops or b"connection" in lower:
        passes = Passing(ANEW | named(head.headers) | drops)
    parts = [head.method, b" ", target, b" HTTP/1.1\r\nHost: ", head.host, CRLF]
    for key, name, value in head.headers:
        if passes[key]:
            parts += (name, b": ", value, CRLF)
    if b"x-forwarded-for" in lower:
        peer = b", ".join([*(value for key, _, value in head.headers if key == b"x-forwarded-for"), peer])
    parts += (b"X-Forwarded-For: ", peer, VIA[head.version])
    if expects:
        parts.append(b"Expect: 100-continue\r\n")
    if b"max-forwards" in lower:
        parts += (b"Max-Forwards: ", fewer_forwards(head, lower[b"max-forwards"]), CRLF)
    if lines:
        parts.append(lines)
    if length is not None:
        parts.append(b"Content-Length: %d\r\n\r\n" % length)
    elif head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n\r\n")
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n\r\n" % head.length)
    else:
        parts.append(CRLF)
    return b"".join(parts)


def fewer_forwards(head: Head, value: bytes) -> bytes:
    """Max-Forwards for the next hop; it means something to OPTIONS alone (section 7.6.2)."""
    if head.method == b"OPTIONS" and value.isdigit() and len(value) < 10:
        return b"%d" % max(0, int(value) - 1)
    return value


class AnswerFields:
    """An answer's fields, read in one go.

    Attributes:
        headers: all of them.
        lines: what goes on, in pieces.
        has_date: whether a Date does.
        length: of the body, as announced; None when it is not.
        codings: that the body comes in.
        reports: the outcomes that the answer reports.
    """

    __slots__ = ("codings", "has_date", "headers", "length", "lines", "reports")

    def __init__(self, headers: list[Field]) -> None:
        self.headers = headers
        self.lines: list[bytes] = []
        self.has_date = False
        self.length: int | None = None
        self.codings: list[bytes] = []
        self.reports: list[bytes] = []
        lines, named_too = self.lines, False
        for key, name, value in headers:
            if ANSWER_PASSES[key]:
                lines += (name, b": ", value, CRLF)
                if key == b"date":
                    self.has_date = True
            elif key == b"content-length":
                self.length = int(value)
            elif key == b"connection":
                named_too = named_too or value not in USUAL
            elif key == b"transfer-encoding":
                self.codings.append(value)
            elif key == OUTCOME_FIELD:
                self.reports.append(value)
        if named_too:
            passes = Passing(HOP_BY_HOP | named(headers))
            kept = [field for field in headers if passes[field[0]]]
            self.lines = [part for _, name, value in kept for part in (name, b": ", value, CRLF)]
            self.has_date = any(key == b"date" for key, _, _ in kept)

    def chunked(self, version: str) -> bool:
        """Whether the body of a final answer comes in chunks.

        Raises:
            ValueError: it comes in a coding that we would have to undo.
        """
        if not self.codings:
            return False
        if version == "1.0" or [coding.strip().lower() for coding in self.codings] != [b"chunked"]:
            raise ValueError("expected no transfer coding but chunked")
        return True


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[Field]) -> bytes:
    """The end of a chunked body, with those trailers that may follow one."""
    kept = [
        b"%b: %b\r\n" % (name, value)
        for key, name, value in trailers
        if key not in NEVER_TRAILING and not key.startswith(OWN)
    ]
    return b"0\r\n%b\r\n" % b"".join(kept) if kept else LAST_CHUNK
