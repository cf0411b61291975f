"""Stories of the methods of promotion, of several goals and of observed metrics, with a hand clock."""

from __future__ import annotations

from typing import Any

from tests.controller.runs import EXPERIMENT
from tests.controller.simulation import Simulation, flag_state, world_of

MINUTE = 60
AB = EXPERIMENT.replace("kind: canary", "kind: ab").replace("25%", "50%")


def row(story: Simulation, name: str) -> dict[str, Any]:
    found: dict[str, Any] = story.run["evidence"]["metrics"][name]
    return found


def test_a_canary_with_a_horizon_is_promoted_at_one_of_its_looks() -> None:
    experiment = EXPERIMENT + "method: horizon\nmax_units: 3000\nlooks: 5\n"
    story = Simulation(world_of(0.4, 0.03), seed=1, experiment=experiment).play(2 * MINUTE)
    assert story.actions[-1] == "promote"
    assert flag_state(story.flag) == ("v2", 0)
    fractions = story.run["horizon"]["fractions"]
    assert fractions == sorted(fractions)
    assert 0 < len(fractions) <= 5
    assert row(story, "corrected")["method"]["test"] == "horizon"


def test_a_horizon_that_passes_undecided_ends_an_ab_test_and_holds_a_canary() -> None:
    plan = "method: horizon\nmax_units: 400\n"
    ab = Simulation(world_of(0.3, 0.3), seed=2, experiment=AB + plan).play(2 * MINUTE)
    assert ab.actions[-1] == "end"
    assert flag_state(ab.flag) == ("v1", 0)
    canary = Simulation(world_of(0.3, 0.3), seed=3, experiment=EXPERIMENT + plan).play(2 * MINUTE)
    assert canary.actions.count("hold") == 1
    assert canary.actions[-1] == "hold"
    assert (canary.run["state"], flag_state(canary.flag)) == ("held", ("v1", 1))
    assert canary.run["reason"] == "the planned units have passed undecided"


def test_harm_rolls_back_whatever_the_method_and_after_the_plan_has_ended() -> None:
    for plan in ("method: sprt\n", "method: horizon\nmax_units: 100\n"):
        story = Simulation(world_of(0.4, 0.8, people=6000), seed=4, experiment=EXPERIMENT + plan).play(
            2 * MINUTE
        )
        assert story.actions[-1] == "rollback"
        assert flag_state(story.flag) == ("v1", 0)


def test_an_sprt_of_two_equal_arms_gives_up_and_control_stays() -> None:
    story = Simulation(world_of(0.3, 0.3), seed=5, experiment=AB + "method: sprt\n").play(4 * MINUTE)
    assert story.actions[-1] == "end"
    assert flag_state(story.flag) == ("v1", 0)
    assert story.run["verdict"] == "equivalent"


def test_an_sprt_promotes_a_better_treatment() -> None:
    story = Simulation(world_of(0.4, 0.1), seed=6, experiment=AB + "method: sprt\n").play(3 * MINUTE)
    assert story.actions[-1] == "promote"


def test_the_one_of_two_goals_that_is_better_promotes_and_is_named() -> None:
    goals = AB.replace("goal: {", "goals: [{").replace("grace: 1 s}\n", "grace: 1 s}, {metric: SECOND}]\n", 1)
    text = goals.replace("SECOND", "errors, mde: 5 pp, window: 5 s, grace: 1 s")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("guardrails")) + "\n"
    world = world_of(0.3, 0.3, failing={"v1": 0.15, "v2": 0.001})
    story = Simulation(world, seed=7, experiment=text).play(5 * MINUTE)
    assert story.actions[-1] == "promote"
    assert "errors" in story.decisions[-1].sentence
    assert [row(story, name)["state"] == "superior" for name in ("corrected", "errors")] == [False, True]


def test_a_metric_that_is_only_observed_rolls_nothing_back_and_is_named() -> None:
    observed = EXPERIMENT.replace("guardrails: [{metric: errors", "observe: [{metric: errors")
    world = world_of(0.4, 0.03, failing={"v1": 0.001, "v2": 0.3})
    story = Simulation(world, seed=8, experiment=observed).play(2 * MINUTE)
    assert story.actions[-1] == "promote"
    assert row(story, "errors")["state"] == "observed"
    assert row(story, "errors")["exploring"]["differs"] is True
