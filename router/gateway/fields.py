"""Fields on their way through: what a gateway must remove, add and frame by itself. Pure.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names), 7.6.3 (Via), 6.5.1 (what no trailer may carry), 6.6.1
    (Date); RFC 9112 section 6 (framing is made anew, never copied).
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

from router.gateway.head import Head
from router.gateway.shape import ANEW, HOP_BY_HOP, Field, Shape, goes_on

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
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
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
CRLF: Final = b"\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
VIA = {version: f"\r\nVia: {version} pointsman\r\n".encode() for version in ("1.0", "1.1")}


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
    shape, more = head.shape, lines
    if shape.plain and not drops:
        passed = shape.lines(head.values)
    else:
        fields = head.shape.fields(head.values)
        passed = _lines(fields, ANEW | named(fields) | drops)
        peer = b", ".join([*(value for key, _, value in fields if key == b"x-forwarded-for"), peer])
        forwards = head.field(b"max-forwards")
        if forwards is not None:
            more = b"Max-Forwards: %b\r\n%b" % (fewer_forwards(head, forwards), lines)
    if expects:
        more = b"Expect: 100-continue\r\n" + more
    parts = [head.method, b" ", target, b" HTTP/1.1\r\nHost: ", head.host, CRLF, passed]
    parts += (b"X-Forwarded-For: ", peer, VIA[head.version], more)
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


def answer_fields(shape: Shape, values: tuple[bytes, ...]) -> tuple[bytes, bool]:
    """What of an answer's fields goes on, and whether a Date does."""
    for at in shape.connections:
        if values[at] not in USUAL:
            fields = shape.fields(values)
            stopped = HOP_BY_HOP | named(fields)
            return _lines(fields, stopped), shape.has_date and b"date" not in stopped
    return shape.lines(values), shape.has_date


def _lines(fields: list[Field], stopped: Set[bytes]) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name, value) for key, name, value in fields if goes_on(key, stopped))


def is_chunked(codings: list[bytes], version: str) -> bool:
    """Whether an answer's body comes in chunks, by its Transfer-Encoding fields.

    Raises:
        ValueError: it comes in a coding that we would have to undo.
    """
    if version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]:
        raise ValueError("expected no transfer coding but chunked")
    return True


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[Field]) -> bytes:
    """The end of a chunked body, with those trailers that may follow one."""
    kept = [b"%b: %b\r\n" % (name, value) for key, name, value in trailers if goes_on(key, NEVER_TRAILING)]
    return b"0\r\n%b\r\n" % b"".join(kept) if kept else LAST_CHUNK
