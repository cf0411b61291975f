"""POST /v1/outcomes: what became of an answer, told later, one fact or many.

An outcome names its request by the decision id the answer carried, or its unit by experiment and raw identity. It is
checked against the run's metrics before it is taken. Of many, the bad ones are named and the rest is taken. 202 means
stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from flask import Blueprint, Response, jsonify

from router.api.bodies import Body, read, read_json
from router.api.outcome_log import Row
from router.api.plane import Plane, plane
from router.api.run_facts import RunFacts
from router.errors import Problem, Refused, SpecError, nearest
from router.event_rows import CERTAIN
from router.events import FIXED_POINT, UNKNOWN_TIME, key_digest, to_fixed
from router.metric import KINDS

MOST = 10_000
CLOCK_SKEW_MS = 60_000
LONGEST_TEXT = 400
LEAST_PROBABILITY = 1e-4  # a label that stands for more than ten thousand others tells about itself alone

# Why an outcome is refused, as counted, and what was expected instead; a reason more is one row.
REFUSALS: dict[str, str] = {
    "malformed": "the id from a Pointsman-Decision field, as it came",
    "unknown_key": "an id signed with a key that is known here",
    "forged": "an id whose signature fits its content",
    "unknown_run": "an id of a run that is known here",
    "unknown_epoch": "an id of its run's epoch",
    "unknown_arm": "an id of an arm of its run",
    "expired": "an id within the window and grace of its run",
    "unknown_experiment": "an experiment that exists",
    "unknown_metric": "a metric that the experiment expects to be reported",
    "undated": "'asked' or 'time', the time of the request that the report is about",
}

views = Blueprint("outcomes", __name__)


class Outcome(Body):
    """One outcome as sent."""

    decision: str | None = None
    experiment: str | None = None
    unit: str | None = None
    metric: str
    value: bool | int | float
    probability: int | float | None = None
    time: int | str | None = None
    asked: int | str | None = None
    key: str | None = None


class Subject(NamedTuple):
    """Whom an outcome is about, once it is known."""

    facts: RunFacts | None
    unit: int
    asked: int
    arm: int
    analysed: bool


@views.post("/v1/outcomes")
def report() -> tuple[Response, int]:
    """Take one outcome, a list of them, or ``{"outcomes": […]}``."""
    body = read_json()
    many = body.get("outcomes") if isinstance(body, dict) and set(body) == {"outcomes"} else body
    if isinstance(many, list):
        return jsonify(take(plane(), many)), 202
    return jsonify(take(plane(), [body], single=True)), 202


def take(plane: Plane, documents: list[Any], *, single: bool = False) -> dict[str, Any]:
    """Check and store outcomes; the answer says how many were taken and which were refused.

    Raises:
        PointsmanError: the single one is refused, or there are too many.
        StoreUnavailable: none of them is acknowledged.
    """
    if len(documents) > MOST:
        raise Refused(
            "too_many", f"outcomes: expected at most {MOST} in one body, found {len(documents)}", 413
        )
    rows: list[Row] = []
    refused: list[dict[str, Any]] = []
    not_analysed = 0
    for line, document in enumerate(documents):
        try:
            row = check(plane, document, "" if single else f"outcomes[{line}]")
        except (SpecError, Refused) as problem:
            _count(plane, getattr(problem, "reason", problem.code))
            if single:
                raise
            refused.append({"line": line, **problem.detail()})
            continue
        if row is None:
            not_analysed += 1
        else:
            rows.append(row)
    with plane.counts.stored.time():
        plane.outcomes.submit(rows)
    _count(plane, "accepted", len(rows))
    _count(plane, "not_analysed", not_analysed)
    return {"accepted": len(rows), "not_analysed": not_analysed, "refused": refused}


def _count(plane: Plane, result: str, n: int = 1) -> None:
    if n:
        plane.counts.outcomes.labels(result).inc(n)


def check(plane: Plane, document: object, path: str = "") -> Row | None:
    """One outcome as a row; None when its request is not analysed.

    Raises:
        PointsmanError: it is malformed, forged, expired, or names something unknown.
    """
    outcome = read(Outcome, document, path)
    now = plane.now()
    texts = (outcome.decision, outcome.experiment, outcome.unit, outcome.metric, outcome.key)
    if any(text is not None and not 0 < len(text) <= LONGEST_TEXT for text in texts):
        raise SpecError(
            [Problem(path or "outcome", f"texts of 1 to {LONGEST_TEXT} characters", "another length")]
        )
    subject = (
        _by_decision(plane, outcome, now, path)
        if outcome.decision is not None
        else _by_unit(plane, outcome, path)
    )
    if subject.facts is None or not subject.analysed:
        return None
    facts = subject.facts
    metric = facts.metrics.get(outcome.metric)
    own = [name for name, row in facts.metrics.items() if not row["builtin"]]
    if metric is None or metric["builtin"]:
        raise _unknown("metric", outcome.metric, own, path)
    value = _value(metric, outcome.value, _at(path, "value"))
    probability = _probability(metric, outcome.probability, _at(path, "probability"))
    time = _time(outcome.time, now, _at(path, "time"))
    asked = _asked(outcome, subject, metric, time, now, path)
    if facts.final:
        return None
    # A key speaks for one unit and one metric: the same order number may carry a conversion and a revenue.
    key = key_digest(f"{subject.unit}|{outcome.metric}|{outcome.key or outcome.decision}")
    about = (facts.run, facts.epoch, subject.unit, outcome.metric)
    return Row(*about, value, time, asked, key, subject.arm, probability)


def _asked(
    outcome: Outcome, subject: Subject, metric: Mapping[str, Any], time: int | None, now: int, path: str
) -> int:
    """The time of the request that a report is about; a correction counts only when that lay in the run."""
    asked = _time(outcome.asked, now, _at(path, "asked"))
    if asked is not None or subject.asked != UNKNOWN_TIME or metric["absent"] != "missing":
        return subject.asked if asked is None else asked
    if time is None:
        raise _refused("undated", _at(path, "asked"), "neither")
    return time


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refused(reason: str, path: str, found: str, hint: str = "") -> Refused:
    return Refused(reason, status=422, problem=Problem(path, REFUSALS[reason], found, hint))


def _unknown(kind: str, name: str, known: Iterable[str], path: str) -> Refused:
    names = sorted(known)
    hint = nearest(name, names) or (f"known: {', '.join(names[:10])}" if names else f"there is no {kind} yet")
    return _refused(f"unknown_{kind}", _at(path, kind), repr(name), hint)


def _by_decision(plane: Plane, outcome: Outcome, now: int, path: str) -> Subject:
    where = _at(path, "decision")
    if outcome.experiment is not None or outcome.unit is not None:
        expected = "either 'decision', or 'experiment' and 'unit'"
        raise SpecError([Problem(where, expected, "both")])
    try:
        decision = plane.signer.read(outcome.decision or "")
    except Refused as problem:
        raise _refused(problem.reason, where, "another") from problem
    facts = plane.runs.by_run(decision.run) if decision.run else None
    if facts is None and decision.analysed:
        raise _refused("unknown_run", where, f"run {decision.run!r}")
    if facts is not None and decision.epoch != facts.epoch:
        raise _refused("unknown_epoch", where, f"epoch {decision.epoch}")
    if facts is not None and decision.arm_index >= facts.arms:
        raise _refused("unknown_arm", where, f"arm number {decision.arm_index}")
    if facts is not None and now > decision.time + facts.ttl_ms:
        old = (now - decision.time) / 1000
        raise _refused(
            "expired", where, f"one {old:.0f} s old", f"reports count for {facts.ttl_ms / 1000:g} s"
        )
    return Subject(facts, decision.unit, decision.time, decision.arm_index, decision.analysed)


def _by_unit(plane: Plane, outcome: Outcome, path: str) -> Subject:
    missing = [name for name in ("experiment", "unit", "key") if getattr(outcome, name) is None]
    if missing:
        expected = "'decision', or 'experiment', 'unit' and 'key'"
        found = "no " + ", no ".join(missing) if len(missing) < 3 else "none of them"
        raise SpecError([Problem(path or "outcome", expected, found)])
    facts = plane.runs.by_experiment(outcome.experiment or "")
    if facts is None:
        raise _unknown("experiment", outcome.experiment or "", plane.store.live().latest, path)
    unit = plane.digest((outcome.unit or "").encode())
    return Subject(facts, unit, UNKNOWN_TIME, -1, analysed=True)


def _value(metric: Mapping[str, Any], value: bool | float, path: str) -> int:
    """The value in millionths, held to what its metric's kind can mean."""
    takes = KINDS[metric["kind"]].takes
    expected = f"{takes.expected(metric)} (the metric is a {metric['kind']})"
    if isinstance(value, bool) and not takes.truth:
        raise SpecError([Problem(path, expected, repr(value))])
    try:
        fixed = to_fixed(value)
    except (ValueError, OverflowError) as problem:
        raise SpecError(
            [Problem(path, str(problem).removeprefix("expected "), repr(value)[:40])]
        ) from problem
    # What was rounded to millionths may fit though what was sent does not: 1 + 1e-9 is no count.
    if not takes.fits(fixed, metric) or (takes.whole and fixed != value * FIXED_POINT):
        raise SpecError([Problem(path, expected, repr(value)[:40])])
    return fixed


def _probability(metric: Mapping[str, Any], probability: float | None, path: str) -> int:
    """With which chance a sampled label was asked for, in millionths; 0 for metrics whose labels are not sampled."""
    if not metric.get("sampled"):
        if probability is not None:
            expected = "none (the metric has no 'sampled: true')"
            raise SpecError([Problem(path, expected, repr(probability)[:40])])
        return CERTAIN
    if probability is None or not LEAST_PROBABILITY <= probability <= 1:
        expected = f"the chance with which this label was asked for, from {LEAST_PROBABILITY:g} to 1"
        raise SpecError([Problem(path, expected, repr(probability)[:40])])
    return to_fixed(probability)


def _time(value: int | str | None, now: int, path: str) -> int | None:
    """A point in time as milliseconds; text is ISO 8601 with an offset."""
    if value is None:
        return None
    expected = "milliseconds since 1970, or ISO 8601 such as 2026-01-31T12:00:00Z"
    result = _moment(value)
    if result is None or result < 0:
        raise SpecError([Problem(path, expected, repr(value)[:40])])
    if result > now + CLOCK_SKEW_MS:
        hint = "seconds instead of milliseconds, or another time zone?"
        raise SpecError(
            [Problem(path, "a time that has come", f"{(result - now) / 1000:.0f} s from now", hint)]
        )
    return result


def _moment(value: int | str) -> int | None:
    if isinstance(value, int):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000) if moment.tzinfo is not None else None
