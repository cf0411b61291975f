"""The head of a request: what it says, and every check that the parser does not make.

llhttp alone refuses too little for a gateway. The checks it lacks stand in ``check``, one after the other, each with
the rule it holds; whatever conflicts is refused, never repaired.
"""

from __future__ import annotations

import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 7.2 with RFC 3986 section 3.2.2: a name, an IPv4 address or a bracketed IPv6 one, then a port.
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
TARGET = re.compile(rb"[\x21-\x7e]+")
ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
LENGTH = re.compile(rb"[0-9]{1,19}")
# RFC 3986 section 3.3; servers decode before they resolve, so the encoded dots count too.
DOT_SEGMENT = re.compile(rb"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
UPGRADES = frozenset((b"websocket",))  # a client that asks for these cannot go on with HTTP/1.1
METHOD_LIMIT = 32


class RefusedHeadError(Exception):
    """A head that is not passed on: the status of the answer, a short code, and why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Head:
    """The head of one request.

    Attributes:
        target: as it is forwarded, in origin form (or ``*``).
        headers: fields in their order and spelling.
        keys: their names in lower case, in the same order.
        lower: the first value of each field by lower-cased name.
        length: the announced length; None when none is.
    """

    __slots__ = (
        "chunked",
        "expects",
        "headers",
        "host",
        "keep_alive",
        "keys",
        "length",
        "lower",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.path = b""
        self.query = b""
        self.host = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.keys: list[bytes] = []
        self.lower: dict[bytes, bytes] = {}
        self.version = "1.1"
        self.keep_alive = True
        self.length: int | None = None
        self.chunked = False
        self.expects = False

    @property
    def has_body(self) -> bool:
        """Whether octets follow the head."""
        return self.chunked or bool(self.length)


def complete(
    head: Head, target: bytes, method: bytes, version: str, target_limit: int, body_limit: int
) -> None:
    """Fill in a head and check it.

    Raises:
        RefusedHeadError: it breaks a rule that the parser does not hold.
    """
    head.method, head.version = method, version
    if version not in ("1.1", "1.0"):
        raise RefusedHeadError(505, "version", "expected HTTP/1.1 or HTTP/1.0")
    if len(target) > target_limit:
        raise RefusedHeadError(414, "target_too_long", f"expected a target of at most {target_limit} octets")
    if len(method) > METHOD_LIMIT:
        raise RefusedHeadError(501, "method", f"expected a method of at most {METHOD_LIMIT} octets")
    lower: dict[bytes, bytes] = {}
    keys = head.keys = [name.lower() for name, _ in head.headers]
    for key, (_, value) in zip(keys, head.headers, strict=True):
        if key in lower:
            _repeated(key)
        else:
            lower[key] = value
    head.lower = lower
    _host(head, lower)
    _target(head, target)
    _framing(head, lower, body_limit)
    if version == "1.1":
        if b"expect" in lower:
            if lower[b"expect"].lower() != b"100-continue":
                raise RefusedHeadError(417, "expectation", "expected 'Expect: 100-continue' or none")
            head.expects = True
        if b"upgrade" in lower:
            _upgrade(lower)


# Fields that may stand once only: two of them are two readings of one message.
ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))


def _repeated(key: bytes) -> None:
    if key in ONCE:
        raise RefusedHeadError(400, "repeated_field", f"expected {key.decode()} once")


def _upgrade(lower: dict[bytes, bytes]) -> None:
    """RFC 9110 section 7.8: an upgrade may be ignored, and is, unless the client can do nothing else."""
    asked = {part.strip().lower() for part in lower[b"upgrade"].split(b",")}
    if asked & UPGRADES and b"upgrade" in lower.get(b"connection", b"").lower():
        raise RefusedHeadError(
            501,
            "upgrade",
            "this gateway speaks HTTP/1.1 only; let nginx or Envoy end the WebSocket in front of it",
        )


def _host(head: Head, lower: dict[bytes, bytes]) -> None:
    """RFC 9112 section 3.2: a missing, repeated or invalid Host is answered 400."""
    host = lower.get(b"host")
    if host is None:
        if head.version == "1.1":
            raise RefusedHeadError(400, "host", "expected a Host field")
        return
    if HOST.fullmatch(host) is None:
        raise RefusedHeadError(400, "host", "expected a host name or address, and a port at most")
    head.host = host


def _target(head: Head, target: bytes) -> None:
    """RFC 9112 section 3.2: origin form, absolute form, or ``*`` for OPTIONS; never a tunnel."""
    if TARGET.fullmatch(target) is None or b"#" in target:
        raise RefusedHeadError(400, "target", "expected a target of visible ASCII without fragment")
    if head.method == b"TRACE":
        raise RefusedHeadError(
            501, "method", "TRACE would show the client what others wrote into its request"
        )
    if target[0] != 0x2F:
        if target == b"*" and head.method == b"OPTIONS":
            head.target = head.path = target
            return
        absolute = ABSOLUTE.fullmatch(target)
        if absolute is None or head.method == b"CONNECT":
            raise RefusedHeadError(400, "target", "expected a target that begins with '/'")
        authority, rest = absolute[1], absolute[2]
        if not authority or HOST.fullmatch(authority) is None:
            raise RefusedHeadError(400, "target", "expected a host in the absolute target")
        # Section 3.2.2: the target's authority replaces the Host field.
        head.host = authority
        head.headers = [
            (name, authority if name.lower() == b"host" else value) for name, value in head.headers
        ]
        if not rest and head.method == b"OPTIONS":
            head.target = head.path = b"*"  # section 3.2.4
            return
        target = rest if rest[:1] == b"/" else b"/" + rest
    elif head.method == b"CONNECT":
        raise RefusedHeadError(400, "target", "this gateway opens no tunnels")
    head.target = target
    head.path, _, head.query = target.partition(b"?")
    # A rule by path must judge the path that the upstream will see.
    if (b"/." in head.path or b"/%" in head.path) and DOT_SEGMENT.search(head.path) is not None:
        raise RefusedHeadError(400, "dot_segments", "expected a path without '.' and '..' segments")


def _framing(head: Head, lower: dict[bytes, bytes], body_limit: int) -> None:
    """RFC 9112 section 6.1: one framing. Both, or a coding other than chunked, is refused."""
    coding, length = lower.get(b"transfer-encoding"), lower.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise RefusedHeadError(400, "framing", "expected Content-Length or Transfer-Encoding, found both")
        if head.version == "1.0":
            raise RefusedHeadError(400, "framing", "expected no Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise RefusedHeadError(501, "framing", "expected Transfer-Encoding: chunked")
        head.chunked = True
    elif length is not None:
        if LENGTH.fullmatch(length) is None:
            raise RefusedHeadError(400, "framing", "expected a whole number as Content-Length")
        head.length = int(length)
        if head.length > body_limit:
            raise RefusedHeadError(413, "body_too_long", f"expected a body of at most {body_limit} octets")
