"""Appending packed entries to the event log: one XADD each, bounded in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

from router.errors import StoreUnavailable
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

    async def append_each(self, entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        """Write entries in one round trip, in this order; for each None, or why Redis refused it.

        Raises:
            StoreUnavailable: Redis gave no answer to some; any of them may or may not have been written: repeat them with
                the same sequence numbers.
        """
        together = self._client.pipeline(transaction=False)
        for run, entry in entries:
            fields: Any = encode(entry)
            together.xadd(self._keys.run(run, 0).events, fields)
        with reachable("append"):
            answers = await together.execute(raise_on_error=False)
        return [_refused(answer) for answer in answers]


def _refused(answer: object) -> StoreUnavailable | None:
    """What a writer makes of one answer of several."""
    try:
        with reachable("append"):
            if isinstance(answer, Exception):
                raise answer
    except StoreUnavailable as problem:
        return problem
    return None
