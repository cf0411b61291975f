"""Decisions: one test per cell of the precedence table, and that taking anything away never promotes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.decision import Reason, act, decide
from router.document import load
from router.errors import IllegalMove
from router.evidence import weigh
from router.files import parse_documents
from router.flag import Flag
from router.health import Health
from router.lifecycle import MOVES, Action, State, after
from router.route import flag_of
from router.run import new_run, running_experiment
from tests.router.evidence_of import HEALTHY, moments_of

FILES = """
route: digits
match: {path: /v2}
unit: {kind: person, from: [header:x-person]}
arms:
  v1: {upstream: http://127.0.0.1:9001}
  v2: {upstream: http://127.0.0.1:9002}
default: v1
---
experiment: digits-v2
route: digits
kind: KIND
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 5 pp, window: 1 min, grace: 1 s}
guardrails:
  - {metric: errors, margin: 1 pp, window: 1 min, grace: 1 s}
ramp: [{traffic: 10%, time: 10 s, units: 50}, {traffic: 25%, time: 10 s, units: 100}]
deadline: 1 h
"""
START = 1_000_000
LATER = START + 60_000


def begun(kind: str = "canary", step: int = 1, **changes: Any) -> tuple[dict[str, Any], Flag]:
    files = parse_documents(load(FILES.replace("KIND", kind)))
    spec = files.experiments["digits-v2"][0].spec()
    run = new_run(spec, 1, START)
    flag = (
        flag_of(files.routes["digits"][0])
        .with_experiment(running_experiment(spec, run["run"], 1))
        .with_revision(7)
    )
    if step >= 0:
        coverage = spec["ramp"][step]["coverage"]
        flag = flag.with_coverage(run["run"], coverage)
        run |= {"state": "running", "reason": "", "step": step, "step_since": START}
        run["coverage"] = [[START, 7, coverage]]
    return run | changes, flag


GOOD = {"n": (3000, 1000), "corrected": (1200, 100), "errors": (0, 0)}
SAME = {"n": (6000, 2000), "corrected": (600, 190), "errors": (0, 0)}
HARMFUL = {"n": (3000, 1000), "corrected": (1200, 800), "errors": (0, 0)}
FEW = {"n": (60, 20), "corrected": (20, 8), "errors": (0, 0)}


def decided(
    counts: dict[str, tuple[int, int]],
    *,
    health: Health = HEALTHY,
    now: int = LATER,
    ready: bool = True,
    kind: str = "canary",
    step: int = 1,
    **changes: Any,
) -> Any:
    run, flag = begun(kind, step, **changes)
    evidence = weigh(run, moments_of(counts), health, now)
    return decide(run, evidence, flag, now, ready=ready)


OVERDUE = START + 3_700_000
UNHEALTHY = Health(sent=(90, 90), lost=(10, 10))


def test_harm_rolls_back_at_any_look() -> None:
    decision = decided(HARMFUL, step=0)
    assert (decision.action, decision.reason) == (Action.ROLLBACK, Reason.HARM)
    assert decision.run["state"] == "rolled_back"
    assert decision.flag.default == "v1"
    assert decision.flag.experiments == ()
    assert decision.flag.revision == 8


def test_harm_goes_before_invalid() -> None:
    assert decided(HARMFUL, health=UNHEALTHY).action is Action.ROLLBACK


def test_harm_rolls_back_a_paused_and_a_held_run() -> None:
    assert decided(HARMFUL, paused=True).action is Action.ROLLBACK
    assert decided(HARMFUL, state="held", reason="lag").action is Action.ROLLBACK


def test_invalid_holds_although_everything_is_proven() -> None:
    decision = decided(GOOD, health=UNHEALTHY)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.INVALID)
    assert decision.run["state"] == "held"
    assert decision.flag is None


def test_invalid_goes_before_the_deadline() -> None:
    assert decided(FEW, health=UNHEALTHY, now=START + 3_700_000).reason is Reason.INVALID


def test_a_held_run_goes_on_when_its_telemetry_is_healthy_again() -> None:
    decision = decided(GOOD, state="held", reason="events lost")
    assert decision.action is Action.GO_ON
    assert decision.run["step_since"] == LATER


def test_unmet_gates_wait_and_say_for_what() -> None:
    decision = decided(FEW)
    assert decision.action is Action.NONE
    assert any("treatment units" in wait for wait in decision.waits)


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        (lambda flag: flag.with_kill("v2", on=True), "the kill switch of v2"),
        (lambda flag: flag.with_default("v2"), "a person: v1 is no longer the default arm, v2 is"),
    ],
)
def test_what_is_proven_waits_while_it_may_not_become_the_default(
    changed: Callable[[Flag], Flag], waits: str
) -> None:
    run, flag = begun()
    evidence = weigh(run, moments_of(GOOD), HEALTHY, LATER)
    assert decide(run, evidence, flag, LATER, ready=True).action is Action.PROMOTE
    decision = decide(run, evidence, changed(flag), LATER, ready=True)
    assert decision.action is Action.NONE
    assert waits in decision.waits


def test_nobody_promotes_a_killed_arm() -> None:
    run, flag = begun()
    with pytest.raises(IllegalMove, match="unkill it first"):
        act("promote", run, flag.with_kill("v2", on=True), LATER, "ana", "now")


def test_a_met_step_goes_on() -> None:
    decision = decided(SAME, step=0)
    assert (decision.action, decision.reason) == (Action.ADVANCE, Reason.STEP_MET)
    assert decision.run["step"] == 1
    assert decision.flag.experiments[0].coverage == 1_000_000
    assert "% of traffic: step met; corrected" in decision.sentence
    for part in ("treatment units against", "estimate", "interval", "margin"):
        assert part in decision.sentence


def test_a_step_waits_for_its_time() -> None:
    assert decided(SAME, step=0, now=START + 5_000).action is Action.NONE


def test_a_proven_canary_is_promoted_in_one_write() -> None:
    decision = decided(GOOD)
    assert (decision.action, decision.reason) == (Action.PROMOTE, Reason.PROVEN)
    assert decision.run["state"] == "promoted"
    assert decision.flag.default == "v2"
    assert decision.flag.experiments == ()
    for part in ("corrected", "treatment units", "estimate", "interval", "margin"):
        assert part in decision.sentence


def test_an_equivalent_canary_is_promoted_and_an_equivalent_treatment_of_an_ab_test_is_not() -> None:
    assert decided(EQUAL).action is Action.PROMOTE
    assert decided(EQUAL, kind="ab").action is not Action.PROMOTE


EQUAL = {"n": (60_000, 20_000), "corrected": (6000, 2000), "errors": (0, 0)}


@pytest.mark.parametrize("unmet", [{"time_ms": 90_000}, {"units": 20_001}], ids=["time", "units"])
@pytest.mark.parametrize(
    ("kind", "counts", "met"),
    [
        ("canary", GOOD, Action.PROMOTE),
        ("canary", EQUAL, Action.PROMOTE),
        ("ab", GOOD, Action.PROMOTE),
        ("ab", EQUAL, Action.END),
    ],
)
def test_unmet_gates_of_the_last_step_go_before_promotion_and_end(
    kind: str, counts: dict[str, tuple[int, int]], met: Action, unmet: dict[str, int]
) -> None:
    run, flag = begun(kind)
    evidence = weigh(run, moments_of(counts), HEALTHY, LATER)
    assert decide(run, evidence, flag, LATER, ready=True).action is met
    run["spec"]["ramp"][1] |= unmet
    decision = decide(run, evidence, flag, LATER, ready=True)
    assert (decision.action, decision.reason) == (Action.NONE, Reason.STEP_NOT_MET)
    decision = decide(run | {"step_since": OVERDUE}, evidence, flag, OVERDUE, ready=True)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.DEADLINE)


def test_a_better_treatment_of_an_ab_test_is_promoted() -> None:
    assert decided(GOOD, kind="ab").action is Action.PROMOTE


def test_nothing_is_promoted_before_the_last_step() -> None:
    assert decided(GOOD, step=0).action is Action.ADVANCE


def test_a_paused_run_is_not_promoted() -> None:
    assert decided(GOOD, paused=True).action is Action.NONE


def test_promotion_goes_before_the_deadline() -> None:
    assert decided(GOOD, now=START + 3_700_000).action is Action.PROMOTE


def test_a_new_run_is_held_until_its_arm_is_ready() -> None:
    run, flag = begun(step=-1)
    evidence = weigh(run, {}, HEALTHY, LATER)
    assert decide(run, evidence, flag, LATER, ready=False).reason is Reason.ARM_NOT_READY
    decision = decide(run, evidence, flag, LATER, ready=True)
    assert decision.action is Action.START
    assert decision.run is not None
    assert decision.run["step"] == 0


PLANNED = {"method": "horizon", "max_units": 700}


def test_a_plan_that_ends_undecided_holds_a_canary_and_stays_held() -> None:
    undecided = {"n": (600, 200), "corrected": (60, 26), "errors": (0, 0)}
    run, flag = begun()
    run["spec"] |= PLANNED
    evidence = weigh(run, moments_of(undecided), HEALTHY, LATER)
    held = decide(run, evidence, flag, LATER, ready=True)
    assert (held.action, held.reason) == (Action.HOLD, Reason.SPENT)
    assert held.run is not None
    again = decide(held.run, evidence, flag, LATER + 1000, ready=True)
    assert (again.action, again.reason) == (Action.NONE, Reason.SPENT)


def test_a_plan_that_ends_undecided_ends_an_ab_test_and_control_stays() -> None:
    undecided = {"n": (600, 200), "corrected": (60, 14), "errors": (0, 0)}
    run, flag = begun("ab")
    run["spec"] |= PLANNED
    ended = decide(run, weigh(run, moments_of(undecided), HEALTHY, LATER), flag, LATER, ready=True)
    assert (ended.action, ended.reason) == (Action.END, Reason.SPENT)
    assert ended.flag is not None
    assert (ended.flag.default, ended.flag.experiments) == ("v1", ())


def test_harm_and_telemetry_go_before_the_end_of_a_plan() -> None:
    for counts, health, reason in ((HARMFUL, HEALTHY, Reason.HARM), (SAME, UNHEALTHY, Reason.INVALID)):
        run, flag = begun()
        run["spec"] |= {"method": "horizon", "max_units": 1000}
        evidence = weigh(run, moments_of(counts), health, LATER)
        assert decide(run, evidence, flag, LATER, ready=True).reason is reason


@given(
    missing=st.sampled_from(["corrected", "errors", "n", "one arm", "reports", "health"]),
    treated=st.integers(0, 400),
)
def test_taking_away_any_one_input_never_turns_a_hold_into_a_promotion(missing: str, treated: int) -> None:
    counts = {"n": (3000, 1000), "corrected": (1200, treated), "errors": (0, 0)}
    run, flag = begun()
    moments, health = moments_of(counts), HEALTHY
    whole = decide(run, weigh(run, moments, health, LATER), flag, LATER, ready=True)
    if missing == "health":
        health = Health(lag_ms=None)
    elif missing == "one arm":
        moments = {name: value for name, value in moments.items() if name.split("|")[1] != "1"}
    elif missing == "reports":
        moments = {name: value for name, value in moments.items() if name.split("|")[3] != "p"}
    elif missing == "n":
        moments = {name: value for name, value in moments.items() if name.split("|")[2]}
    else:
        moments = {name: value for name, value in moments.items() if name.split("|")[2] != missing}
    less = decide(run, weigh(run, moments, health, LATER), flag, LATER, ready=True)
    assert less.action is not Action.PROMOTE or whole.action is Action.PROMOTE
    assert less.action is not Action.PROMOTE


@pytest.mark.parametrize(("state", "action"), [(s, a) for s in State for a in Action], ids=str)
def test_every_move_is_in_the_table_or_refused(state: State, action: Action) -> None:
    if (state, action) in MOVES:
        assert after(state, action) is MOVES[state, action]
    else:
        with pytest.raises(IllegalMove):
            after(state, action)


def test_a_person_rolls_a_promoted_run_back_to_the_old_default() -> None:
    run, flag = begun()
    promoted = act("promote", run, flag, LATER, "anna", "seen enough")
    assert promoted.flag is not None
    assert promoted.run is not None
    assert promoted.flag.default == "v2"
    back = act("rollback", promoted.run, promoted.flag, LATER + 1, "anna", "complaints")
    assert back.flag is not None
    assert back.flag.default == "v1"
    assert back.run is not None
    assert back.run["state"] == "rolled_back"
    assert "anna" in back.sentence


def test_a_person_pauses_and_resumes_and_neither_twice() -> None:
    run, flag = begun()
    paused = act("pause", run, flag, LATER, "anna", "lunch").run
    assert paused is not None
    with pytest.raises(IllegalMove):
        act("pause", paused, flag, LATER, "anna", "lunch")
    resumed = act("resume", paused, flag, LATER, "anna", "back").run
    assert resumed is not None
    assert not resumed["paused"]


def test_deciding_changes_none_of_its_inputs() -> None:
    run, flag = begun()
    before = copy.deepcopy(run)
    decide(run, weigh(run, moments_of(GOOD), HEALTHY, LATER), flag, LATER, ready=True)
    assert run == before
