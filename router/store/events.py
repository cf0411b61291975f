"""Appending packed entries to the event log: one XADD, bounded in time."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

from router.events import Entry, encode
from router.store.connect import reachable
from router.store.keys import Keys


class EventLog:
    """The log as a blocking writer sees it: the API."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def append(self, run: str, entry: Entry, partition: int = 0) -> None:
        """Write one entry.

        Raises:
            StoreUnavailable: it may or may not have been written; repeat it with the same sequence number.
        """
        fields: Any = encode(entry)
        with reachable("append"):
            self._client.xadd(self._keys.run(run, partition).events, fields)


class AsyncEventLog:
    """The log as a gateway worker sees it."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def append(self, run: str, entry: Entry, partition: int = 0) -> None:
        """Write one entry.

        Raises:
            StoreUnavailable: it may or may not have been written; repeat it with the same sequence number.
        """
        fields: Any = encode(entry)
        with reachable("append"):
            await self._client.xadd(self._keys.run(run, partition).events, fields)
