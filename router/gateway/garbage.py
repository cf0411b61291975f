"""When a worker looks for garbage: not while flags are loaded, and never through flags that stay.

What a flag is compiled to has no cycles and goes when its last reference goes. Looking through thousands of them for
garbage, again and again while they come in, costs as much as their compilation, and stops requests meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SETTLE_EVERY = 10  # flags: so few are looked through in a fraction of a ms


@contextmanager
def unsought() -> Iterator[None]:
    """Nobody looks for garbage inside; what is there at the end stays and is not looked through again."""
    sought = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if sought:
            gc.enable()


class Settling:
    """Sets flags aside from the collector as they come in, a few at a time."""

    def __init__(self) -> None:
        self._waiting = 0

    def came(self, flags: int) -> bool:
        """So many flags came in; whether it is time to settle, in a turn of the loop in which no flag comes in."""
        self._waiting += flags
        return self._waiting >= SETTLE_EVERY

    def settle(self) -> None:
        """Set aside what came in."""
        if self._waiting:
            gc.collect(1)  # what is garbage now must not be set aside with them: nobody would ever find it
            gc.freeze()
            self._waiting = 0
