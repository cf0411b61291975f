"""What the outcome door must know of a run: its metrics, its epoch, how long its decision ids are valid.

Read from the store and kept for half a second, so that a flood of outcomes is not a flood of questions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.store.flags import FlagStore

FRESH_S = 0.5
MOST_KEPT = 1000
# States in which the evidence is frozen: what arrives later is taken, counted and not analysed.
FINAL = frozenset({"promoted", "rolled_back", "ended", "superseded"})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts of one run."""

    run: str
    experiment: str
    epoch: int
    arms: int
    final: bool
    ttl_ms: int
    metrics: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> RunFacts:
        """Read a run state."""
        metrics = {metric["name"]: metric for metric in run["spec"]["metrics"]}
        ttl = max((m["window_ms"] + m["grace_ms"] for m in metrics.values()), default=0)
        final = run["state"] in FINAL
        arms = len(run["spec"]["lanes"])
        return cls(run["run"], run["experiment"], run["epoch"], arms, final, ttl, metrics)


class RunBook:
    """Facts by run and by experiment, read again when they are half a second old."""

    def __init__(self, store: FlagStore) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], tuple[float, RunFacts | None]] = {}
        self._lock = threading.Lock()

    def by_run(self, run: str) -> RunFacts | None:
        """The facts of a run, None when there is none.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return self._fresh("run", run)

    def by_experiment(self, experiment: str) -> RunFacts | None:
        """The facts of an experiment's latest run, None when there is none."""
        return self._fresh("experiment", experiment)

    def _fresh(self, kind: str, name: str) -> RunFacts | None:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get((kind, name))
        if kept is not None and now - kept[0] < FRESH_S:
            return kept[1]
        state = self._store.run(name) if kind == "run" else self._store.latest_run(name)
        facts = RunFacts.of(state) if state is not None else None
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[(kind, name)] = (now, facts)
        return facts

    def live(self) -> dict[str, int]:
        """The epoch of each run whose events are still folded: their writers must say that they live."""
        return {name: run["epoch"] for name, run in self._store.runs().items() if run["state"] not in FINAL}
