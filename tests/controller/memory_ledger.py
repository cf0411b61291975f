"""A ledger in memory with the interface of the real one, for laws and long simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.events import Entry, encode
from router.store.ledger import START, Batch, Book


class MemoryLedger:
    """What Redis would hold."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, Mapping[bytes, bytes]]] = []
        self.cursor, self.state = START, b""
        self.records: dict[int, bytes] = {}
        self.times: dict[int, int] = {}
        self.moments: dict[str, int] = {}
        self.dead: list[bytes] = []

    def append(self, entry: Entry, at: int) -> None:
        fields = {name.encode(): value for name, value in encode(entry).items()}
        number = sum(1 for entry_id, _ in self.entries[-50:] if entry_id.startswith(b"%d-" % at))
        self.entries.append((b"%d-%d" % (at, number), fields))

    def stamp(self, token: int) -> None:
        pass

    def load(self) -> Book:
        return Book(self.cursor, self.state, dict(self.moments))

    def read(self, cursor: bytes, count: int) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        start = 0
        if cursor != START:
            start = next(i for i, (entry_id, _) in enumerate(self.entries) if entry_id == cursor) + 1
        return self.entries[start : start + count]

    def forget(self) -> None:
        """Drop what is folded, but for the entry the cursor stands on."""
        place = next((i for i, (entry_id, _) in enumerate(self.entries) if entry_id == self.cursor), 0)
        self.entries = self.entries[place:]

    def units(self, digests: Sequence[int]) -> list[bytes | None]:
        return [self.records.get(unit) for unit in digests]

    def due(self, until: int, limit: int) -> list[int]:
        ready = sorted((time, unit) for unit, time in self.times.items() if time < until)
        return [unit for _, unit in ready[:limit]]

    def commit(self, token: int, expected: bytes, cursor: bytes, state: bytes, batch: Batch) -> None:
        assert expected == self.cursor
        self.records |= batch.units
        for unit, time in batch.due.items():
            if time is None:
                self.times.pop(unit, None)
            else:
                self.times[unit] = time
        self.moments |= batch.moments
        self.cursor, self.state = cursor, state

    def dead_letter(self, entry_id: bytes, fields: Mapping[bytes, bytes], reason: str) -> None:
        self.dead.append(entry_id)

    def trim(self, cursor: bytes) -> None:
        pass
