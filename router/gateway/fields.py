"""Fields on their way through: what a gateway must remove, add and frame by itself. Pure.

Source:
    RFC 9110 section 7.6.1 (Connection and the fields it names); RFC 9112 section 6 (framing is made anew, never copied).
"""

from __future__ import annotations

from router.gateway.head import Field, Head

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
# Of a request these are never copied: hop by hop, or written anew.
NOT_COPIED = HOP_BY_HOP | {b"expect", b"x-forwarded-for"}


def named(headers: list[Field]) -> frozenset[bytes]:
    """The fields that the Connection fields of a head name."""
    parts = b",".join(value for key, _, value in headers if key == b"connection").split(b",")
    return frozenset(part.strip().lower() for part in parts) - KEPT_THOUGH_NAMED


def request_head(head: Head, target: bytes, peer: bytes) -> bytes:
    """The head as it goes to the upstream, framed by us."""
    lower = head.lower
    drop = NOT_COPIED | named(head.headers) if b"connection" in lower else NOT_COPIED
    parts = [head.method, b" ", target, b" HTTP/1.1\r\n"]
    for key, name, value in head.headers:
        if key not in drop and not key.startswith(OWN):
            parts += (name, b": ", value, CRLF)
    if b"host" not in lower:
        parts += (b"Host: ", head.host, CRLF)
    if b"x-forwarded-for" in lower:
        peer = b", ".join([*(value for key, _, value in head.headers if key == b"x-forwarded-for"), peer])
    parts += (b"X-Forwarded-For: ", peer, CRLF)
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n\r\n")
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n\r\n" % head.length)
    else:
        parts.append(CRLF)
    return b"".join(parts)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
