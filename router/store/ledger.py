"""The ledger of one (run, partition): events in, unit records and moments out, exactly once.

State and cursor move together: unit records, due times, moments and the stream's cursor are committed by one script
that first compares the cursor and the fencing token. A crash before it changes nothing, a crash after it is a commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from router.errors import Fenced
from router.store.connect import reachable
from router.store.keys import Keys
from router.store.scripts import Script

START = b"0-0"
DIGEST_OCTETS = 8
TRIM_STEP = 1000
DEAD_KEPT = 1000
DEAD_FIELDS = 100


@dataclass(slots=True)
class Batch:
    """What one commit writes: records by unit, due times by unit (None: no longer due), moments by name."""

    units: dict[int, bytes] = field(default_factory=dict)
    due: dict[int, int | None] = field(default_factory=dict)
    moments: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """Where the fold stands: its cursor, its own state (opaque here), all moments."""

    cursor: bytes
    state: bytes
    moments: dict[str, int]


def member(unit: int) -> bytes:
    """A unit digest as a key in Redis."""
    return unit.to_bytes(DIGEST_OCTETS, "little")


class Ledger:
    """The ledger as the one leader sees it."""

    def __init__(self, client: redis.Redis, keys: Keys, run: str, partition: int = 0) -> None:
        self.run = run
        self.partition = partition
        self._client = client
        self._keys = keys.run(run, partition)
        self._fold = Script(client, "fold")
        self._stamp = Script(client, "stamp")
        self._dead = Script(client, "dead")

    def stamp(self, token: int) -> None:
        """Bar all older leaders from committing.

        Raises:
            Fenced: a newer leader was here.
        """
        self._stamp([self._keys.cursor], [str(token)])

    def load(self) -> Book:
        """Where the fold stands."""
        with reachable("load"):
            cursor, state = cast(
                "list[bytes | None]", self._client.hmget(self._keys.cursor, ["cursor", "state"])
            )
            moments: Any = self._client.hgetall(self._keys.moments)
        return Book(
            cursor or START, state or b"", {name.decode(): int(value) for name, value in moments.items()}
        )

    def read(self, cursor: bytes, count: int) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        """At most ``count`` entries after the cursor."""
        with reachable("read"):
            rows: Any = self._client.xrange(self._keys.events, min=b"(" + cursor, count=count)
        return list(rows)

    def length(self) -> int:
        """Entries in the log, folded or not."""
        with reachable("length"):
            return self._client.xlen(self._keys.events)

    def units(self, digests: Sequence[int]) -> list[bytes | None]:
        """The records of these units, None for those never seen."""
        if not digests:
            return []
        with reachable("units"):
            rows: Any = self._client.hmget(self._keys.units, [member(unit) for unit in digests])
        return list(rows)

    def due(self, until: int, limit: int) -> list[int]:
        """Units whose time to be closed lies before ``until``, the earliest first."""
        with reachable("due"):
            rows: Any = self._client.zrange(
                self._keys.due, "-inf", f"({until}", byscore=True, offset=0, num=limit
            )
        return [int.from_bytes(row, "little") for row in rows]

    def commit(self, token: int, expected: bytes, cursor: bytes, state: bytes, batch: Batch) -> None:
        """Write a folded batch whole, or not at all.

        Raises:
            Fenced: another leader stamped the partition, or moved the cursor.
            StoreUnavailable: it may or may not have been written; load again.
        """
        gone = [member(unit) for unit, time in batch.due.items() if time is None]
        due: list[Any] = [
            x for unit, time in batch.due.items() if time is not None for x in (time, member(unit))
        ]
        units: list[Any] = [x for unit, record in batch.units.items() for x in (member(unit), record)]
        moments: list[Any] = [x for name, value in batch.moments.items() for x in (name, str(value))]
        arguments: list[Any] = [str(token), expected, cursor, state]
        for part in (units, gone, due, moments):
            arguments.append(len(part))
            arguments += part
        keys = self._keys
        answer = self._fold([keys.cursor, keys.units, keys.due, keys.moments], arguments)
        if answer[0] == b"MOVED":
            raise Fenced(
                f"fold: the cursor of {self.run} stands at {answer[1].decode()}, not {expected.decode()}"
            )

    def trim(self, cursor: bytes) -> None:
        """Forget entries up to the cursor, in steps that never block Redis for long."""
        with reachable("trim"):
            self._client.xtrim(self._keys.events, minid=cursor, approximate=True, limit=TRIM_STEP)

    def dead_letter(self, entry_id: bytes, fields: Mapping[bytes, bytes], reason: str) -> None:
        """Keep an entry that cannot be read, with the reason; an entry already kept is not kept twice."""
        kept: list[Any] = [x for pair in list(fields.items())[:DEAD_FIELDS] for x in pair]
        self._dead([self._keys.dead], [entry_id, DEAD_KEPT, *kept, b"reason", reason.encode()])


__all__ = ["Batch", "Book", "Fenced", "Ledger", "member"]
