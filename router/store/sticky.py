"""What sticky runs remember: the digests of the units that were enrolled, numbered in the order in which they came.

Gateways add and read in one step, beside requests. A kill switch or a rollback begins another key; what stood under the
old one is never read again and expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import redis
import redis.asyncio

from router.errors import StoreUnavailable
from router.store.connect import reachable
from router.store.keys import Keys
from router.store.ledger import member

LIFE_MS = 7 * 86_400_000  # after the last gateway that has the run in its flags
PAGE = 2000  # units that are added, or read, at once


class Memory(NamedTuple):
    """Whose units: a run, and the revision with which its memory begins."""

    run: str
    since: int


class Exchanged(NamedTuple):
    """How many units were stored before, how many of the new ones had no room, and the next page of digests."""

    held: int
    refused: int
    page: list[int]


class StickyLog:
    """What is remembered, as a gateway's worker sees it."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, most: int) -> None:
        self._keys = keys
        self._most = most
        self._script: Any = client.register_script(files("router.store").joinpath("sticky.lua").read_text())

    async def exchange(self, memory: Memory, new: Sequence[int], position: int) -> Exchanged:
        """Add at most a page of units, and read the page after a position.

        Raises:
            StoreUnavailable: they may or may not have been added; adding them again changes nothing.
        """
        key = self._keys.sticky(memory.run, memory.since)
        with reachable("sticky"):
            answer = await self._script(
                keys=[key], args=[self._most, LIFE_MS, position, PAGE, *map(member, new)]
            )
        if answer[0] != b"OK":
            raise StoreUnavailable(f"sticky: key {key} holds a {answer[2].decode()}")
        return Exchanged(answer[1], answer[2], [int.from_bytes(row, "little") for row in answer[3]])


class StickyUnits:
    """What is remembered, as the API asks for one unit."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def has(self, memory: Memory, unit: int) -> bool:
        """Whether a unit is remembered."""
        key: Any = self._keys.sticky(memory.run, memory.since)
        with reachable("sticky"):
            return self._client.zscore(key, member(unit)) is not None
