"""One server of a pool: its requests under way, and whether it is left out for a while."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from router.address import Address
from router.gateway.breaker import Breaker
from router.gateway.connection import Connection
from router.gateway.counters import Counts
from router.gateway.upstream import Upstream


class Owner(Protocol):
    """The pool that a server belongs to."""

    counts: Counts

    def freed(self) -> None:
        """There may be room again."""


class PooledConnection(Connection):
    """A connection whose end its server's endpoint is told."""

    def connection_lost(self, problem: Exception | None) -> None:
        """Closed."""
        endpoint, waited = self.upstream, self.exchange is not None and not self.answered_until_close
        super().connection_lost(problem)
        if isinstance(endpoint, Endpoint):
            endpoint.lost(self, failed=waited)


class Endpoint(Upstream):
    """One server of a pool.

    Attributes:
        busy: its connections with a request under way.
        dialing: requests that will have one soon.
        ready: whether its probe was answered, as far as is known.
        second: whether its address is of the family that the system does not prefer for its name.
    """

    protocol = PooledConnection

    def __init__(self, pool: Owner, url: str, address: Address) -> None:
        super().__init__(url, pool.counts)
        self.server_name = address.host
        self.address = address
        self.busy: set[Connection] = set()
        self.dialing = 0
        self.ready = True
        self.second = False
        self._pool = pool
        self._breaker = Breaker()

    @property
    def outstanding(self) -> int:
        """Requests under way."""
        return len(self.busy) + self.dialing

    def healthy(self, now: float) -> bool:
        """Whether it may be asked, by its probe and its last connections."""
        return self.ready and (not self._breaker.failures or self._breaker.allows(now))

    def resting(self, now: float) -> bool:
        """Whether it is left alone for a while."""
        return not self.ready or self._breaker.rests(now)

    def take(self, now_ns: int) -> Connection | None:
        """An idle connection, busy from now on."""
        connection = super().take(now_ns)
        if connection is not None:
            self.busy.add(connection)
        return connection

    def give(self, connection: Connection, now_ns: int) -> None:
        """An answer was whole."""
        self.busy.discard(connection)
        if self._breaker.failures:
            self._breaker.answered()
        super().give(connection, now_ns)
        self._pool.freed()

    def lost(self, connection: Connection, *, failed: bool) -> None:
        """A connection has closed; ``failed`` when a request was still waiting for its answer."""
        if failed:
            self._breaker.failed(monotonic())
        if connection in self.busy:
            self.busy.discard(connection)
            self._pool.freed()

    async def dial(self, within_s: float) -> Connection:
        """A new connection, busy from now on."""
        try:
            connection = await super().dial(within_s)
        except (OSError, TimeoutError):
            self._breaker.failed(monotonic())
            raise
        self.busy.add(connection)
        return connection
