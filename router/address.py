"""The address of a model server as people write it: which server, and which path stands before every target. Pure.

``http://host:port``, ``https://host/path``, ``unix:/run/model.sock`` and ``unix:/run/model.sock:/path``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Scheme = Literal["http", "https", "unix"]
PORTS = {"http": 80, "https": 443}
REMEMBERED = 4096  # addresses: thousands of arms stand on a few servers


class Address(NamedTuple):
    """A model server and a path on it.

    Attributes:
        scheme: how it is spoken to; ``unix`` is HTTP over a local socket.
        host: name or address, IPv6 without brackets; for ``unix`` the path of the socket.
        port: 1 .. 65535; 0 for ``unix``.
        base: replaces the prefix that the route matched, without a last slash; empty leaves the target as it is.
    """

    scheme: Scheme
    host: str
    port: int
    base: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            ValueError: it is none, or has a user, a query or a fragment.
        """
        return _parsed(text)

    @property
    def server(self) -> str:
        """The address without its path: arms on one server share connections."""
        if self.scheme == "unix":
            return f"unix:{self.host}"
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as a Host field has them; ``localhost`` for a local socket."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(REMEMBERED)
def _parsed(text: str) -> Address:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("an address is visible ASCII")
    parts = urlsplit(text)
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("an address has no user, query or fragment")
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        socket, _, base = parts.path.partition(":")
        if base and not base.startswith("/"):
            raise ValueError("the path behind a socket begins with '/'")
        return Address("unix", socket, 0, base.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("expected http://host:port, https://host or unix:/path")
    scheme: Scheme = "https" if parts.scheme == "https" else "http"
    return Address(scheme, parts.hostname, parts.port or PORTS[scheme], parts.path.rstrip("/"))
