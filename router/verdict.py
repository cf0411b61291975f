"""The verdict: from the rows of all metrics to the state of each, and what they say together, by one precedence.

Harm > untrusted telemetry > what a promotion asks > futility > nothing more can be shown > not yet. Reasons are enums;
words with numbers stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from router.health import REPORTED_MARGIN
from router.reading import harm_sign
from stats import many

Rows = Mapping[str, Mapping[str, Any]]


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
    FUTILE = "futile"
    UNDECIDED = "undecided"
    NO_DATA = "no_data"
    OBSERVED = "observed"


class Ground(StrEnum):
    """Why the verdict is what it is, in the order of precedence."""

    HARM = "harm of a metric is shown"
    UNTRUSTED = "the telemetry cannot be trusted"
    MISSING = "a value, a gate or a proof of equal reporting is missing"
    SUPERIOR = "a goal is shown to be better, every guardrail within its margin"
    WITHIN_MARGINS = "every metric is shown to be within its margin"
    FUTILE = "the effect of no goal is as large as its mde"
    GIVEN_UP = "a metric is as bad as its margin: its test has given up"
    HORIZON = "the planned units have passed undecided"
    OPEN = "not decided yet"


PASSED = (State.SUPERIOR, State.NON_INFERIOR)
VERDICTS = {
    Ground.HARM: Verdict.WORSE,
    Ground.UNTRUSTED: Verdict.INVALID,
    Ground.SUPERIOR: Verdict.BETTER,
    Ground.WITHIN_MARGINS: Verdict.EQUIVALENT,
    Ground.FUTILE: Verdict.EQUIVALENT,
}
# After these nothing more can be shown: the run has failed to prove what it was for.
SPENT = (Ground.GIVEN_UP, Ground.HORIZON)


# Maxima of these tests may promote or give up, so they grow only at healthy looks; harm and mismatches always grow.
CLAIMS = frozenset({"non_inferiority", "superiority", "futility"})
PROMOTING = CLAIMS | {"reported_equal", "accept"}


def raise_maxima(
    before: Mapping[str, Mapping[str, float]], rows: Rows, *, healthy: bool, over: bool
) -> dict[str, dict[str, float]]:
    """The highest number of each test so far; what a test that has ended would show later no longer counts.

    Args:
        before: the maxima up to the look before.
        rows: of this look.
        healthy: whether the telemetry can be trusted now.
        over: whether the run's plan had ended before this look.
    """
    result = {}
    for name, row in rows.items():
        held = before.get(name, {})
        frozen = _ended_tests(row, held, over=over) if healthy else PROMOTING
        result[name] = {
            test: held.get(test, 0.0) if test in frozen else max(held.get(test, 0.0), number)
            for test, number in row["log_e"].items()
        }
    return result


def _ended_tests(row: Mapping[str, Any], held: Mapping[str, float], *, over: bool) -> frozenset[str]:
    """All claims end with the plan; a test of sprt with either of its answers, since the other comes too late."""
    if over:
        return CLAIMS
    if _gives_up(row, held):
        return frozenset({row["deciding"]})
    return frozenset({"accept"} if held.get(row["deciding"], 0.0) >= row["threshold"]["promote"] else ())


def set_states(
    rows: Mapping[str, dict[str, Any]], maxima: Mapping[str, Mapping[str, float]], alpha: float
) -> None:
    """The state of each metric; goals share alpha by Holm's steps."""
    goals = [name for name, row in rows.items() if row["role"] == "goal"]
    superior = {goals[i] for i in many.holm([maxima[name]["superiority"] for name in goals], alpha)}
    for name, row in rows.items():
        row["max_log_e"] = maxima[name]
        row["state"] = _state(row, maxima[name], superior=name in superior).value


def _state(row: Mapping[str, Any], highest: Mapping[str, float], *, superior: bool) -> State:
    threshold = row["threshold"]
    if row["role"] == "observed":
        return State.OBSERVED
    if highest["harm"] >= threshold["harm"]:
        return State.HARMFUL
    if row["missing"]:
        return State.NO_DATA
    if superior:
        return State.SUPERIOR
    if highest["non_inferiority"] >= threshold["promote"]:
        return State.NON_INFERIOR
    return State.FUTILE if given_up(row) else State.UNDECIDED


def given_up(row: Mapping[str, Any]) -> bool:
    """Whether its test has given up on the claim; only ``sprt`` ever does."""
    return _gives_up(row, row["max_log_e"])


def _gives_up(row: Mapping[str, Any], highest: Mapping[str, float]) -> bool:
    accept = row["threshold"].get("accept")
    return accept is not None and highest.get("accept", 0.0) >= accept


def what_is_missing(rows: Rows) -> tuple[str, ...]:
    """What a promotion lacks: values, gates, and the proof that the arms report alike."""
    missing = []
    aimed = any(row["role"] == "goal" and row["state"] == State.SUPERIOR for row in rows.values())
    for name, row in rows.items():
        if row["missing"]:
            missing.append(f"{name}: {row['missing']}")
        elif (
            row["state"] == State.UNDECIDED
            and row["promotion_missing"]
            and not (aimed and row["role"] == "goal")
        ):
            missing.append(f"{name}: {row['promotion_missing']}")
        reported = row["reported"]
        if reported is None:
            continue
        if None in reported["rates"] or 0 in reported["reported"]:
            missing.append(f"{name}: units with a report in both arms")
        elif row["max_log_e"]["reported_equal"] < row["threshold"]["promote"]:
            missing.append(
                f"{name}: proof that the arms report alike to within {REPORTED_MARGIN * 100:.0f} pp"
            )
    return tuple(missing)


def is_futile(row: Mapping[str, Any]) -> bool:
    """An effect of the MDE is excluded, or the test has given up on it."""
    return given_up(row) or bool(row["max_log_e"]["futility"] >= row["threshold"]["promote"])


def ground_of(kind: str, rows: Rows, *, invalid: bool, missing: bool, futile: bool, over: bool) -> Ground:
    """The precedence: harm, telemetry, proof, futility, what can no longer be shown, what is missing."""
    states = {name: row["state"] for name, row in rows.items()}
    if State.HARMFUL in states.values():
        return Ground.HARM
    if invalid:
        return Ground.UNTRUSTED
    guarded = all(states[name] in PASSED for name, row in rows.items() if row["role"] == "guardrail")
    goals = [states[name] for name, row in rows.items() if row["role"] == "goal"]
    aimed = State.SUPERIOR in goals
    within = guarded and all(state in PASSED for state in goals) and kind == "canary"
    if not missing and guarded and aimed:
        return Ground.SUPERIOR
    if not missing and within:
        return Ground.WITHIN_MARGINS
    if not missing and futile:
        return Ground.FUTILE
    if any(given_up(row) for row in rows.values() if row["deciding"] == "non_inferiority"):
        return Ground.GIVEN_UP
    if over and not (guarded and (aimed or within)):
        return Ground.HORIZON
    return Ground.MISSING if missing else Ground.OPEN


def step_waits(rows: Rows) -> list[str]:
    """What keeps a step from going on although harm is not shown: a harm half shown, an estimate outside its margin."""
    waits = []
    for name, row in rows.items():
        if row["log_e"]["harm"] > row["threshold"]["harm"] / 2:
            waits.append(f"{name}: its evidence of harm is above half of what rolls back")
        if row["estimate"] is not None and row["estimate"] * harm_sign(row) >= row["margin"]:
            waits.append(f"{name}: its estimate is outside the margin")
    return waits
