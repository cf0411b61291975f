"""Fields on their way through: what a gateway must remove, add and frame by itself. Pure.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names), 7.6.3 (Via), 6.5.1 (what no trailer may carry), 6.6.1
    (Date); RFC 9112 section 6 (framing is made anew, never copied).
"""

from __future__ import annotations

from collections.abc import Iterable

from router.gateway.head import Head

Fields = list[tuple[bytes, bytes]]
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
OWN = (b"pointsman-", b"pointsman_")  # some servers take an underscore for a dash
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
CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
VIA = {version: f"Via: {version} pointsman".encode() for version in ("1.0", "1.1")}


def named(connection: bytes | None) -> frozenset[bytes]:
    """The fields that a Connection field names."""
    if not connection:
        return frozenset()
    return frozenset(part.strip().lower() for part in connection.split(b",")) - KEPT_THOUGH_NAMED


def all_named(headers: Fields) -> frozenset[bytes]:
    """The same over all Connection fields of a head."""
    return named(b",".join(value for name, value in headers if name.lower() == b"connection"))


def request_head(head: Head, target: bytes, peer: bytes, *, expects: bool = False) -> bytes:
    """The head as it goes to the upstream, framed by us.

    Args:
        head: as the client sent it.
        target: for this upstream.
        peer: the client's address.
        expects: ask the upstream for its 100 before the body follows.
    """
    drop = all_named(head.headers) if b"connection" in head.lower else ()
    lines = [head.method + b" " + target + b" HTTP/1.1", b"Host: " + head.host]
    forwarded = b""
    for key, (name, value) in zip(head.keys, head.headers, strict=True):
        if key in drop:
            continue
        if key not in ANEW:
            if not key.startswith(OWN):
                lines.append(name + b": " + value)
        elif key == b"x-forwarded-for":
            forwarded = forwarded + b", " + value if forwarded else value
        elif key == b"max-forwards":
            lines.append(b"Max-Forwards: " + fewer_forwards(head, value))
    lines.append(b"X-Forwarded-For: " + (forwarded + b", " + peer if forwarded else peer))
    lines.append(VIA[head.version])
    if expects:
        lines.append(b"Expect: 100-continue")
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.length is not None:
        lines.append(b"Content-Length: %d" % head.length)
    lines.append(CRLF)
    return CRLF.join(lines)


def fewer_forwards(head: Head, value: bytes) -> bytes:
    """Max-Forwards for the next hop; it means something to OPTIONS alone (section 7.6.2)."""
    if head.method == b"OPTIONS" and value.isdigit() and len(value) < 10:
        return b"%d" % max(0, int(value) - 1)
    return value


def answer_fields(headers: Fields) -> tuple[list[bytes], list[bytes], bool]:
    """What of an answer's fields goes on: pieces of lines, reported outcomes, and whether there was a Date."""
    parts: list[bytes] = []
    reports: list[bytes] = []
    has_date = False
    drop: frozenset[bytes] = frozenset()
    keys = [name.lower() for name, _ in headers]
    if b"connection" in keys:
        drop = all_named(headers)
    for key, (name, value) in zip(keys, headers, strict=True):
        if key in HOP_BY_HOP or key in drop:
            continue
        if key.startswith(OWN):
            if key == OUTCOME_FIELD:
                reports.append(value)
            continue
        if key == b"date":
            has_date = True
        parts += (name, b": ", value, CRLF)
    return parts, reports, has_date


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body, with those trailers that may follow one."""
    kept = [
        b"%b: %b\r\n" % (name, value)
        for name, value in trailers
        if (key := name.lower()) not in NEVER_TRAILING and not key.startswith(OWN)
    ]
    return b"0\r\n%b\r\n" % b"".join(kept) if kept else LAST_CHUNK
