"""Schedules as revisions: a flag whose schedule has passed an edge is written anew, once, by whoever leads.

Gateways never read a clock for it, so what routed at a moment stands in the audit log. After an outage the flag is
brought to where the clock is now; edges that passed meanwhile are not played one by one.
"""

from __future__ import annotations

from collections.abc import Iterable

from router.flag import Flag
from router.store.flags import Change


def due(flags: Iterable[Flag], now: int) -> list[Change]:
    """One change for each flag that is not where its schedule wants it."""
    changes = []
    for flag in flags:
        wanted = flag.with_schedule_at(now)
        if wanted is flag or wanted.schedule is None:
            continue
        new = wanted.with_revision(flag.revision + 1)
        inside = wanted.schedule.inside
        audit = {
            "time": now,
            "actor": "controller",
            "action": "schedule",
            "reason": "inside its schedule" if inside else "outside its schedule",
            "route": flag.route,
            "run": None,
            "revision": new.revision,
            "old": flag.document(),
            "new": new.document(),
        }
        changes.append(Change(audit, new))
    return changes
