"""What one API process holds: settings, stores, keys, counters and the outcome log.

A view reaches it by ``plane()``. There is one per application, so that tests may run several in one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import redis
from flask import current_app

from router.api.counts import Counts
from router.api.flag_book import FlagBook
from router.api.outcome_log import OutcomeLog
from router.api.run_facts import RunBook
from router.decision_id import Signer, unit_digester
from router.forcing import Forcing
from router.settings import Settings
from router.store.events import EventLog
from router.store.flags import FlagStore
from router.store.keys import Keys
from router.store.secrets import load_secrets
from router.store.sticky import StickyUnits

EXTENSION = "pointsman"
WRITER_ROLE = "api"


def wall_ms() -> int:
    """UTC in whole milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Plane:
    """Everything a view may use."""

    settings: Settings
    store: FlagStore
    runs: RunBook
    flags: FlagBook
    sticky: StickyUnits
    outcomes: OutcomeLog
    signer: Signer
    forcing: Forcing
    digest: Callable[[bytes], int]
    counts: Counts
    csrf_key: bytes
    now: Callable[[], int]

    def close(self) -> None:
        """End the background thread; what was acknowledged is already stored."""
        self.outcomes.close()


def build(settings: Settings, client: redis.Redis, now: Callable[[], int] = wall_ms) -> Plane:
    """Put a plane together; the outcome log starts its thread with the first use."""
    keys = Keys(settings.prefix)
    store = FlagStore(client, keys)
    secrets = load_secrets(settings)
    runs = RunBook(store)
    outcomes = OutcomeLog(
        EventLog(client, keys),
        runs.live,
        now,
        limit=settings.buffer_rows,
        patience_s=2 * settings.store_timeout_ms / 1000,
    )
    return Plane(
        settings=settings,
        store=store,
        runs=runs,
        flags=FlagBook(store),
        sticky=StickyUnits(client, keys),
        outcomes=outcomes,
        signer=Signer(secrets.decision_keys),
        forcing=Forcing(secrets.decision_keys),
        digest=unit_digester(secrets.unit_key),
        counts=Counts(),
        csrf_key=secrets.unit_key,
        now=now,
    )


def plane() -> Plane:
    """The plane of the application that answers this request."""
    return cast(Plane, current_app.extensions[EXTENSION])
