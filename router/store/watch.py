"""How a gateway follows the flags: subscribe, then read; the notice is a hint, the poll is the truth.

After each (re)connection everything is compared anew, so that a lost message costs one poll at most. A flag that
cannot be read leaves its last good predecessor in place. A store that was wiped or exchanged is recognised by its
identity: the flags that it has are taken, those that it lacks stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Any, Protocol

import redis
import redis.asyncio

from router.errors import StoreUnavailable
from router.flag import Flag
from router.store.connect import reachable
from router.store.flags import parse_flags
from router.store.keys import Keys

RETRY_S = (0.05, 2.0)


class Listener(Protocol):
    """Who wants to know."""

    store_id: str

    def revisions(self) -> Mapping[str, int]:
        """The revision of each route that routes now."""

    def moved(self, flags: Mapping[str, Flag], gone: set[str], store_id: str) -> None:
        """These flags are new, these routes are gone."""

    def corrupt(self, route: str, problem: str) -> None:
        """A flag cannot be read; its last good predecessor stays."""

    def wiped(self) -> None:
        """The store lacks flags that are held, and was wiped or exchanged; they stay until it has them again."""

    def reached(self, reachable: bool) -> None:
        """Whether Redis answered the last question."""


class FlagWatch:
    """Keeps a listener at the store's revisions."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, listener: Listener, poll_ms: int) -> None:
        self._client = client
        self._keys = keys
        self._listener = listener
        self._poll_s = poll_ms / 1000
        self._lacking: set[str] = set()
        self._first = True

    async def run(self) -> None:
        """Follow until cancelled; a dead Redis is asked again with growing pauses."""
        pause = RETRY_S[0]
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._keys.notice)
                    while True:
                        await self.refresh()
                        self._listener.reached(True)
                        pause = RETRY_S[0]
                        await self._hint(pubsub)
            except (redis.RedisError, OSError, StoreUnavailable):
                self._listener.reached(False)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, RETRY_S[1])

    async def _hint(self, pubsub: Any) -> None:
        """Wait for a notice, or for the next poll."""
        patience = self._poll_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        with contextlib.suppress(asyncio.TimeoutError):
            deadline = asyncio.get_running_loop().time() + patience
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=left)
                if message is not None:
                    return

    async def refresh(self) -> None:
        """Compare revisions and fetch the flags that moved.

        Raises:
            StoreUnavailable: Redis gave no good answer; nothing has changed.
        """
        with reachable("refresh"):
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._keys.revisions)
            pipe.hget(self._keys.meta, "store_id")
            rows, identity = await pipe.execute()
        found = {route.decode(): _number(revision) for route, revision in rows.items()}
        held = self._listener.revisions()
        store_id = identity.decode() if identity else ""
        same = store_id == self._listener.store_id
        if not same:
            # A store that lost its data looks like another one: what it lacks was hardly taken away on purpose.
            self._lacking = set(held)
        if found:
            await self._take(found, held, store_id, same)
        if self._lacking - set(found) or (held and not found):
            self._listener.wiped()

    async def _take(self, found: dict[str, int], held: Mapping[str, int], store_id: str, same: bool) -> None:
        # Revisions of two stores say nothing about each other. Within one they differ also where it lost its last
        # writes: what it holds now is the truth.
        anew = set(found) if self._first or not same else self._lacking
        wanted = [
            route for route, revision in found.items() if route in anew or revision != held.get(route, 0)
        ]
        gone = set(held) - set(found) - self._lacking
        if not wanted and not gone and same:
            return
        flags, corrupt = await self._fetch(wanted)
        self._first = False
        self._lacking -= set(flags)
        for route, problem in corrupt.items():
            self._listener.corrupt(route, problem)
        self._listener.moved(flags, gone, store_id)

    async def _fetch(self, routes: list[str]) -> tuple[dict[str, Flag], dict[str, str]]:
        if not routes:
            return {}, {}
        with reachable("fetch"):
            texts: Any = await self._client.hmget(self._keys.flags, routes)
        return parse_flags({route: text or b"" for route, text in zip(routes, texts, strict=True)})


def _number(text: bytes) -> int:
    """A revision; one that is no number never equals a held one, so its flag is fetched and judged."""
    return int(text) if text.isdigit() else -1
