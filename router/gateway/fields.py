"""Fields on their way through: what a gateway must remove, add and frame by itself. Pure.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names); RFC 9112 section 6 (framing is made anew, never copied).
"""

from __future__ import annotations

from router.gateway.head import Head

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"http2-settings",
    )
)
OWN = b"pointsman-"
OUTCOME_FIELD = b"pointsman-outcome"
# A client may name any field in Connection; these are what routing and framing stand on, and stay.
KEPT_THOUGH_NAMED = frozenset((b"host",))
CRLF = b"\r\n"


def named(connection: bytes | None) -> frozenset[bytes]:
    """The fields that a Connection field names."""
    if not connection:
        return frozenset()
    return frozenset(part.strip().lower() for part in connection.split(b",")) - KEPT_THOUGH_NAMED


def all_named(headers: list[tuple[bytes, bytes]], lower: dict[bytes, bytes]) -> frozenset[bytes]:
    """The same over all Connection fields of a head."""
    if b"connection" not in lower:
        return frozenset()
    return named(b",".join(value for name, value in headers if name.lower() == b"connection"))


def request_head(head: Head, target: bytes, peer: bytes) -> bytes:
    """The head as it goes to the upstream, framed by us."""
    drop = all_named(head.headers, head.lower)
    lines = [head.method + b" " + target + b" HTTP/1.1"]
    forwarded = b""
    has_host = False
    for name, value in head.headers:
        key = name.lower()
        if key in HOP_BY_HOP or key in drop or key == b"expect" or key.startswith(OWN):
            continue
        if key == b"x-forwarded-for":
            forwarded = forwarded + b", " + value if forwarded else value
            continue
        has_host = has_host or key == b"host"
        lines.append(name + b": " + value)
    if not has_host:
        lines.append(b"Host: " + head.host)
    lines.append(b"X-Forwarded-For: " + (forwarded + b", " + peer if forwarded else peer))
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.length is not None:
        lines.append(b"Content-Length: %d" % head.length)
    lines.append(CRLF)
    return CRLF.join(lines)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
