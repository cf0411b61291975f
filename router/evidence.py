"""Evidence: what the moments of a run say, metric by metric, and the verdict of all of them together.

``weigh`` is a function of values: the run (its spec and running maxima), the moments, the health of the telemetry. It
returns every number needed to recompute it. Missing evidence is a value; no data never promotes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from router.claims import grid_unit
from router.health import REPORTED_MARGIN, Health, check, reporting, unequal_reports
from router.metric import KINDS, Kind
from router.moments import Moments, frozen_limit
from router.reading import Stratum, harm_sign, information, point

LEAST_CONTROL_EVENTS = 10  # an absent report means zero only while reports arrive
TREATMENTS = 1


class Verdict(StrEnum):
    """What the evidence says."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class State(StrEnum):
    """What the evidence says of one metric."""

    HARMFUL = "harmful"
    SUPERIOR = "superior"
    NON_INFERIOR = "non_inferior"
    UNDECIDED = "undecided"
    NO_DATA = "no_data"


PASSED = (State.SUPERIOR, State.NON_INFERIOR)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of a look.

    Attributes:
        verdict: of the run.
        document: everything, as it is stored and shown.
        maxima: the running maxima of log e by metric and test, after this look.
        srm: the running maximum of the mismatch's log e.
        harmful: names of metrics whose harm is shown.
        invalid: why the telemetry cannot be trusted, in words.
        missing: what a promotion still lacks before it can be read at all, in words.
        proven: whether all that a promotion asks of the evidence is there.
        step_waits: what keeps the present step from going on, in words.
    """

    verdict: Verdict
    document: dict[str, Any]
    maxima: dict[str, dict[str, float]]
    srm: float
    harmful: tuple[str, ...]
    invalid: tuple[str, ...]
    missing: tuple[str, ...]
    proven: bool
    step_waits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Log e-values at which a claim counts as shown."""

    harm: float
    promote: float
    alpha_promote: float

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Thresholds:
        """Bonferroni over metrics and treatments for harm; none for promotion, where all must pass."""
        promote, harm = spec["alpha"]["promote"], spec["alpha"]["harm"]
        claims = TREATMENTS * len(spec["metrics"])
        return cls(math.log(claims / harm), math.log(TREATMENTS / promote), promote / TREATMENTS)


def weigh(run: Mapping[str, Any], values: Mapping[str, int], health: Health, now: int) -> Evidence:
    """One look at a run.

    Args:
        run: the run state; its ``maxima`` and ``srm`` are the running maxima so far.
        values: all moments of the run.
        health: of the telemetry.
        now: the time of the look, ms.
    """
    spec = run["spec"]
    moments, thresholds = Moments(values, run), Thresholds.of(spec)
    exposed = [(moments.value(s, 0, "", "u"), moments.value(s, 1, "", "u")) for s in moments.strata]
    arms = (run["control"], run["treatment"])
    checked = check(health, exposed, moments.share, run["srm"], arms)
    invalid = [*checked.problems, *moments.contradictions([metric["name"] for metric in spec["metrics"]])]
    rows: dict[str, dict[str, Any]] = {}
    for metric in spec["metrics"]:
        row = _weigh_metric(metric, moments, health, thresholds, run)
        rows[metric["name"]] = row
        seen = run["maxima"].get(metric["name"], {}).get("reported", 0.0)
        invalid += unequal_reports(metric["name"], row["reported"], seen)
    maxima = _raise_maxima(run["maxima"], rows, healthy=not invalid)
    for name, row in rows.items():
        row["max_log_e"] = maxima[name]
        row["state"] = _state(row, maxima[name], thresholds).value
    units = {
        arm: {name: moments.count(i, key) for name, key in (("exposed", "u"), ("closed", "c"), ("left", "x"))}
        for i, arm in enumerate(arms)
    }
    document = {
        "time": now,
        "health": checked.document | {"problems": invalid, "ok": not invalid},
        "units": units,
        "metrics": rows,
        "interval_level": 1 - 2 * thresholds.alpha_promote,
    }
    return _conclude(run, document, maxima, checked.srm, thresholds)


def _weigh_metric(
    metric: dict[str, Any], moments: Moments, health: Health, thresholds: Thresholds, run: Mapping[str, Any]
) -> dict[str, Any]:
    kind, name = KINDS[metric["kind"]], metric["name"]
    read = {key: kind.reading(metric, key) for key in ("r", "c")}
    running, closed = (moments.sums(name, read[key], key) for key in ("r", "c"))
    absent = _absence(metric, moments, health) or _limit_missing(metric, moments, run)
    if absent:
        running = closed = []
    # Earlier attempts with the same treatment go on in the same promotion e-process.
    earlier = [Stratum(*row) for row in run.get("prior", {}).get(name, ())]
    promoting_on = kind.promotes_on(metric)
    present = running if promoting_on == "r" else closed
    promoting = [*earlier, *present] if present else []
    tests = {"harm": kind.harm(read["r"], running, metric), **kind.promoting(promoting, metric)}
    gate = "" if kind.exact(metric) else information(read[promoting_on], promoting, metric).missing
    reported = None
    if metric["absent"] == "missing":
        reported = reporting(moments.reports(name))
        tests |= {"reported": reported["log_e"], "reported_equal": reported["log_e_equal"]}
    harm = max(tests["harm"], run["maxima"].get(name, {}).get("harm", 0.0))
    row = {key: metric[key] for key in ("role", "kind", "better", "margin", "tolerance", "mde")}
    row |= {"share": kind.share, "relative": bool(metric.get("relative"))}
    row["beside"] = kind.beside(closed, metric) if kind.beside and closed else {}
    row |= _shown(metric, kind, running, closed, moments, thresholds, run, harmful=harm >= thresholds.harm)
    return row | {
        "log_e": tests,
        "threshold": {"harm": thresholds.harm, "promote": thresholds.promote},
        "gated": bool(gate),
        "missing": absent or _no_value(running, present),
        "promotion_missing": kind.units_missing(promoting, metric) or gate,
        "reported": reported,
        "sums": {
            "running": [list(s) for s in running],
            "closed": [list(s) for s in closed],
            "earlier": [list(s) for s in earlier],
        },
    }


def _absence(metric: Mapping[str, Any], moments: Moments, health: Health) -> str:
    """Why a metric has no value now, although its units are counted; empty when it has one."""
    if metric["absent"] != "zero" or metric["builtin"]:
        return ""
    events = moments.count(0, "e", metric["name"])
    if events < LEAST_CONTROL_EVENTS:
        return f"{LEAST_CONTROL_EVENTS} reports in control before silence can mean zero (now {events})"
    return "reports to arrive again" if health.silent is None or metric["name"] in health.silent else ""


def _limit_missing(metric: Mapping[str, Any], moments: Moments, run: Mapping[str, Any]) -> str:
    """What a limit that is a quantile of control still waits for; empty once it is frozen."""
    if not metric.get("quantile") or metric["name"] in run.get("constants", {}):
        return ""
    return f"its limit: {frozen_limit(metric, moments).missing or 'it is frozen with this look'}"


def _no_value(running: Sequence[Stratum], closed: Sequence[Stratum]) -> str:
    if not running:
        return "a value in both arms"
    return "" if closed else "a closed window with a value in both arms"


def _shown(
    metric: dict[str, Any],
    kind: Kind,
    running: Sequence[Stratum],
    closed: Sequence[Stratum],
    moments: Moments,
    thresholds: Thresholds,
    run: Mapping[str, Any],
    *,
    harmful: bool,
) -> dict[str, Any]:
    """Levels, estimate and interval: of closed windows when they can speak, of all units so far else and for harm."""
    superiority = run["spec"]["kind"] == "ab" and metric["role"] == "goal"
    unit = grid_unit(metric, "superiority" if superiority else "non_inferiority")
    alpha = 2 * thresholds.alpha_promote
    name, reading, key, strata = metric["name"], kind.reading(metric, "c"), "c", closed
    interval = None if harmful or kind.early(metric) else kind.interval(reading, closed, metric, unit, alpha)
    if interval is None and (running or not closed):
        reading, key, strata = kind.reading(metric, "r"), "r", running
        shown = grid_unit(metric, "harm") if harmful else unit
        interval = kind.interval(reading, strata, metric, shown, alpha) if strata else None
    levels = [reading.level(moments.level_sums(name, reading, key, arm)) for arm in (0, 1)]
    return {
        side: {"n": level.n, "value": level.value, "events": level.events}
        for side, level in zip(("control", "treatment"), levels, strict=True)
    } | {
        "reading": "closed" if key == "c" else "running",
        "estimate": point(reading, strata, metric),
        "interval": list(interval) if interval else None,
    }


# Maxima of these tests may promote, so they grow only at healthy looks; harm and mismatches always grow.
PROMOTING = frozenset({"non_inferiority", "superiority", "futility", "reported_equal"})


def _raise_maxima(
    before: Mapping[str, Mapping[str, float]], rows: Mapping[str, Mapping[str, Any]], *, healthy: bool
) -> dict[str, dict[str, float]]:
    result = {}
    for name, row in rows.items():
        held = before.get(name, {})
        result[name] = {
            test: max(held.get(test, 0.0), log_e) if healthy or test not in PROMOTING else held.get(test, 0.0)
            for test, log_e in row["log_e"].items()
        }
    return result


def _state(row: Mapping[str, Any], maxima: Mapping[str, float], thresholds: Thresholds) -> State:
    if maxima["harm"] >= thresholds.harm:
        return State.HARMFUL
    if row["missing"]:
        return State.NO_DATA
    if row["role"] == "goal" and maxima["superiority"] >= thresholds.promote:
        return State.SUPERIOR
    return State.NON_INFERIOR if maxima["non_inferiority"] >= thresholds.promote else State.UNDECIDED


def _missing(rows: Mapping[str, Mapping[str, Any]], thresholds: Thresholds) -> tuple[str, ...]:
    """What a promotion lacks: values, gates, and the proof that the arms report alike."""
    missing = []
    for name, row in rows.items():
        if row["missing"]:
            missing.append(f"{name}: {row['missing']}")
        elif row["state"] == State.UNDECIDED and row["promotion_missing"]:
            missing.append(f"{name}: {row['promotion_missing']}")
        reported = row["reported"]
        if reported is None:
            continue
        if None in reported["rates"] or 0 in reported["reported"]:
            missing.append(f"{name}: units with a report in both arms")
        elif row["max_log_e"]["reported_equal"] < thresholds.promote:
            missing.append(
                f"{name}: proof that the arms report alike to within {REPORTED_MARGIN * 100:.0f} pp"
            )
    return tuple(missing)


def _conclude(
    run: Mapping[str, Any],
    document: dict[str, Any],
    maxima: dict[str, dict[str, float]],
    srm: float,
    thresholds: Thresholds,
) -> Evidence:
    rows, invalid = document["metrics"], tuple(document["health"]["problems"])
    harmful = tuple(name for name, row in rows.items() if row["state"] == State.HARMFUL)
    missing = _missing(rows, thresholds)
    guardrails = all(row["state"] in PASSED for row in rows.values() if row["role"] == "guardrail")
    goal_name, goal = next((name, row) for name, row in rows.items() if row["role"] == "goal")
    superior = goal["state"] == State.SUPERIOR
    if run["spec"]["kind"] == "canary":
        equivalent = guardrails and goal["state"] in PASSED
    else:
        equivalent = maxima[goal_name]["futility"] >= thresholds.promote
    verdict = Verdict.INCONCLUSIVE
    if harmful:
        verdict = Verdict.WORSE
    elif invalid:
        verdict = Verdict.INVALID
    elif not missing and guardrails and superior:
        verdict = Verdict.BETTER
    elif not missing and equivalent:
        verdict = Verdict.EQUIVALENT
    canary = run["spec"]["kind"] == "canary"
    proven = verdict is Verdict.BETTER or (canary and verdict is Verdict.EQUIVALENT)
    waits = (
        *(f"{name}: {row['missing']}" for name, row in rows.items() if row["missing"]),
        *_step_waits(rows),
    )
    document |= {"verdict": verdict.value, "missing": list(missing)}
    return Evidence(verdict, document, maxima, srm, harmful, invalid, missing, proven, waits)


def _step_waits(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What keeps a step from going on although harm is not shown: a harm half shown, an estimate outside its margin."""
    waits = []
    for name, row in rows.items():
        if row["log_e"]["harm"] > row["threshold"]["harm"] / 2:
            waits.append(f"{name}: its evidence of harm is above half of what rolls back")
        if row["estimate"] is not None and row["estimate"] * harm_sign(row) >= row["margin"]:
            waits.append(f"{name}: its estimate is outside the margin")
    return waits


__all__ = ["Evidence", "Health", "Moments", "State", "Thresholds", "Verdict", "weigh"]
