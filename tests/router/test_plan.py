"""Plans of a live run: what of it may change while it lives, and what goes on."""

from __future__ import annotations

from typing import Any

import pytest

from router.change import Change
from router.decision import decide
from router.errors import SpecError
from router.evidence import weigh
from router.lifecycle import Action
from tests.controller.runs import ROUTE
from tests.router.evidence_of import HEALTHY, moments_of
from tests.router.world import NOW, World

EXPERIMENT = """
experiment: digits-v2
route: digits
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 5 pp, window: 1 min, grace: 1 s}
guardrails: [{metric: errors, margin: 1 pp, window: 1 min, grace: 1 s}]
ramp: [1%, 5%, 25%]
"""


class Desk(World):
    """Files applied one after another to a store in memory, in which one experiment is looked at."""

    def changes(self, *texts: str) -> list[Change]:
        return self.apply(*texts).changes

    @property
    def run(self) -> dict[str, Any]:
        return self.runs[self.latest["digits-v2"]]

    def at_step(self, step: int) -> None:
        """The run as it is when so many steps were taken."""
        coverage = self.run["spec"]["ramp"][step]["coverage"]
        self.run.update(state="running", reason="", step=step, coverage=[[NOW, 2, coverage]])
        self.flags["digits"] = self.flags["digits"].with_coverage(self.run["run"], coverage)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.apply(ROUTE, EXPERIMENT)
    return made


def ramp(text: str) -> str:
    return EXPERIMENT.replace("[1%, 5%, 25%]", text)


@pytest.mark.parametrize(
    ("old", "step", "new", "expected"),
    [
        ("[1%, 5%, 25%]", 2, "[5%, 25%]", 1),
        ("[5%, 25%]", 0, "[1%, 5%, 25%]", 1),
        ("[1%, 5%, 25%]", 1, "[1%, 2%, 5%, 10%, 25%]", 2),
        ("[1%, 5%, 25%]", 1, "[{traffic: 1%, time: 1 min}, 5%, 25%]", 1),
        ("[1%, 5%, 25%]", -1, "[5%, 25%]", -1),
    ],
)
def test_a_live_run_stands_on_the_step_of_a_new_ramp_whose_coverage_is_live(
    old: str, step: int, new: str, expected: int
) -> None:
    desk = Desk()
    desk.apply(ROUTE, ramp(old))
    if step >= 0:
        desk.at_step(step)
    before = desk.flags["digits"]
    (change,) = desk.changes(ramp(new))
    assert (change.action, desk.run["step"]) == ("change", expected)
    assert change.flag == before.with_revision(before.revision + 1)
    if expected >= 0:
        live = desk.flags["digits"].experiments[0].coverage
        assert desk.run["spec"]["ramp"][expected]["coverage"] == live


def test_harm_still_rolls_back_after_the_ramp_was_shortened(desk: Desk) -> None:
    desk.at_step(2)
    desk.apply(ramp("[5%, 25%]"))
    harmful = moments_of({"n": (3000, 1000), "corrected": (1200, 800), "errors": (0, 0)})
    evidence = weigh(desk.run, harmful, HEALTHY, NOW + 60_000)
    decision = decide(desk.run, evidence, desk.flags["digits"], NOW + 60_000, ready=True)
    assert decision.action is Action.ROLLBACK


def test_a_ramp_without_the_live_coverage_is_refused_with_its_place(desk: Desk) -> None:
    desk.at_step(1)
    before = dict(desk.run)
    with pytest.raises(SpecError, match=r"experiments\.digits-v2\.ramp: expected a ramp with a step of 5%"):
        desk.apply(ramp("[1%, 10%, 25%]"))
    assert desk.run == before


def test_a_route_without_an_arm_of_a_live_run_is_refused_whatever_else_it_changes(desk: Desk) -> None:
    other = ROUTE.replace("v2: {upstream", "v3: {upstream").replace("9001", "9004")
    with pytest.raises(SpecError) as raised:
        desk.apply(other)
    (problem,) = raised.value.problems
    assert (problem.path, problem.expected) == (
        "routes.digits.arms",
        "arm 'v2', which run digits-v2.1 compares",
    )


def test_a_change_is_told_down_to_the_fields_that_differ(desk: Desk) -> None:
    (change,) = desk.changes(
        ROUTE.replace("default: v1", "match: {path: /digits}\nretries: 2\ndefault: v1").replace(
            "x-person", "x-user"
        )
    )
    assert change.lines[:3] == (
        "match.path: / -> /digits",
        'unit.places: [["header","x-person"]] -> [["header","x-user"]]',
        "retries: 1 -> 2",
    )


DECLARING = ROUTE.replace('9002"}', '9002", declares: "2"}')


def rolled_desk() -> Desk:
    made = Desk()
    made.apply(DECLARING, EXPERIMENT)
    made.at_step(1)
    made.run["evidence"] = {"units": {}}
    return made


def test_another_build_declared_in_the_file_is_a_new_stratum_of_the_same_run() -> None:
    desk = rolled_desk()
    before = dict(desk.run)
    route, experiment = desk.changes(DECLARING.replace('"2"', '"3"'))
    assert [change.action for change in (route, experiment)] == ["change", "roll"]
    assert route.safe
    assert experiment.lines[0].startswith("digits-v2 (v2) rolled to '3' by file: declares 3")
    assert desk.run["rolls"] == [[NOW, "v2", "by file: declares 3", "3"]]
    for field in ("run", "epoch", "state", "step", "coverage", "compares", "evidence"):
        assert desk.run[field] == before[field]
    assert desk.flags["digits"].arm("v2").declares == "3"
    assert [one.epoch for one in desk.flags["digits"].experiments] == [before["epoch"]]


def test_two_arms_rolled_at_once_are_one_write() -> None:
    desk = rolled_desk()
    version = desk.run["version"]
    both = DECLARING.replace('"2"', '"3"').replace('9001"}', '9001", declares: "1"}')
    desk.apply(both, EXPERIMENT)
    assert [roll[1::2] for roll in desk.run["rolls"]] == [["v2", "3"], ["v1", "1"]]
    assert desk.run["version"] == version + 1


def test_a_new_server_is_a_new_epoch_whatever_it_declares() -> None:
    desk = rolled_desk()
    actions = [
        change.action for change in desk.changes(DECLARING.replace('"2"', '"3"').replace("9002", "9003"))
    ]
    assert actions == ["change", "restart"]
    assert desk.run["rolls"] == []


def test_a_rolled_run_goes_on_under_a_changed_ramp_of_the_same_apply() -> None:
    desk = rolled_desk()
    actions = [change.action for change in desk.changes(DECLARING.replace('"2"', '"3"'), ramp("[5%, 25%]"))]
    assert actions == ["change", "roll", "change"]
    assert (len(desk.run["rolls"]), desk.run["step"]) == (1, 0)
