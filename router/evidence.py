"""Evidence: what the moments of a run say, metric by metric, and the verdict of all of them together.

``weigh`` is a function of values: the run (its spec and running maxima), the moments, the health of the telemetry. It
returns every number needed to recompute it. Missing evidence is a value; no data never promotes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from router.metric import KINDS, Kind, Reading, Stratum, interval, point
from stats import evalues
from stats.estimates import proportion_difference

ALPHA_SRM = 0.001
REPORTED_E = 100.0  # a two-sided e-value of at least this shows that reporting differs
REPORTED_MARGIN = 0.10  # promotion needs the difference in reporting shown to be below this
LOSS_LIMIT = 0.01
LOSS_UNEQUAL_E = 1000.0
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


@dataclass(frozen=True, slots=True)
class Health:
    """What the fold knows about the telemetry, beside the moments.

    Attributes:
        sent: rows of (control, treatments) that arrived.
        lost: rows of (control, treatments) that did not, whether dropped and counted or missing from a sequence.
        lag_ms: age of the oldest entry not yet folded; None when it is not known.
        silent: metrics whose reports have stopped.
        counts: what is only shown: late, orphan, malformed, duplicate …
    """

    sent: tuple[int, int] = (0, 0)
    lost: tuple[int, int] = (0, 0)
    lag_ms: int | None = 0
    lag_limit_ms: int = 30_000
    silent: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of a look.

    Attributes:
        verdict: of the run.
        document: everything, as it is stored and shown.
        maxima: the running maxima of log e by metric and test, after this look.
        srm: the running maximum of the mismatch's log e.
        harmful, invalid, missing: metrics and reasons, in words.
        proven: whether all metrics are non-inferior and the goal's condition holds.
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


class Moments:
    """The moments of a run, by stratum, arm and metric."""

    def __init__(self, values: Mapping[str, int], run: Mapping[str, Any]) -> None:
        self._values = values
        lanes = run["spec"]["lanes"]
        total = sum(lane["share"] for lane in lanes)
        self.share = next(lane["share"] for lane in lanes if lane["role"] == "treatment") / total
        self.strata = sorted({name.partition("|")[0] for name in values}) or [str(run["epoch"])]

    def value(self, stratum: str, arm: int, metric: str, reading: str, name: str) -> int:
        """One sum; 0 where nothing was ever folded."""
        return self._values.get(f"{stratum}|{arm}|{metric}|{reading}|{name}", 0)

    def count(self, arm: int, reading: str, metric: str = "") -> int:
        """Units of an arm over all strata."""
        return sum(self.value(stratum, arm, metric, reading, "n") for stratum in self.strata)

    def sums(self, metric: str, reading: Reading, key: str) -> list[Stratum]:
        """Both arms' sums in each stratum where both have units."""
        strata = []
        for stratum in self.strata:
            control, treatment = (
                tuple(self.value(stratum, arm, metric, key, name) for name in reading.names) for arm in (0, 1)
            )
            if control[0] and treatment[0]:
                strata.append(Stratum(control, treatment, self.share))
        return strata

    def level_sums(self, metric: str, reading: Reading, key: str, arm: int) -> tuple[int, ...]:
        """One arm's sums over all strata, for display."""
        rows = [[self.value(s, arm, metric, key, name) for name in reading.names] for s in self.strata]
        return tuple(map(sum, zip(*rows, strict=True)))


def weigh(run: Mapping[str, Any], values: Mapping[str, int], health: Health, now: int) -> Evidence:
    """One look at a run.

    Args:
        run: the run state; its ``maxima`` and ``srm`` are the running maxima so far.
        values: all moments of the run.
        health: of the telemetry.
        now: the time of the look, ms.
    """
    spec = run["spec"]
    moments = Moments(values, run)
    thresholds = _thresholds(spec)
    health_document, invalid, srm = _weigh_health(run, moments, health, thresholds)
    rows: dict[str, dict[str, Any]] = {}
    maxima: dict[str, dict[str, float]] = {}
    reported_invalid: list[str] = []
    for metric in spec["metrics"]:
        row, tests, mismatch = _weigh_metric(metric, moments, health, thresholds, run)
        rows[metric["name"]] = row
        maxima[metric["name"]] = tests
        if mismatch:
            reported_invalid.append(mismatch)
    invalid = (*invalid, *reported_invalid)
    health_document["problems"] = list(invalid)
    health_document["ok"] = not invalid
    maxima = _raise_maxima(run["maxima"], maxima, healthy=not invalid)
    for name, row in rows.items():
        row["max_log_e"] = maxima[name]
        row["state"] = _state(row, maxima[name], thresholds)
    return _conclude(run, rows, maxima, srm, invalid, health_document, moments, thresholds, now)


def _thresholds(spec: Mapping[str, Any]) -> dict[str, float]:
    metrics = len(spec["metrics"])
    return {
        "harm": math.log(TREATMENTS * metrics / spec["alpha"]["harm"]),
        "promote": math.log(TREATMENTS / spec["alpha"]["promote"]),
        "srm": math.log(1 / ALPHA_SRM),
        "reported": math.log(REPORTED_E),
    }


def _weigh_health(
    run: Mapping[str, Any], moments: Moments, health: Health, thresholds: Mapping[str, float]
) -> tuple[dict[str, Any], tuple[str, ...], float]:
    problems: list[str] = []
    shares = (1 - moments.share, moments.share)
    counts = [tuple(moments.value(s, arm, "", "u", "n") for arm in (0, 1)) for s in moments.strata]
    log_e = max(run["srm"], evalues.srm([(row, shares) for row in counts]))
    totals = [sum(row[arm] for row in counts) for arm in (0, 1)]
    if log_e >= thresholds["srm"]:
        asked, found = moments.share, totals[1] / max(1, sum(totals))
        problems.append(f"sample ratio mismatch: {asked:.1%} of units asked for the treatment, {found:.1%} arrived")
    lost, sent = sum(health.lost), sum(health.sent) + sum(health.lost)
    loss_share = lost / sent if sent else 0.0
    if loss_share > LOSS_LIMIT:
        problems.append(f"events lost: {loss_share:.1%} of all")
    elif lost and _unequal(health):
        problems.append(f"events lost unequally: {health.lost[0]} of control, {health.lost[1]} of treatment")
    if health.lag_ms is None or health.lag_ms > health.lag_limit_ms:
        lag = "not known" if health.lag_ms is None else f"{health.lag_ms / 1000:.0f} s"
        problems.append(f"events are folded late: lag {lag}")
    problems += [f"reports of {name} have stopped arriving" for name in health.silent]
    arms = (run["control"], run["treatment"])
    document = {
        "srm": {
            "log_e": log_e,
            "threshold": thresholds["srm"],
            "counts": dict(zip(arms, totals, strict=True)),
            "expected": dict(zip(arms, shares, strict=True)),
            "ok": log_e < thresholds["srm"],
        },
        "loss": {"lost": list(health.lost), "sent": list(health.sent), "share": loss_share, "ok": not lost},
        "lag_ms": health.lag_ms,
        "silent": list(health.silent),
        "counts": dict(health.counts),
    }
    return document, tuple(problems), log_e


def _unequal(health: Health) -> bool:
    totals = [lost + sent for lost, sent in zip(health.lost, health.sent, strict=True)]
    if min(totals) == 0:
        return False
    shares = [total / sum(totals) for total in totals]
    return evalues.srm([(health.lost, shares)], concentration=100.0) >= math.log(LOSS_UNEQUAL_E)


def _weigh_metric(
    metric: dict[str, Any],
    moments: Moments,
    health: Health,
    thresholds: Mapping[str, float],
    run: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, float], str]:
    kind, name = KINDS[metric["kind"]], metric["name"]
    running = moments.sums(name, kind.running, "r")
    closed = moments.sums(name, kind.closed, "c")
    absent = _absence(metric, moments, kind, health)
    if absent:
        running = closed = []
    tests = {"harm": kind.harm(kind.running, running, metric)}
    earlier = [Stratum(*row) for row in run.get("prior", {}).get(name, ())]
    strata = [*earlier, *closed] if closed else []
    for test in ("non_inferiority", "superiority", "futility"):
        tests[test] = getattr(kind, test)(kind.closed, strata, metric)
    reported = None
    mismatch = ""
    if metric["absent"] == "missing":
        reported = _weigh_reported(name, moments)
        tests |= {"reported": reported["log_e"], "reported_equal": reported["log_e_equal"]}
        seen = max(run["maxima"].get(name, {}).get("reported", 0.0), reported["log_e"])
        if seen >= thresholds["reported"]:
            rates = " against ".join("n/a" if r is None else f"{r:.0%}" for r in reported["rates"][::-1])
            mismatch = f"feedback differs between the arms: {rates} of treatment and control units report {name}"
    row = _metric_row(metric, kind, moments, running, closed, tests, thresholds, absent)
    row["reported"] = reported
    row["sums"] = {"running": [list(s) for s in running], "closed": [list(s) for s in closed]}
    return row, tests, mismatch


def _absence(metric: Mapping[str, Any], moments: Moments, kind: Kind, health: Health) -> str:
    """Why a metric has no value now, although its units are counted; empty when it has one."""
    if metric["absent"] != "zero" or metric["builtin"]:
        return ""
    events = moments.count(0, "e", metric["name"])
    if events < LEAST_CONTROL_EVENTS:
        return f"{LEAST_CONTROL_EVENTS} reports in control before silence can mean zero (now {events})"
    return "reports have stopped arriving" if metric["name"] in health.silent else ""


def _metric_row(
    metric: dict[str, Any],
    kind: Kind,
    moments: Moments,
    running: Sequence[Stratum],
    closed: Sequence[Stratum],
    tests: dict[str, float],
    thresholds: Mapping[str, float],
    absent: str,
) -> dict[str, Any]:
    name = metric["name"]
    shown = interval(kind.closed, closed, metric)
    use_closed = shown is not None or metric["kind"] == "rare_proportion"
    reading, key, strata = (kind.closed, "c", closed) if use_closed else (kind.running, "r", running)
    if shown is None:
        shown = interval(reading, strata, metric)
    levels = [reading.level(moments.level_sums(name, reading, key, arm)) for arm in (0, 1)]
    missing = absent
    for label, level in zip(("control", "treatment"), levels, strict=True):
        if not missing and not level.n:
            missing = f"a value in {label}"
    estimate = None if missing else point(reading, strata)
    sides = {
        side: {"n": level.n, "value": level.value, "events": level.events}
        for side, level in zip(("control", "treatment"), levels, strict=True)
    }
    return {
        "role": metric["role"],
        "kind": metric["kind"],
        "better": metric["better"],
        **sides,
        "reading": "closed" if use_closed else "running",
        "estimate": 0.0 if estimate is None and not missing else estimate,
        "interval": list(shown) if shown else None,
        "margin": metric["margin"],
        "tolerance": metric["tolerance"],
        "mde": metric["mde"],
        "log_e": tests,
        "threshold": {"harm": thresholds["harm"], "promote": thresholds["promote"]},
        "gated": not kind.exact and shown is None,
        "missing": missing,
    }


def _weigh_reported(name: str, moments: Moments) -> dict[str, Any]:
    """Do the units of both arms report alike? Two-sided, and the proof that they do."""
    closed = [moments.count(arm, "c") for arm in (0, 1)]
    reports = [min(moments.count(arm, "p", name), closed[arm]) for arm in (0, 1)]
    a = b = 0.0
    for stratum in moments.strata:
        (n0, x0), (n1, x1) = (
            (moments.value(stratum, arm, "", "c", "n"), moments.value(stratum, arm, name, "p", "n")) for arm in (0, 1)
        )
        estimate = proportion_difference(n0, min(x0, n0), n1, min(x1, n1))
        if estimate is not None and estimate.open:
            a += estimate.information
            b += estimate.information * estimate.effect
    log_e = evalues.two_sided_normal(a, b, 0.0, REPORTED_MARGIN**2)
    # Below +10 pp: by the difference, or because the treatment hardly reports, or because control hardly is silent.
    silent = [n - x for n, x in zip(closed, reports, strict=True)]
    below = _average_shown(a, -b, (closed[1], reports[1]), (closed[0], silent[0]))
    above = _average_shown(a, b, (closed[0], reports[0]), (closed[1], silent[1]))
    rates = [x / n if n else None for n, x in zip(closed, reports, strict=True)]
    return {"closed": closed, "reported": reports, "rates": rates, "log_e": log_e, "log_e_equal": min(below, above)}


def _average_shown(a: float, b: float, *rare: tuple[int, int]) -> float:
    grid = evalues.mde_grid(a, b, -REPORTED_MARGIN, REPORTED_MARGIN)
    return evalues.average([grid, *(evalues.rare_below_margin(n, x, REPORTED_MARGIN) for n, x in rare)])


# Maxima of these tests may promote, so they grow only at healthy looks; harm always grows.
PROMOTING = frozenset({"non_inferiority", "superiority", "futility", "reported_equal"})


def _raise_maxima(
    before: Mapping[str, Mapping[str, float]], now: Mapping[str, Mapping[str, float]], *, healthy: bool
) -> dict[str, dict[str, float]]:
    result = {}
    for name, tests in now.items():
        held = before.get(name, {})
        result[name] = {
            test: max(held.get(test, 0.0), log_e) if healthy or test not in PROMOTING else held.get(test, 0.0)
            for test, log_e in tests.items()
        }
    return result


def _state(row: Mapping[str, Any], maxima: Mapping[str, float], thresholds: Mapping[str, float]) -> str:
    if maxima["harm"] >= thresholds["harm"]:
        return State.HARMFUL.value
    if row["missing"]:
        return State.NO_DATA.value
    if maxima["non_inferiority"] < thresholds["promote"]:
        return State.UNDECIDED.value
    superior = row["role"] == "goal" and maxima["superiority"] >= thresholds["promote"]
    return State.SUPERIOR.value if superior else State.NON_INFERIOR.value


def _conclude(
    run: Mapping[str, Any],
    rows: dict[str, dict[str, Any]],
    maxima: dict[str, dict[str, float]],
    srm: float,
    invalid: tuple[str, ...],
    health: dict[str, Any],
    moments: Moments,
    thresholds: Mapping[str, float],
    now: int,
) -> Evidence:
    canary = run["spec"]["kind"] == "canary"
    harmful = tuple(name for name, row in rows.items() if row["state"] == State.HARMFUL)
    missing = [f"{name}: {row['missing']}" for name, row in rows.items() if row["missing"]]
    waits = [*missing, *_step_waits(run, rows, thresholds)]
    passed = (State.SUPERIOR, State.NON_INFERIOR)
    guardrails = all(row["state"] in passed for row in rows.values() if row["role"] == "guardrail")
    goal = next(row for row in rows.values() if row["role"] == "goal")
    unequal = [
        f"{name}: proof that the arms report alike to within {REPORTED_MARGIN:.0%}"
        for name, tests in maxima.items()
        if "reported_equal" in tests and tests["reported_equal"] < thresholds["promote"]
    ]
    missing += unequal
    superior = goal["state"] == State.SUPERIOR
    proven = guardrails and not missing and (superior or (canary and goal["state"] in passed))
    verdict = Verdict.INCONCLUSIVE
    if harmful:
        verdict = Verdict.WORSE
    elif invalid:
        verdict = Verdict.INVALID
    elif not missing and guardrails and goal["state"] in passed:
        verdict = Verdict.BETTER if superior else Verdict.EQUIVALENT
    units = {
        arm: {name: moments.count(i, key) for name, key in (("exposed", "u"), ("closed", "c"), ("left", "x"))}
        for i, arm in enumerate((run["control"], run["treatment"]))
    }
    document = {
        "time": now,
        "verdict": verdict.value,
        "health": health,
        "units": units,
        "metrics": rows,
        "missing": missing,
    }
    return Evidence(verdict, document, maxima, srm, harmful, invalid, tuple(missing), proven, tuple(waits))


def _step_waits(
    run: Mapping[str, Any], rows: Mapping[str, dict[str, Any]], thresholds: Mapping[str, float]
) -> list[str]:
    """What keeps a step from going on although harm is not shown: a harm half shown, an estimate outside its margin."""
    waits = []
    for name, row in rows.items():
        if row["log_e"]["harm"] > thresholds["harm"] / 2:
            waits.append(f"{name}: its evidence of harm is above half of what rolls back")
        sign = 1 if row["better"] == "lower" else -1
        if row["estimate"] is not None and row["estimate"] * sign >= row["margin"]:
            waits.append(f"{name}: its estimate is outside the margin")
    return waits
