"""The head of a request: what it says, and every check that the parser does not make.

llhttp alone refuses too little for a gateway. The checks it lacks stand in ``check``, one after the other, each with
the rule it holds; whatever conflicts is refused, never repaired.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from router.gateway.shape import REQUEST_SHAPES, Shape

# RFC 9110 section 7.2 with RFC 3986 section 3.2.2: a name, an IPv4 address or a bracketed IPv6 one, then a port.
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
TARGET = re.compile(rb"[\x21-\x7e]+")
ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
LENGTH_DIGITS: Final = 19
# RFC 3986 section 3.3; servers decode before they resolve, so what is encoded counts too; some take a backslash for a
# slash, and some end a segment at its first semicolon.
DOT_SEGMENT = re.compile(rb"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:/|\\|%2f|%5c|;|%3b|$)", re.IGNORECASE)
UPGRADES = frozenset((b"websocket",))  # a client that asks for these cannot go on with HTTP/1.1
NEVER_SERVED = frozenset((b"CONNECT", b"TRACE"))
METHOD_LIMIT: Final = 32
NO_FIELDS = REQUEST_SHAPES[()]
KNOWN = 128  # hosts and targets whose check is remembered: clients ask for the same ones again


class RefusedHeadError(Exception):
    """A head that is not passed on: the status of the answer, a short code, and why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.bare = False  # HEAD was asked, which is answered without a body
        self.message = message


class Head:
    """The head of one request.

    Attributes:
        target: as it is forwarded, in origin form (or ``*``).
        shape: the names of its fields, with their ``values``.
        length: the announced length; None when none is.
        has_body: whether octets follow the head.
        force: what its cookies asked an arm by; taken out of them, since it is meant for nobody else.
        encrypted: it came over TLS, of which this gateway was the end.
    """

    method: bytes = b""
    target: bytes = b""
    path: bytes = b""
    query: bytes = b""
    host: bytes = b""
    version: str = "1.1"
    keep_alive: bool = True
    length: int | None = None
    chunked: bool = False
    has_body: bool = False
    expects: bool = False
    force: bytes = b""
    encrypted: bool = False

    def __init__(self, shape: Shape = NO_FIELDS, values: tuple[bytes, ...] = ()) -> None:
        self.shape: Shape = shape
        self.values: tuple[bytes, ...] = values

    def field(self, name: bytes) -> bytes | None:
        """The first value of a field by its lower-cased name; None without one."""
        at = self.shape.at.get(name)
        return None if at is None else self.values[at]

    def options(self) -> set[bytes]:
        """What its Connection fields say, lower-cased (RFC 9110 section 7.6.1)."""
        said = b",".join([self.values[at] for at in self.shape.connections])
        return {part.strip().lower() for part in said.split(b",")}

    def octets(self, target: bytes) -> int:
        """About how long the head was."""
        return len(target) + sum(
            len(key) + len(value) + 4 for key, value in zip(self.shape.keys, self.values, strict=True)
        )


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
    shape = head.shape
    if shape.repeated is not None:
        raise RefusedHeadError(400, "repeated_field", f"expected {shape.repeated.decode()} once")
    _host(head, shape)
    parts = None if method in NEVER_SERVED else _split(target)
    if parts is None:
        _other_target(head, target)
    else:
        head.target = target
        head.path, head.query = parts
    if shape.coded or shape.length_at >= 0:
        _framing(head, shape, body_limit)
    if shape.wishes and version == "1.1":
        _wishes(head)


def _wishes(head: Head) -> None:
    """RFC 9110 sections 10.1.1 and 7.8: an upgrade may be ignored, and is, unless the client can do nothing else."""
    expected, upgrade = head.field(b"expect"), head.field(b"upgrade")
    if expected is not None:
        if expected.lower() != b"100-continue":
            raise RefusedHeadError(417, "expectation", "expected 'Expect: 100-continue' or none")
        head.expects = True
    if upgrade is None:
        return
    asked = {part.strip().lower() for part in upgrade.split(b",")}
    if asked & UPGRADES and b"upgrade" in head.options():
        raise RefusedHeadError(
            501,
            "upgrade",
            "this gateway speaks HTTP/1.1 only; let nginx or Envoy end the WebSocket in front of it",
        )


@lru_cache(KNOWN)
def _is_host(host: bytes) -> bool:
    return HOST.fullmatch(host) is not None


@lru_cache(KNOWN)
def _split(target: bytes) -> tuple[bytes, bytes] | None:
    """Path and query of a target in origin form; None for every other one."""
    if target[:1] != b"/" or TARGET.fullmatch(target) is None or b"#" in target:
        return None
    path, _, query = target.partition(b"?")
    if DOT_SEGMENT.search(path) is not None:
        # A rule by path must judge the path that the upstream will see.
        raise RefusedHeadError(400, "dot_segments", "expected a path without '.' and '..' segments")
    return path, query


def _host(head: Head, shape: Shape) -> None:
    """RFC 9112 section 3.2: a missing, repeated or invalid Host is answered 400."""
    if shape.host_at < 0:
        if head.version == "1.1":
            raise RefusedHeadError(400, "host", "expected a Host field")
        return
    host = head.values[shape.host_at]
    if not _is_host(host):
        raise RefusedHeadError(400, "host", "expected a host name or address, and a port at most")
    head.host = host


def _other_target(head: Head, target: bytes) -> None:
    """RFC 9112 section 3.2: what is not in origin form is in absolute form, or ``*`` for OPTIONS; never a tunnel."""
    if head.method == b"CONNECT":
        raise RefusedHeadError(400, "target", "this gateway opens no tunnels")
    if head.method == b"TRACE":
        raise RefusedHeadError(
            501, "method", "TRACE would show the client what others wrote into its request"
        )
    if target != b"*" or head.method != b"OPTIONS":
        target = _absolute(head, target)
    if target == b"*":
        head.target = head.path = target
        return
    parts = _split(target)
    if parts is None:
        raise RefusedHeadError(400, "target", "expected a target of visible ASCII without fragment")
    head.target = target
    head.path, head.query = parts


def _absolute(head: Head, target: bytes) -> bytes:
    """The origin form of an absolute target, whose authority replaces the Host field (section 3.2.2)."""
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise RefusedHeadError(400, "target", "expected a target of visible ASCII that begins with '/'")
    authority, rest = absolute[1], absolute[2]
    if authority[:1] in (b"", b":") or not _is_host(authority):  # RFC 9110 section 4.2.1
        raise RefusedHeadError(400, "target", "expected a host in the absolute target")
    head.host = authority
    if not rest and head.method == b"OPTIONS":
        return b"*"  # section 3.2.4
    return rest if rest[:1] == b"/" else b"/" + rest


def _framing(head: Head, shape: Shape, body_limit: int) -> None:
    """RFC 9112 section 6.1: one framing. Both, or a coding other than chunked, is refused."""
    if shape.coded:
        if shape.length_at >= 0:
            raise RefusedHeadError(400, "framing", "expected Content-Length or Transfer-Encoding, found both")
        if head.version == "1.0":
            raise RefusedHeadError(400, "framing", "expected no Transfer-Encoding in HTTP/1.0")
        if (head.field(b"transfer-encoding") or b"").lower() != b"chunked":
            raise RefusedHeadError(501, "framing", "expected Transfer-Encoding: chunked")
        head.chunked = head.has_body = True
        return
    text = head.values[shape.length_at]
    if not text.isdigit() or len(text) > LENGTH_DIGITS:
        raise RefusedHeadError(400, "framing", "expected a whole number as Content-Length")
    length = int(text)
    if length > body_limit:
        raise RefusedHeadError(413, "body_too_long", f"expected a body of at most {body_limit} octets")
    head.length = length
    head.has_body = length > 0
