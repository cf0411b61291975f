"""Evidence: what the moments of a run say, all metrics together, and the verdict of them.

``weigh`` is a function of values: the run (its spec, running maxima and plan), the moments, the health of the telemetry.
It returns every number needed to recompute it. Missing evidence is a value; no data never promotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from router import readouts
from router.health import Health, check, unequal_reports
from router.methods import Claim, method_of, plan_of
from router.metric import KINDS
from router.moments import Moments
from router.verdict import (
    PASSED,
    VERDICTS,
    Ground,
    State,
    Verdict,
    ground_of,
    is_futile,
    raise_maxima,
    set_states,
    step_waits,
    what_is_missing,
)
from router.weighing import Look, Thresholds, Values, planned_interval, weigh_metric
from stats.evalues import anytime_p


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of a look.

    Attributes:
        verdict: of the run.
        ground: why.
        document: everything, as it is stored and shown.
        maxima: the running maxima of each test's number by metric and test, after this look.
        srm: the running maximum of the mismatch's log e.
        horizon: what a planned run keeps of its looks; None without a plan.
        harmful: names of metrics whose harm is shown.
        invalid: why the telemetry cannot be trusted, in words.
        missing: what a promotion still lacks before it can be read at all, in words.
        proven: whether all that a promotion asks of the evidence is there.
        leading: the goal that sentences speak of: the first that is shown to be better, else the first.
        step_waits: what keeps the present step from going on, in words.
    """

    verdict: Verdict
    ground: Ground
    document: dict[str, Any]
    maxima: dict[str, dict[str, float]]
    srm: float
    horizon: dict[str, Any] | None
    harmful: tuple[str, ...]
    invalid: tuple[str, ...]
    missing: tuple[str, ...]
    proven: bool
    leading: str
    step_waits: tuple[str, ...]


def weigh(run: Mapping[str, Any], values: Mapping[str, int], health: Health, now: int) -> Evidence:
    """One look at a run.

    Args:
        run: the run state; its ``maxima`` and ``srm`` are the running maxima so far.
        values: all moments of the run.
        health: of the telemetry.
        now: the time of the look, ms.
    """
    spec, moments = run["spec"], Moments(values, run)
    plan = plan_of(run, sum(moments.count(arm, "c") for arm in (0, 1)))
    look = Look(run, moments, health, plan, Thresholds.of(spec, plan))
    arms = (run["control"], run["treatment"])
    exposed = [(moments.value(s, 0, "", "u"), moments.value(s, 1, "", "u")) for s in moments.strata]
    checked = check(_deciding_only(health, spec), exposed, moments.share, run["srm"], arms)
    weighed = {metric["name"]: weigh_metric(metric, look) for metric in spec["metrics"]}
    rows = {name: row for name, (row, _) in weighed.items()}
    deciding = {name: row for name, row in rows.items() if row["role"] != "observed"}
    invalid = [*checked.problems, *moments.contradictions(list(rows))]
    for name, row in deciding.items():
        seen = run["maxima"].get(name, {}).get("reported", 0.0)
        invalid += unequal_reports(name, row["reported"], seen)
    maxima = raise_maxima(run["maxima"], rows, healthy=not invalid, over=plan.over)
    set_states(rows, maxima, plan.alpha)
    _finish(look, weighed, maxima)
    claims = [claim for name, (_, claim) in weighed.items() if name in deciding]
    horizon = run.get("horizon") if invalid or "max_units" not in spec else plan.after(claims)
    document = {
        "time": now,
        "health": checked.document | {"problems": invalid, "ok": not invalid},
        "units": _units(moments, arms),
        "metrics": rows,
        "method": _method(look, horizon),
        "interval_level": 1 - 2 * look.thresholds.alpha_promote,
    }
    return _conclude(run, document, maxima, checked.srm, horizon)


def _units(moments: Moments, arms: tuple[str, str]) -> dict[str, dict[str, int]]:
    return {
        arm: {
            "exposed": moments.count(i, "u"),
            "closed": moments.count(i, "c"),
            "left": moments.count(i, "x"),
        }
        for i, arm in enumerate(arms)
    }


def _method(look: Look, horizon: dict[str, Any] | None) -> dict[str, Any]:
    """How a promotion is shown, and what of its plan is used up."""
    return {
        "name": method_of(look.spec).name,
        "alpha": look.plan.alpha,
        "time": look.plan.time if "max_units" in look.spec else None,
        "horizon": horizon,
    }


def _deciding_only(health: Health, spec: Mapping[str, Any]) -> Health:
    """A metric that is only observed may fall silent, and nothing is held for it."""
    observed = {metric["name"] for metric in spec["metrics"] if metric["role"] == "observed"}
    if health.silent is None or not observed:
        return health
    return replace(health, silent=tuple(name for name in health.silent if name not in observed))


def _finish(
    look: Look, weighed: Mapping[str, tuple[dict[str, Any], Claim]], maxima: Mapping[str, Mapping[str, float]]
) -> None:
    """What is shown once states and maxima are there; nothing of it decides."""
    for metric in look.spec["metrics"]:
        row, claim = weighed[metric["name"]]
        kind = KINDS[metric["kind"]]
        row["anytime_p"] = {test: anytime_p(number) for test, number in maxima[metric["name"]].items()}
        row["planned_interval"] = planned_interval(row, claim)
        shown = row["state"] in (State.HARMFUL, *PASSED)
        row["stopped"] = (
            readouts.stopped(metric, kind, Values.of(metric, kind, look).closed) if shown else None
        )
    rows = {name: row for name, (row, _) in weighed.items()}
    readouts.name_differences(rows)
    readouts.adjust(rows)


def _conclude(
    run: Mapping[str, Any],
    document: dict[str, Any],
    maxima: dict[str, dict[str, float]],
    srm: float,
    horizon: dict[str, Any] | None,
) -> Evidence:
    rows = {name: row for name, row in document["metrics"].items() if row["role"] != "observed"}
    invalid, missing = tuple(document["health"]["problems"]), what_is_missing(rows)
    goals = [name for name, row in rows.items() if row["role"] == "goal"]
    superior = [name for name in goals if rows[name]["state"] == State.SUPERIOR]
    futile = run["spec"]["kind"] == "ab" and all(is_futile(rows[name]) for name in goals)
    over = bool(horizon and horizon["over"])
    ground = ground_of(
        run["spec"]["kind"], rows, invalid=bool(invalid), missing=bool(missing), futile=futile, over=over
    )
    harmful = tuple(name for name, row in rows.items() if row["state"] == State.HARMFUL)
    verdict = VERDICTS.get(ground, Verdict.INCONCLUSIVE)
    waits = (
        *(f"{name}: {row['missing']}" for name, row in rows.items() if row["missing"]),
        *step_waits(rows),
    )
    document |= {"verdict": verdict.value, "ground": ground.value, "missing": list(missing)}
    return Evidence(
        verdict=verdict,
        ground=ground,
        document=document,
        maxima=maxima,
        srm=srm,
        horizon=horizon,
        harmful=harmful,
        invalid=invalid,
        missing=missing,
        proven=ground in (Ground.SUPERIOR, Ground.WITHIN_MARGINS),
        leading=(superior or goals)[0],
        step_waits=waits,
    )


__all__ = ["Evidence", "Ground", "Health", "Moments", "State", "Verdict", "weigh"]
