"""A run: one life of an experiment, from its start to a final state, as the store keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from router.flag import Flag
from router.lanes import MEASURES, Holdout, Lane, RunningExperiment, Slice
from router.rules import Condition
from router.traits import Traits

NOT_READY = "arm not ready"
FINAL = frozenset({"promoted", "rolled_back", "ended", "superseded"})
# What a metric asks of its sums: these may change between two attempts, all else says how the sums are read.
ASKED = frozenset({"role", "mde", "margin", "tolerance", "grace_ms"})


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
        "reason": NOT_READY,
        "paused": False,
        "step": -1,
        "step_since": now,
        "started": now,
        "deadline_from": now,
        "ended": None,
        "control": spec["control"],
        "treatment": spec["treatment"],
        "spec": spec,
        "compares": {},
        "prior": {},
        "coverage": [],
        "maxima": {},
        "srm": 0.0,
        "look": None,
        "evidence": None,
        "verdict": "inconclusive",
        "decision": None,
        "looks": [],
        "rolls": [],
        "constants": {},
    }


def compares(flag: Flag, spec: Mapping[str, Any]) -> dict[str, str]:
    """What a run compares, by identity: two runs that compare the same ask the same question."""
    arms = {role: flag.arm(spec[role]).identity for role in ("control", "treatment")}
    return arms | {"unit": flag.unit.kind}


def prior_of(run: Mapping[str, Any], runs: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What earlier attempts at the same comparison have summed up, by metric: strata for ``Stratum``.

    A new attempt goes on in the same promotion e-process, so that trying again spends no error twice. What a changed
    file has superseded is discarded, but not what that run itself went on from. A metric that is read in another way
    starts anew.
    """
    same = [
        one
        for one in runs
        if one["experiment"] == run["experiment"]
        and run["compares"] in (one["compares"], *one.get("compared", ()))
    ]
    last = max(
        (one for one in same if one["epoch"] < run["epoch"]), key=lambda one: one["epoch"], default=None
    )
    if last is None:
        return {}
    before = {metric["name"]: metric for metric in last["spec"]["metrics"]}
    rows = (last["evidence"] or {}).get("metrics", {}) if last["state"] != "superseded" else {}
    found: dict[str, list[Any]] = {}
    for metric in run["spec"]["metrics"]:
        name = metric["name"]
        if _read_alike(metric, before.get(name)):
            closed = rows[name]["sums"]["closed"] if name in rows else []
            found[name] = [*last["prior"].get(name, []), *closed]
    return {name: strata for name, strata in found.items() if strata}


def _read_alike(metric: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    return other is not None and all(metric.get(key) == other.get(key) for key in {*metric, *other} - ASKED)


def _traits(spec: dict[str, Any]) -> Traits | msgspec.UnsetType:
    covariate, segments = spec.get("covariate"), spec.get("segments")
    if covariate is None and segments is None:
        return msgspec.UNSET
    return Traits(
        covariate=tuple(covariate) if covariate else None,
        segments=tuple(segments["from"]) if segments else None,
        values=tuple(segments["values"]) if segments else (),
    )


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
        measures=tuple(metric["name"] for metric in spec["metrics"] if metric["name"] in MEASURES),
        ttl_ms=max(metric["window_ms"] + metric["grace_ms"] for metric in spec["metrics"]),
        traits=_traits(spec),
        audience=msgspec.convert(spec.get("audience", ()), tuple[Condition, ...]),
        holdouts=holdouts,
        layer=layer,
        sticky=0 if spec.get("sticky") else msgspec.UNSET,
    )
