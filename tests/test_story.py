"""Whole stories in one process with a hand clock: no socket, no sleep, the product's own assignment, fold and decisions."""

from __future__ import annotations

from router.roll import roll
from tests.controller.runs import EXPERIMENT
from tests.controller.simulation import Simulation, flag_state, world_of

MINUTE = 60


def test_a_good_canary_is_promoted_step_by_step() -> None:
    story = Simulation(world_of(0.4, 0.03), seed=1).play(2 * MINUTE)
    assert story.actions == ["start", "advance", "promote"]
    assert flag_state(story.flag) == ("v2", 0)
    assert story.run["verdict"] == "better"
    assert "PROMOTED" in story.decisions[-1].sentence


def test_a_bad_canary_is_rolled_back_by_its_corrections_although_nothing_fails() -> None:
    story = Simulation(world_of(0.4, 0.8), seed=2).play(2 * MINUTE)
    assert story.actions[-1] == "rollback"
    assert flag_state(story.flag) == ("v1", 0)
    assert story.run["verdict"] == "worse"


def test_a_failing_canary_is_rolled_back_by_its_errors() -> None:
    world = world_of(0.1, 0.1, failing={"v1": 0.001, "v2": 0.2})
    story = Simulation(world, seed=3).play(2 * MINUTE)
    assert story.actions[-1] == "rollback"
    assert "errors" in story.decisions[-1].sentence


def test_lost_exposures_are_seen_as_a_sample_ratio_mismatch_and_hold() -> None:
    world = world_of(0.4, 0.03, loses=0.8)
    story = Simulation(world, seed=4).play(3 * MINUTE)
    assert "promote" not in story.actions
    assert story.run["state"] == "held"
    assert "sample ratio mismatch" in story.run["reason"]
    assert flag_state(story.flag) == ("v1", 1)


def test_an_arm_that_silences_its_users_is_not_promoted() -> None:
    world = world_of(0.4, 0.03, reporting={"v1": 0.8, "v2": 0.05})
    story = Simulation(world, seed=5).play(3 * MINUTE)
    assert "promote" not in story.actions
    assert story.run["state"] in ("held", "running")
    problems = story.run["evidence"]["health"]["problems"]
    assert any("feedback" in problem or "report" in problem for problem in problems), problems


def test_without_traffic_nothing_moves_and_it_says_what_is_missing() -> None:
    world = world_of(0.4, 0.03, per_second=0)
    story = Simulation(world, seed=6).play(3 * MINUTE)
    assert story.actions == ["start"]
    assert story.run["evidence"]["missing"]


def test_a_treatment_that_is_not_ready_is_not_started() -> None:
    story = Simulation(world_of(0.4, 0.03), seed=7).play(20, ready=False)
    assert story.actions == []
    assert story.run["state"] == "held"


def test_at_the_deadline_an_undecided_run_is_held() -> None:
    world = world_of(0.4, 0.4, per_second=2)
    story = Simulation(world, seed=8, experiment=EXPERIMENT.replace("1 h", "90 s")).play(2 * MINUTE)
    assert "promote" not in story.actions
    assert story.run["state"] == "held"
    assert story.run["reason"] == "deadline passed"


def test_an_ab_test_of_two_equal_arms_promotes_nothing() -> None:
    experiment = EXPERIMENT.replace("kind: canary", "kind: ab").replace("25%", "50%")
    story = Simulation(world_of(0.3, 0.3), seed=9, experiment=experiment).play(3 * MINUTE)
    assert "promote" not in story.actions
    assert flag_state(story.flag)[0] == "v1"


def test_a_relative_margin_is_read_from_the_file_to_the_sentence() -> None:
    relative = EXPERIMENT.replace("mde: 10 pp", "mde: 50 %")
    story = Simulation(world_of(0.2, 0.2), seed=3, experiment=relative).play(5 * MINUTE)
    assert story.actions[-1] == "promote"
    assert story.decisions[-1].sentence.endswith("%, margin +50.0 %")


def test_a_roll_in_the_middle_begins_a_stratum_and_keeps_what_was_shown() -> None:
    story = Simulation(world_of(0.4, 0.03), seed=1).play(12)
    story.run, said = roll(story.run, "v2", story.now, "ana", "nightly")
    assert "new stratum" in said
    story.play(2 * MINUTE)
    assert story.actions == ["start", "advance", "promote"]
    closed = {name.partition("|")[0] for name in story.ledger.moments if "|corrected|c|n" in name}
    assert closed == {"1", "1.1"}
    sums = story.run["evidence"]["metrics"]["corrected"]["sums"]["closed"]
    assert len(sums) == 2
