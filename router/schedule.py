"""The schedule of a route: when its flag is in force."""

from __future__ import annotations

import msgspec


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a flag is in force: [start_ms, end_ms) in UTC. ``inside`` is what gateways go by.

    Nobody on the way of a request reads a clock: each passing of an edge is a revision of its own.
    """

    start_ms: int | None
    end_ms: int | None
    inside: bool

    def at(self, now: int) -> bool:
        """Whether a moment is inside."""
        return (self.start_ms is None or now >= self.start_ms) and (self.end_ms is None or now < self.end_ms)
