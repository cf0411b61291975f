"""Flags compiled for those who ask over HTTP; read again when they are a quarter of a second old, and only what moved."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping

from router.assignment import CompiledFlag
from router.flag import Flag
from router.store.flags import PAGE, FlagStore

FRESH_S = 0.25
WHOLE_S = 30.0  # so often everything is read anew, whatever the changes say


class FlagBook:
    """All flags, compiled, as of a moment ago."""

    def __init__(self, store: FlagStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._flags: dict[str, CompiledFlag] = {}
        self._position = 0
        self._store_id = ""
        self._digest = ""
        self._read_at = self._whole_at = float("-inf")

    def flags(self) -> Mapping[str, CompiledFlag]:
        """All flags, compiled, by route; the mapping is never changed.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return self.read()[0]

    def read(self) -> tuple[Mapping[str, CompiledFlag], str]:
        """All flags, and a digest of which flags these are: equal ones, in whatever process, have equal flags.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= FRESH_S:
                if not self._follow(whole=now - self._whole_at >= WHOLE_S):
                    self._follow(whole=True)
                self._read_at = time.monotonic()
            if not self._digest:
                revisions = (f"{name} {one.flag.revision}" for name, one in sorted(self._flags.items()))
                self._digest = hashlib.sha256("\n".join([self._store_id, *revisions]).encode()).hexdigest()
            return self._flags, self._digest

    def _follow(self, *, whole: bool) -> bool:
        """Read what changed, or everything; False when the store is not the one whose changes were followed."""
        position = 0 if whole else self._position
        read: dict[str, CompiledFlag] = {}
        gone: set[str] = set()
        while True:
            found = self._store.moved(position)
            if not whole and (found.store_id != self._store_id or found.latest < self._position):
                return False
            read |= {name: self._compiled(name, flag) for name, flag in found.changed.items()}
            read |= {name: self._flags[name] for name in found.corrupt if name in self._flags}
            gone |= found.gone
            position = found.position
            if len(found.changed) + len(found.corrupt) + len(found.gone) < PAGE:
                break
        if read or gone or whole:
            left = {} if whole else {name: one for name, one in self._flags.items() if name not in gone}
            self._flags = {**left, **read}
            self._digest = ""
        self._position, self._store_id = position, found.store_id
        if whole:
            self._whole_at = time.monotonic()
        return True

    def _compiled(self, name: str, flag: Flag) -> CompiledFlag:
        held = self._flags.get(name)
        return held if held is not None and held.flag == flag else CompiledFlag(flag)
