"""A run: one life of an experiment, from its start to a final state, as the store keeps it."""

from __future__ import annotations

from typing import Any

import msgspec

from router.lanes import Holdout, Lane, RunningExperiment, Slice
from router.rules import Condition

FINAL = frozenset({"promoted", "rolled_back", "ended", "superseded"})


def plain_values(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct as a run keeps it: equal to itself after a way through JSON."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(struct))
    return values


def new_run(spec: dict[str, Any], epoch: int, now: int) -> dict[str, Any]:
    """The state of a run before its first step: held until the treatment is ready."""
    return {
        "format": 1,
        "run": f"{spec['experiment']}.{epoch}",
        "experiment": spec["experiment"],
        "route": spec["route"],
        "attempt": spec["attempt"],
        "epoch": epoch,
        "version": 1,
        "state": "held",
        "reason": "arm not ready",
        "paused": False,
        "step": -1,
        "step_since": now,
        "started": now,
        "ended": None,
        "control": spec["control"],
        "treatment": spec["treatment"],
        "spec": spec,
        "coverage": [],
        "maxima": {},
        "srm": 0.0,
        "look": None,
        "evidence": None,
        "verdict": "inconclusive",
        "decision": None,
        "looks": [],
    }


def running_experiment(
    spec: dict[str, Any], run: str, epoch: int, holdouts: tuple[Holdout, ...] = (), layer: Slice | None = None
) -> RunningExperiment:
    """The experiment as its flag holds it, before the first step."""
    slow = [metric["over_ms"] for metric in spec["metrics"] if metric["name"] == "slow"]
    return RunningExperiment(
        run=run,
        experiment=spec["experiment"],
        epoch=epoch,
        salt=f"{spec['route']}:{epoch}",
        lanes=tuple(Lane(**lane) for lane in spec["lanes"]),
        coverage=0,
        traffic=spec["traffic"],
        slow_ms=slow[0] if slow else None,
        ttl_ms=max(metric["window_ms"] + metric["grace_ms"] for metric in spec["metrics"]),
        audience=msgspec.convert(spec.get("audience", ()), tuple[Condition, ...]),
        holdouts=holdouts,
        layer=layer,
    )
