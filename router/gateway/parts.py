"""A mapping that is never changed and shares almost everything with the one it was made from.

It stands in parts, by the hash of its keys, and the parts in groups: a change copies the parts that it touches and their
groups, and no change ever copies all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
BITS = 5
LAST = (1 << BITS) - 1  # the number of the last group, and of the last part in each; all its bits are ones


class Parts(Mapping[K, V]):
    """Dictionaries that together are one; the key's is ``groups[hash & LAST][hash >> BITS & LAST]``."""

    __slots__ = ("_size", "groups")

    def __init__(self, groups: list[list[dict[K, V]]], size: int) -> None:
        self.groups = groups
        self._size = size

    @classmethod
    def empty(cls) -> Parts[K, V]:
        """Nothing; one for all, as nobody changes it."""
        return NOTHING

    def changed(self, changes: Mapping[K, V | None]) -> Parts[K, V]:
        """This one with some values changed, and those gone whose value is None."""
        groups = self.groups.copy()
        size = self._size
        for key, value in changes.items():
            number = hash(key)
            first, second = number & LAST, number >> BITS & LAST
            before, group = self.groups[first], groups[first]
            if group is before:
                group = groups[first] = before.copy()
            part = group[second]
            if part is before[second]:
                part = group[second] = part.copy()
            size -= len(part)
            if value is None:
                part.pop(key, None)
            else:
                part[key] = value
            size += len(part)
        return Parts(groups, size)

    def __getitem__(self, key: K) -> V:
        number = hash(key)
        return self.groups[number & LAST][number >> BITS & LAST][key]

    def __iter__(self) -> Iterator[K]:
        for group in self.groups:
            for part in group:
                yield from part

    def __len__(self) -> int:
        return self._size


NOTHING: Parts[Any, Any] = Parts([[{}] * (LAST + 1)] * (LAST + 1), 0)
