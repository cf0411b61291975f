"""Several servers behind one arm: which one is asked next, which ones are left out, and how many requests wait.

The one with the fewer requests under way of two drawn at random is asked, whoever does not answer is left out for a
while, and names are resolved again and again: a server that is gone from the answer gets no new request and keeps those
it has. Of a name with addresses of both families the ones that the system prefers are asked; the others while those do not
answer. When all that may be asked at a time are under way, further ones wait in a queue, in order, up to a deadline.

Never here: a request that is sent twice. Only what never reached a server goes to the next one.

Source:
    Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 12 (2001).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from random import sample
from time import monotonic, perf_counter_ns

from router.address import Address
from router.gateway.connection import Connection
from router.gateway.counters import Counts
from router.gateway.endpoint import Endpoint
from router.gateway.resolving import RESOLVE_S, Resolve, is_literal, is_six, resolve
from router.gateway.upstream import NoRoomError, Upstream
from router.serving import PoolLimits

DIALS_MOST = 3  # servers that are tried for one connection


def upstream_of(
    url: str, counts: Counts, limits: PoolLimits | None = None, *, resolving: Resolve = resolve
) -> Upstream | Pool:
    """The upstream at an address: one server where the address is one, else a pool."""
    address = Address.parse(url)
    if limits is None and (address.scheme == "unix" or is_literal(address.host)):
        return Upstream(url, counts)
    return Pool(url, counts, limits or PoolLimits(), resolving=resolving)


class Pool:
    """The servers of one arm, as one upstream."""

    def __init__(
        self,
        url: str,
        counts: Counts,
        limits: PoolLimits,
        *,
        resolving: Resolve = resolve,
        every_s: float = RESOLVE_S,
    ) -> None:
        self.url = url
        self.counts = counts
        self.closed = False
        self.endpoints: list[Endpoint] = []
        self._limits = limits
        self._resolve = resolving
        self._every_s = every_s
        self._has_both = False  # families of addresses
        self._known: dict[tuple[str, str], Endpoint] = {}
        self._waiting: deque[asyncio.Future[Endpoint | None]] = deque()
        self._following: asyncio.Task[None] | None = None
        self._names = []
        for one in limits.endpoints or (url,):
            address = Address.parse(one)
            if address.scheme == "unix" or is_literal(address.host):
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
                # Silence of one family must leave time for the other.
                share_s = within_s / 2 if self._has_both and not tried else within_s
                return endpoint.take(perf_counter_ns()) or await endpoint.dial(share_s)
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
        endpoints: Sequence[Endpoint] = self.endpoints
        if tried:
            endpoints = [one for one in endpoints if one not in tried]
        if limits.requests and sum(one.outstanding for one in endpoints) >= limits.requests:
            return None
        now = monotonic()
        if self._has_both:
            endpoints = self._of_one_family(endpoints, tried, now)
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

    def _of_one_family(
        self, endpoints: Sequence[Endpoint], tried: Sequence[Endpoint], now: float
    ) -> Sequence[Endpoint]:
        """Those of the family that is to be asked: the preferred one, or the one that has not just failed."""
        turned = bool(tried) and not tried[-1].second
        for second in (turned, not turned):
            family = [one for one in endpoints if one.second == second]
            if any(self._has_room(one) and not one.resting(now) for one in family):
                return family
        return endpoints

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
            await asyncio.sleep(self._every_s)
            with contextlib.suppress(OSError):
                await self._resolve_all()

    async def _resolve_all(self) -> None:
        problem: OSError | None = None
        for url in self._names:
            address = Address.parse(url)
            try:
                self._learn(url, address, await self._resolve(address.host, address.port))
            except OSError as one:  # what is known stays good
                problem = one
        self.endpoints = list(self._known.values())
        self._has_both = any(one.second for one in self.endpoints)
        self.freed()
        if problem is not None and not self.endpoints:
            raise problem

    def _learn(self, url: str, address: Address, found: Sequence[str]) -> None:
        """A name means these addresses now."""
        for host in found:
            if (url, host) not in self._known:
                endpoint = self._known[url, host] = Endpoint(self, url, address)
                endpoint.address = address._replace(host=host)
            self._known[url, host].second = is_six(host) != is_six(found[0])
        for one, host in list(self._known):
            if one == url and host not in found:
                self._known.pop((one, host)).close()

    def close(self) -> None:
        """Close what is idle; connections in use are closed when they come back."""
        self.closed = True
        if self._following is not None:
            self._following.cancel()
        for endpoint in self.endpoints:
            endpoint.close()
