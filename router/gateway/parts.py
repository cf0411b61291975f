"""A mapping that is never changed and shares almost everything with the one it was made from.

It stands in parts, by the hash of its keys: a change copies the parts that it touches, and no change ever copies all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
LAST = 127  # the number of the last part; all its bits are ones


class Parts(Mapping[K, V]):
    """Dictionaries that together are one; the key's is ``parts[hash(key) & LAST]``."""

    __slots__ = ("_size", "parts")

    def __init__(self, parts: list[dict[K, V]], size: int) -> None:
        self.parts = parts
        self._size = size

    @classmethod
    def empty(cls) -> Parts[K, V]:
        """Nothing."""
        return cls([{}] * (LAST + 1), 0)

    def changed(self, changes: Mapping[K, V | None]) -> Parts[K, V]:
        """This one with some values changed, and those gone whose value is None."""
        parts = self.parts.copy()
        size = self._size
        for key, value in changes.items():
            number = hash(key) & LAST
            part = parts[number]
            if part is self.parts[number]:
                part = parts[number] = part.copy()
            size -= len(part)
            if value is None:
                part.pop(key, None)
            else:
                part[key] = value
            size += len(part)
        return Parts(parts, size)

    def __getitem__(self, key: K) -> V:
        return self.parts[hash(key) & LAST][key]

    def __iter__(self) -> Iterator[K]:
        for part in self.parts:
            yield from part

    def __len__(self) -> int:
        return self._size
