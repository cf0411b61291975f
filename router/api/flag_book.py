"""Flags compiled for those who ask over HTTP; read again when they are a quarter of a second old, and only what moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from router.assignment import CompiledFlag
from router.flag import Flag
from router.store.flags import FlagStore

FRESH_S = 0.25


class FlagBook:
    """All flags, compiled, as of a moment ago."""

    def __init__(self, store: FlagStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._compiled: dict[str, CompiledFlag] = {}
        self._flags: dict[str, Flag] = {}
        self._read_at = float("-inf")

    def flags(self) -> tuple[Mapping[str, CompiledFlag], Mapping[str, Flag]]:
        """All flags, compiled and as they are stored; neither is ever changed.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                found = self._store.moved({name: flag.revision for name, flag in self._flags.items()})
                if found.changed or found.gone:
                    kept = {name: flag for name, flag in self._flags.items() if name not in found.gone}
                    self._flags = kept | found.changed
                    compiled = {name: CompiledFlag(flag) for name, flag in found.changed.items()}
                    self._compiled = {
                        name: compiled.get(name) or self._compiled[name] for name in self._flags
                    }
                self._read_at = time.monotonic()
            return self._compiled, self._flags
