"""Schedules of experiments among the other reasons to move: harm first, then the end, then everything else."""

from __future__ import annotations

from typing import Any

from router.decision import Reason, decide
from router.evidence import weigh
from router.lifecycle import Action
from tests.router.evidence_of import HEALTHY, moments_of
from tests.router.test_decision import FEW, GOOD, HARMFUL, LATER, START, begun


def scheduled(start: int | None, end: int | None, counts: Any, now: int, **changes: Any) -> Any:
    run, flag = begun(**changes)
    run["spec"]["schedule"] = {"start_ms": start, "end_ms": end}
    return decide(run, weigh(run, moments_of(counts), HEALTHY, now), flag, now, ready=True)


def test_harm_comes_before_the_end_of_a_schedule_and_the_end_before_everything_else() -> None:
    assert scheduled(None, LATER, HARMFUL, LATER).reason is Reason.HARM
    for counts, changes in ((GOOD, {}), (FEW, {"paused": True}), (FEW, {"state": "held", "reason": "x"})):
        decision = scheduled(None, LATER, counts, LATER, **changes)
        assert (decision.action, decision.reason) == (Action.END, Reason.SCHEDULE_OVER)
        assert decision.flag is not None and (decision.flag.default, decision.flag.experiments) == ("v1", ())
    assert scheduled(None, LATER + 1, GOOD, LATER).reason is Reason.PROVEN


def test_a_start_to_come_holds_the_first_step_only_and_the_deadline_counts_from_it() -> None:
    assert scheduled(LATER + 1, None, FEW, LATER, step=-1).reason is Reason.BEFORE_START
    assert scheduled(LATER, None, FEW, LATER, step=-1).action is Action.START
    assert scheduled(LATER + 1, None, GOOD, LATER).reason is Reason.PROVEN
    begins = START + 3_000_000
    assert scheduled(begins, None, FEW, begins + 3_599_999).reason is Reason.STEP_NOT_MET
    assert scheduled(begins, None, FEW, begins + 3_600_000).reason is Reason.DEADLINE
