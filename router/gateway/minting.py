"""The unit of a client that brings none: a random one, and the cookie by which it is known again.

The cookie is ``Secure`` where its client asked over TLS, and nowhere else: a browser refuses a ``Secure`` one that came in
the clear, and whoever is wrong here makes a new unit of the same person with each request. Whether it was TLS a gateway
sees by itself; behind a proxy that ends TLS it can only be told, and believes that where the route says so.

Source:
    RFC 6265bis sections 4.1.2.5 and 5.7 (Secure, and from whom it is refused); RFC 7239 sections 4 and 5.4 (Forwarded).
"""

from __future__ import annotations

import re
from secrets import token_hex

from router.gateway.head import Head
from router.gateway.identify import Identifier

AGE_S = 31_536_000
# One parameter of a Forwarded field and what follows it: ';' another one of the same hop, ',' the next hop.
PARAMETER = re.compile(
    rb"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^",; \t]*)[ \t]*([;,]|$)"""
)


def minted(identifier: Identifier, head: Head) -> tuple[bytes, bytes]:
    """A new unit, and the line of the answer that gives it to its client."""
    unit = token_hex(16).encode()
    secure = b"; Secure" if over_tls(head, identifier.secure) else b""
    line = b"Set-Cookie: %b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b\r\n"
    return unit, line % (identifier.cookie.encode(), unit, AGE_S, secure)


def over_tls(head: Head, secure: str) -> bool:
    """Whether a client asked over TLS, as far as a route lets the gateway know.

    Args:
        head: of the request.
        secure: ``auto`` by its connection; ``forwarded`` by what a proxy says of it, else by its connection; ``always`` or
            ``never`` whatever it was.
    """
    if secure == "forwarded":
        scheme = _forwarded(head)
        return head.encrypted if scheme is None else scheme == b"https"
    return secure == "always" or (secure == "auto" and head.encrypted)


def _forwarded(head: Head) -> bytes | None:
    """The scheme by which the first of all hops was asked, which is the client's; None where nobody says."""
    scheme = (head.field(b"x-forwarded-proto") or b"").partition(b",")[0].strip()
    if scheme:
        return scheme.lower()
    value, at = head.field(b"forwarded") or b"", 0
    while (found := PARAMETER.match(value, at)) is not None:
        if found[1].lower() == b"proto":
            return found[2].strip(b'"').lower()
        if found[3] != b";":
            return None
        at = found.end()
    return None
