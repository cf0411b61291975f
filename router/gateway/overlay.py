"""A mapping that is never changed and shares almost everything with the one it was made from.

A change costs what it changes, not what there is: it is laid over a large base that many generations share. Once the
layer is as large as ``MOST`` the two become the base of the next ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
MOST = 256


class Overlay(Mapping[K, V]):
    """A base and what has changed of it; ``over`` holds None for what is gone."""

    __slots__ = ("_size", "base", "over")

    def __init__(self, base: dict[K, V], over: dict[K, V | None], size: int) -> None:
        self.base = base
        self.over = over
        self._size = size

    @classmethod
    def empty(cls) -> Overlay[K, V]:
        """Nothing."""
        return cls({}, {}, 0)

    def changed(self, changes: Mapping[K, V | None]) -> Overlay[K, V]:
        """This one with some values changed, and those gone whose value is None."""
        size = self._size
        for key, value in changes.items():
            size += (value is not None) - (key in self)
        over = {**self.over, **changes}
        if len(over) <= MOST:
            return Overlay(self.base, over, size)
        base = self.base.copy()
        for key, one in over.items():
            if one is not None:
                base[key] = one
            else:
                base.pop(key, None)
        return Overlay(base, {}, size)

    def __getitem__(self, key: K) -> V:
        if key in self.over:
            found = self.over[key]
            if found is None:
                raise KeyError(key)
            return found
        return self.base[key]

    def __iter__(self) -> Iterator[K]:
        over = self.over
        yield from (key for key in self.base if key not in over)
        yield from (key for key, value in over.items() if value is not None)

    def __len__(self) -> int:
        return self._size
