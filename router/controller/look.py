"""One look at a run: moments and health to evidence, evidence to a decision, both to one write.

A look is recorded by its cursor and its watermark, so that it can be taken again from the same entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.controller.fold import Fold
from router.decision import Decision, decide
from router.evidence import Evidence, Health, weigh
from router.flag import Flag
from router.lifecycle import Action
from router.moments import constants_of
from router.store.flags import Change

LOOKS_KEPT = 400
SILENCE_FACTOR = 10
SILENCE_LEAST_MS = 10_000
SILENCE_AFTER_REPORTS = 10


def health_of(fold: Fold, now: int, lag_limit_ms: int, silence_ms: int) -> Health:
    """What the fold knows about its telemetry."""
    counts = fold.state.counts
    sent = (counts.get("sent|0", 0), counts.get("sent|1", 0))
    dropped = (counts.get("dropped|0", 0), counts.get("dropped|1", 0))
    lost = _with_lost_entries(fold, sent, dropped)
    writers = fold.state.writers.writers.values()
    alive = [writer for writer in writers if now - writer.seen < silence_ms]
    lag = now - fold.unread_since if fold.unread_since is not None else 0
    if not alive and writers:
        lag = max(lag, now - max(writer.seen for writer in writers))
    shown = {name: value for name, value in counts.items() if "|" not in name}
    shown["lost_entries"] = fold.state.writers.lost_entries
    return Health(sent, lost, lag, lag_limit_ms, silent_metrics(fold.state.reports, now), shown)


def _with_lost_entries(fold: Fold, sent: tuple[int, int], dropped: tuple[int, int]) -> tuple[int, int]:
    """Rows of entries that are missing from a sequence are not known: they are taken to be as long as the others."""
    writers = fold.state.writers
    if not writers.lost_entries:
        return dropped
    control, treatment = (writers.lost_entries * rows // writers.arrived_entries for rows in sent)
    return dropped[0] + control + (1 if not control else 0), dropped[1] + treatment


def silent_metrics(reports: Mapping[str, list[int]], now: int) -> tuple[str, ...]:
    """Metrics that used to arrive and have been silent for ten times their usual gap."""
    silent = []
    for name, (count, first, last) in reports.items():
        usual = (last - first) / (count - 1) if count > 1 else 0
        if count >= SILENCE_AFTER_REPORTS and now - last > max(SILENCE_FACTOR * usual, SILENCE_LEAST_MS):
            silent.append(name)
    return tuple(silent)


def look(
    run: Mapping[str, Any], flag: Flag, fold: Fold, health: Health, now: int, *, ready: bool
) -> tuple[Decision, Change]:
    """Look once, decide, and say what to write: everything in one change."""
    evidence = weigh(run, fold.moments, health, now)
    decision = decide(run, evidence, flag, now, ready=ready)
    new_run = dict(decision.run) if decision.run is not None else {**run, "version": run["version"] + 1}
    number = (run["look"] or {}).get("number", 0) + 1
    watermark = fold.state.writers.watermark
    new_run |= {
        "look": {
            "number": number,
            "time": now,
            "cursor": {"0": fold.cursor.decode()},
            "watermark": watermark,
        },
        "evidence": evidence.document,
        "verdict": evidence.verdict.value,
        "maxima": evidence.maxima,
        "srm": evidence.srm,
        "waits": list(decision.waits),
        "sentence": decision.sentence,
        "looks": _thinned(run["looks"], evidence, run, now),
        "constants": constants_of(run, fold.moments, now),
        **({} if evidence.horizon is None else {"horizon": evidence.horizon}),
    }
    audit = _audit(run, new_run, flag, decision, evidence, now) if decision.action is not Action.NONE else {}
    return decision, Change(audit, decision.flag, new_run)


def _audit(
    run: Mapping[str, Any],
    new_run: Mapping[str, Any],
    flag: Flag,
    decision: Decision,
    evidence: Evidence,
    now: int,
) -> dict[str, Any]:
    metrics = {
        name: {
            key: row[key]
            for key in ("control", "treatment", "estimate", "interval", "max_log_e", "threshold")
        }
        for name, row in evidence.document["metrics"].items()
    }
    return {
        "time": now,
        "actor": "controller",
        "action": decision.action.value,
        "reason": decision.sentence,
        "route": run["route"],
        "run": run["run"],
        "revision": decision.flag.revision if decision.flag else flag.revision,
        "old": {"state": run["state"], "step": run["step"], "default": flag.default},
        "new": {
            "state": new_run["state"],
            "step": new_run["step"],
            "default": decision.flag.default if decision.flag else flag.default,
        },
        "evidence": {"look": new_run["look"], "units": evidence.document["units"], "metrics": metrics},
    }


def _thinned(looks: list[list[Any]], evidence: Evidence, run: Mapping[str, Any], now: int) -> list[list[Any]]:
    """The goal's estimate over time; beyond 400 points every second one of the older half goes."""
    goal = evidence.document["metrics"][run["spec"]["metrics"][0]["name"]]
    low, high = goal["interval"] or (None, None)
    row = [now, goal["estimate"], low, high, goal["control"]["n"], goal["treatment"]["n"]]
    looks = [*looks, row]
    if len(looks) > LOOKS_KEPT:
        half = LOOKS_KEPT // 2
        looks = looks[:half:2] + looks[half:]
    return looks
