"""Several servers behind one arm: which one is asked next, which ones are left out, and how many requests wait.

The one with the fewer requests under way of two drawn at random is asked, whoever does not answer is left out for a
while, and names are resolved again and again: a server that is gone from the answer gets no new request and keeps those
it has. When all that may be asked at a time are under way, further ones wait in a queue, in order, up to a deadline.

Never here: a request that is sent twice. Only what never reached a server goes to the next one.

Source:
    Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12 (2001).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from collections.abc import Sequence
from random import sample
from time import monotonic, perf_counter_ns

from router.address import Address
from router.gateway.breaker import Breaker
from router.gateway.connection import Connection
from router.gateway.ports import Counts
from router.gateway.upstream import NoRoomError, Upstream
from router.serving import PoolLimits

RESOLVE_S = 5.0  # between two questions to the resolver, which knows how long its answers are good
STATIC = frozenset(("localhost",))
DIALS_MOST = 3  # servers that are tried for one connection


def upstream_of(url: str, counts: Counts, limits: PoolLimits | None = None) -> Upstream | Pool:
    """The upstream at an address: one server where the address is one, else a pool."""
    address = Address.parse(url)
    if limits is None and (address.scheme == "unix" or _is_literal(address.host)):
        return Upstream(url, counts)
    return Pool(url, counts, limits or PoolLimits())


def _is_literal(host: str) -> bool:
    if host in STATIC:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, those of the family that the system prefers.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as problem:
        raise OSError(f"{host} is no name") from problem
    return list(dict.fromkeys(str(one[4][0]) for one in found if one[0] == found[0][0]))


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
    """

    protocol = PooledConnection

    def __init__(self, pool: Pool, url: str, address: Address) -> None:
        super().__init__(url, pool.counts)
        self.server_name = address.host
        self.address = address
        self.busy: set[Connection] = set()
        self.dialing = 0
        self.ready = True
        self._pool = pool
        self._breaker = Breaker()

    @property
    def outstanding(self) -> int:
        """Requests under way."""
        return len(self.busy) + self.dialing

    def healthy(self, now: float) -> bool:
        """Whether it may be asked, by its probe and its last connections."""
        return self.ready and (not self._breaker.failures or self._breaker.allows(now))

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


class Pool:
    """The servers of one arm, as one upstream."""

    def __init__(self, url: str, counts: Counts, limits: PoolLimits) -> None:
        self.url = url
        self.counts = counts
        self.closed = False
        self.endpoints: list[Endpoint] = []
        self._limits = limits
        self._known: dict[tuple[str, str], Endpoint] = {}
        self._waiting: deque[asyncio.Future[Endpoint | None]] = deque()
        self._following: asyncio.Task[None] | None = None
        self._names = []
        for one in limits.endpoints or (url,):
            address = Address.parse(one)
            if address.scheme == "unix" or _is_literal(address.host):
                self._known[one, address.host] = Endpoint(self, one, address)
            else:
                self._names.append(one)
        self.endpoints = list(self._known.values())

    def take(self, now_ns: int) -> Connection | None:
        """An idle connection to the server that is to be asked next; None when one must be dialled or waited for."""
        endpoint = None if self._waiting else self._next()
        return endpoint.take(now_ns) if endpoint is not None else None

    async def dial(self, within_s: float) -> Connection:
        """A connection to the server that is to be asked next, once there is room.

        Raises:
            OSError: no server answers, or the name does not resolve.
            TimeoutError: not within the time.
            NoRoomError: as many as may be are under way, and as many as may wait, or for too long.
        """
        if self._names and self._following is None:
            async with asyncio.timeout(within_s):
                await self._resolve_all()
            if self._following is None:
                self._following = asyncio.get_running_loop().create_task(self._follow())
        endpoint = None if self._waiting else self._next()
        if endpoint is None:
            endpoint = await self._room()
        else:
            endpoint.dialing += 1
        tried: list[Endpoint] = []
        while True:
            try:
                return endpoint.take(perf_counter_ns()) or await endpoint.dial(within_s)
            except OSError:
                tried.append(endpoint)
                following = self._next(tried) if len(tried) < DIALS_MOST else None
                if following is None:
                    raise
                following.dialing += 1
            finally:
                endpoint.dialing -= 1
                self.freed()
            endpoint = following

    def _next(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        """The server to ask next, but for those tried; None when there is no room at any."""
        limits = self._limits
        endpoints = [one for one in self.endpoints if one not in tried] if tried else self.endpoints
        if limits.requests and sum(one.outstanding for one in endpoints) >= limits.requests:
            return None
        now = monotonic()
        if len(endpoints) > 2:
            first, second = sample(endpoints, 2)
            drawn = [one for one in (first, second) if self._has_room(one) and one.healthy(now)]
        else:
            drawn = []
        if not drawn:
            room = [one for one in endpoints if self._has_room(one)]
            drawn = [one for one in room if one.healthy(now)] or room
        if not drawn:
            return None
        shuffled = sample(drawn, len(drawn))  # of equals not always the same one
        return min(shuffled, key=lambda one: one.outstanding)

    def _has_room(self, endpoint: Endpoint) -> bool:
        return not self._limits.connections or endpoint.outstanding < self._limits.connections

    async def _room(self) -> Endpoint:
        """Wait for one's turn; the place at its server is kept from then on."""
        if not self.endpoints:
            raise OSError("the name has no address")
        if len(self._waiting) >= self._limits.queue:
            raise NoRoomError
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Endpoint | None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(
            self._limits.queue_ms / 1000, lambda: None if turn.done() else turn.set_result(None)
        )
        try:
            endpoint = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (kept := turn.result()) is not None:
                kept.dialing -= 1
                self.freed()
            raise
        finally:
            timer.cancel()
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
        if endpoint is None:
            raise NoRoomError
        return endpoint

    def freed(self) -> None:
        """There may be room again: the next ones in the queue."""
        while self._waiting and (endpoint := self._next()) is not None:
            turn = self._waiting.popleft()
            if not turn.done():
                endpoint.dialing += 1
                turn.set_result(endpoint)

    def heard(self, ready: dict[str, bool]) -> None:
        """What the probes know, by server."""
        for (url, _), endpoint in self._known.items():
            endpoint.ready = ready.get(Address.parse(url).server, True)
        self.freed()

    async def _follow(self) -> None:
        while not self.closed:
            await asyncio.sleep(RESOLVE_S)
            with contextlib.suppress(OSError):  # what is known stays good
                await self._resolve_all()

    async def _resolve_all(self) -> None:
        for url in self._names:
            address = Address.parse(url)
            found = await resolve(address.host, address.port)
            for host in found:
                if (url, host) not in self._known:
                    endpoint = Endpoint(self, url, address)
                    endpoint.address = address._replace(host=host)
                    self._known[url, host] = endpoint
            for one, host in list(self._known):
                if one == url and host not in found:
                    self._known.pop((one, host)).close()
        self.endpoints = list(self._known.values())
        self.freed()

    def close(self) -> None:
        """Close what is idle; connections in use are closed when they come back."""
        self.closed = True
        if self._following is not None:
            self._following.cancel()
        for endpoint in self.endpoints:
            endpoint.close()
