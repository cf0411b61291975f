"""The small writes of one turn of the loop, made one behind the other when everything that came has been read.

A write wakes its reader, which costs more than the write: while the first reader of many wakes, the others' octets are
there already. Made in between instead, requests cost an eighth more. A lone request waits for nobody.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

SMALL: Final = 16_384  # octets; what is longer is not held for others
MOST: Final = 32  # writes that wait at a time


class Turn:
    """What waits for the end of a turn.

    Attributes:
        open_requests: of this worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open_requests = 0
        self._loop: Any = loop
        self._waiting: list[tuple[Any, bytes]] = []

    def write(self, transport: Any, data: bytes) -> None:
        """Write to a transport, behind whatever was written to it before."""
        waiting = self._waiting
        if self.open_requests < 2 or len(data) > SMALL:
            if waiting:
                self.settle()
            transport.write(data)
            return
        if not waiting:
            self._loop.call_soon(self.settle)
        waiting.append((transport, data))
        if len(waiting) >= MOST:
            self.settle()

    def settle(self) -> None:
        """Write all that waits; also before a connection is closed."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
