"""Upstreams: a pool of kept-alive connections per model server.

The pool is last in, first out, and taken from without waiting.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from router.address import Address
from router.gateway.connection import Connection
from router.gateway.counters import Counts

IDLE_NS: Final = 30_000_000_000
IDLE_MOST: Final = 256


class NoRoomError(Exception):
    """As many requests as an arm may have are under way, and no more may wait."""


class Upstream:
    """The pool of connections to one model server."""

    protocol: type[Any] = Connection  # a loop asks for the methods of a protocol and not for its class

    def __init__(self, url: str, counts: Counts) -> None:
        self.url = url
        self.address = Address.parse(url)
        # The certificate and the name in it are verified; SSL_CERT_FILE names an authority of one's own.
        self.tls = ssl.create_default_context() if self.address.scheme == "https" else None
        self.server_name = self.address.host
        self.counts = counts
        self.closed = False
        self._idle: list[Connection] = []

    def take(self, now_ns: int) -> Connection | None:
        """The connection used last, if one is idle."""
        while self._idle:
            connection = self._idle.pop()
            if now_ns - connection.idle_since < IDLE_NS and not connection.transport.is_closing():
                self.counts.reused += 1
                return connection
            connection.transport.abort()
        return None

    def give(self, connection: Connection, now_ns: int) -> None:
        """Take back a connection whose answer was whole."""
        if self.closed or len(self._idle) >= IDLE_MOST or connection.transport.is_closing():
            connection.transport.close()
            return
        connection.resume()
        connection.idle_since = now_ns
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """An idle connection was closed by its other side."""
        if connection in self._idle:
            self._idle.remove(connection)

    async def dial(self, within_s: float) -> Connection:
        """A new connection.

        Raises:
            OSError: nobody answers, the name does not resolve, or the certificate is not good.
            TimeoutError: not within the time.
        """
        self.counts.dials += 1
        async with asyncio.timeout(within_s):
            return await self._dial()

    async def _dial(self) -> Connection:
        connection: Connection
        loop, address = asyncio.get_running_loop(), self.address
        if address.scheme == "unix":
            _, connection = await loop.create_unix_connection(lambda: self.protocol(self), address.host)
            return connection
        name = self.server_name if self.tls else None
        _, connection = await loop.create_connection(
            lambda: self.protocol(self), address.host, address.port, ssl=self.tls, server_hostname=name
        )
        return connection

    def close(self) -> None:
        """Close what is idle; connections in use are closed when they come back."""
        self.closed = True
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()
