"""The deadline: what the file says happens, to every run that still lives, until a person or the file moves it."""

from __future__ import annotations

from typing import Any

import pytest

from router.decision import Reason, act, decide
from router.evidence import weigh
from router.health import Health
from router.lifecycle import Action
from tests.router.evidence_of import HEALTHY, moments_of
from tests.router.test_decision import (
    FEW,
    GOOD,
    HARMFUL,
    LATER,
    OVERDUE,
    SAME,
    START,
    UNHEALTHY,
    begun,
    decided,
)


def test_at_the_deadline_the_run_is_held_as_the_file_says() -> None:
    decision = decided(FEW, now=START + 3_700_000)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.DEADLINE)


AT_DEADLINE: dict[str, Any] = {"state": "held", "reason": Reason.DEADLINE.value}


@pytest.mark.parametrize("step", [-1, 0, 1])
@pytest.mark.parametrize("counts", [FEW, SAME, GOOD], ids=["few", "same", "good"])
@pytest.mark.parametrize("health", [HEALTHY, UNHEALTHY], ids=["healthy", "unhealthy"])
def test_a_run_held_at_its_deadline_stays_held_whatever_comes_but_harm(
    counts: dict[str, tuple[int, int]], step: int, health: Health
) -> None:
    decision = decided(counts, step=step, now=OVERDUE, health=health, **AT_DEADLINE)
    assert (decision.action, decision.reason, decision.run) == (Action.NONE, Reason.DEADLINE, None)


def test_harm_goes_before_the_deadline_and_ends_a_run_that_is_held_at_it() -> None:
    for changes in ({}, AT_DEADLINE):
        decision = decided(HARMFUL, now=OVERDUE, **changes)
        assert (decision.action, decision.reason) == (Action.ROLLBACK, Reason.HARM)


def test_a_person_resumes_a_run_held_at_its_deadline_and_it_has_that_time_once_more() -> None:
    run, flag = begun(**AT_DEADLINE)
    resumed = act("resume", run, flag, OVERDUE, "anna", "one more day").run
    assert resumed is not None
    evidence = weigh(run, moments_of(FEW), HEALTHY, OVERDUE + 1)
    on = decide(resumed, evidence, flag, OVERDUE + 1, ready=True)
    assert (on.action, on.reason) == (Action.GO_ON, Reason.DEADLINE_MOVED)
    assert on.run is not None
    assert decide(on.run, evidence, flag, OVERDUE + 3_000_000, ready=True).action is Action.NONE
    again = decide(on.run, evidence, flag, OVERDUE + 3_700_000, ready=True)
    assert (again.action, again.reason) == (Action.HOLD, Reason.DEADLINE)


WAITING = {
    "paused": {"paused": True},
    "paused and held": {"paused": True, "state": "held", "reason": "events lost"},
    "paused before its start": {"paused": True, "step": -1},
    "never ready": {"step": -1, "ready": False},
}


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING)
@pytest.mark.parametrize(("says", "action"), [("hold", Action.HOLD), ("rollback", Action.ROLLBACK)])
def test_a_run_that_waits_meets_its_deadline_all_the_same(
    waiting: dict[str, Any], says: str, action: Action
) -> None:
    changes = dict(waiting)
    ready = changes.pop("ready", True)
    run, flag = begun(**changes)
    run["spec"]["at_deadline"] = says
    evidence = weigh(run, moments_of(FEW), HEALTHY, LATER)
    assert decide(run, evidence, flag, LATER, ready=ready).action is Action.NONE
    decision = decide(run, evidence, flag, OVERDUE, ready=ready)
    assert (decision.action, decision.reason) == (action, Reason.DEADLINE)
    assert decision.run is not None
    assert decision.run["paused"] is run["paused"]


def test_who_resumes_a_paused_run_held_at_its_deadline_lifts_both() -> None:
    run, flag = begun(paused=True, **AT_DEADLINE)
    resumed = act("resume", run, flag, OVERDUE, "anna", "back").run
    assert resumed is not None
    on = decide(resumed, weigh(run, moments_of(FEW), HEALTHY, OVERDUE), flag, OVERDUE + 1, ready=True)
    assert on.action is Action.GO_ON


def test_a_later_deadline_in_the_file_lifts_the_hold() -> None:
    run, flag = begun(**AT_DEADLINE)
    run["spec"]["deadline_ms"] = 7_200_000
    decision = decide(run, weigh(run, moments_of(FEW), HEALTHY, OVERDUE), flag, OVERDUE, ready=True)
    assert (decision.action, decision.reason) == (Action.GO_ON, Reason.DEADLINE_MOVED)
