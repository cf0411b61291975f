"""Flags compiled for those who ask over HTTP; read again when they are a quarter of a second old, and only what moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from router.assignment import CompiledFlag
from router.store.flags import FlagStore

FRESH_S = 0.25


class FlagBook:
    """All flags, compiled, as of a moment ago."""

    def __init__(self, store: FlagStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._flags: dict[str, CompiledFlag] = {}
        self._read_at = float("-inf")

    def flags(self) -> Mapping[str, CompiledFlag]:
        """All flags, compiled, by route; the mapping is never changed.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                held = {name: compiled.flag.revision for name, compiled in self._flags.items()}
                found = self._store.moved(held)
                if found.changed or found.gone:
                    kept = {name: flag for name, flag in self._flags.items() if name not in found.gone}
                    self._flags = kept | {name: CompiledFlag(flag) for name, flag in found.changed.items()}
                self._read_at = time.monotonic()
            return self._flags
