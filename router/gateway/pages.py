"""The gateway's own paths: is it alive, may it get traffic, what has it counted.

A gateway is ready once it has flags, from Redis or from disk; that Redis is away makes it no less ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from router.gateway.metrics import CONTENT_TYPE, text

JSON = b"application/json"
Page = tuple[int, bytes, bytes]
PATHS = frozenset((b"/livez", b"/readyz", b"/metrics"))


class Pages:
    """Answers the gateway's own paths from what the worker tells about itself."""

    def __init__(
        self,
        state: Callable[[], Mapping[str, Any]],
        totals: Callable[[], Mapping[str, int]],
        gauges: Callable[[], Mapping[str, float]],
    ) -> None:
        self._state = state
        self._totals = totals
        self._gauges = gauges

    def __call__(self, path: bytes) -> Page | None:
        """The page at a path; None when the path is not ours."""
        if path == b"/livez":
            return 200, JSON, b'{"alive":true}'
        if path == b"/readyz":
            state = self._state()
            return (200 if state["ready"] else 503), JSON, msgspec.json.encode(state)
        if path == b"/metrics":
            return 200, CONTENT_TYPE, text(self._totals(), self._gauges())
        return None
