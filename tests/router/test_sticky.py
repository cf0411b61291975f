"""Sticky experiments: who was enrolled stays in the arm of their bucket, and nobody else; never across kill or rollback."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.assignment import Assignment, CompiledFlag, Reason
from router.bucketing import PPM
from router.explain import StatedFacts, explain
from router.flag import Flag, RunningExperiment
from router.lanes import Holdout, Lane
from router.restore import restored
from router.rules import Condition, Rule
from router.sticky import LEAVES, making
from tests.router.flags_of import UNITS, flag, running
from tests.router.world import World, refused

GERMANS = (Condition("country", "in", ("DE",)),)
GERMAN, FRENCH = (StatedFacts({"country": (name,)}) for name in ("DE", "FR"))
EXPERIMENT = """
experiment: better
route: web
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
ramp: [10%]
sticky: true
"""
ROUTE = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://127.0.0.1:9001"}, v2: {upstream: "http://127.0.0.1:9002"}}
default: v1
"""
ASKED = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {}, v2: {}}
default: v1
"""
Sets = dict[tuple[str, int], set[bytes]]


def compiled(one: Flag, memory: Sets) -> CompiledFlag:
    """A flag as a worker compiles it that remembers these units, by run and revision."""

    def remembered(experiment: RunningExperiment) -> Any:
        assert isinstance(experiment.sticky, int)
        return memory.get((experiment.run, experiment.sticky), set()).__contains__

    return CompiledFlag(one, make=making(remembered))


def sticky(**more: Any) -> RunningExperiment:
    return running(sticky=0, audience=GERMANS, **more)


def plain(found: Assignment) -> tuple[str, Reason, int | None, int]:
    return found.arm, found.reason, found.bucket, found.arm_index


@given(unit=st.binary(min_size=1, max_size=20), before=st.integers(0, PPM), now=st.integers(0, PPM))
def test_who_was_enrolled_keeps_the_arm_at_any_coverage_and_whatever_the_attributes(
    unit: bytes, before: int, now: int
) -> None:
    first = compiled(flag(sticky(coverage=before)), {}).assign(unit, GERMAN)
    memory = {("better.1", 0): {unit} if first.arm_index >= 0 else set()}
    for facts in (GERMAN, FRENCH):
        later = compiled(flag(sticky(coverage=now)), memory).assign(unit, facts)
        if first.arm_index >= 0:
            assert (later.arm, later.arm_index, later.bucket) == (first.arm, first.arm_index, first.bucket)
        else:
            assert later.reason is not Reason.STICKY


@pytest.mark.parametrize("facts", [GERMAN, FRENCH])
def test_who_was_never_enrolled_is_dealt_as_in_an_experiment_that_is_not_sticky(facts: StatedFacts) -> None:
    one = compiled(flag(sticky(coverage=PPM // 2)), {})
    other = CompiledFlag(flag(running(audience=GERMANS, coverage=PPM // 2)))
    for unit in UNITS[:500]:
        assert plain(one.assign(unit, facts)) == plain(other.assign(unit, facts))


def test_an_experiment_that_is_not_sticky_is_compiled_as_ever() -> None:
    one = flag(running())
    assert type(compiled(one, {})._first) is type(CompiledFlag(one)._first)


def kept(one: Flag, facts: StatedFacts = FRENCH, *, since: int = 0) -> set[tuple[str, Reason]]:
    """What units get that were all enrolled before."""
    ready = compiled(one, {("better.1", since): set(UNITS)})
    return {ready.assign(unit, facts)[:2] for unit in UNITS[:300]}


STAYS = {("v1", Reason.STICKY), ("v2", Reason.STICKY)}
GONE = {("v1", Reason.NOT_IN_AUDIENCE)}


def test_kill_switch_rule_and_closed_lane_go_before_memory() -> None:
    one = flag(sticky())
    assert kept(one) == STAYS
    assert kept(one.with_kill(None, on=True)) == {("v1", Reason.KILLED)}
    for without in (one.with_kill("v2", on=True), one.with_closed("better.1", "v2")):
        assert kept(without) == {("v1", Reason.STICKY), *GONE}
    ruled = msgspec.structs.replace(one, rules=(Rule("r", (Condition("country", "eq", ("FR",)),), "v3"),))
    assert kept(ruled) == {("v3", Reason.RULE)}
    assert {arm for arm, _ in kept(one.without_experiment("better.1"))} == {"v1"}


@pytest.mark.parametrize("off", [{"holdouts": (Holdout("h", "holdout:h", PPM - 1),)}, {"traffic": 1}])
def test_what_is_fixed_within_an_epoch_is_never_passed_over(off: dict[str, Any]) -> None:
    assert not {reason for _, reason in kept(flag(sticky(**off)), GERMAN)} & {Reason.STICKY, Reason.ENROLLED}


def test_memory_begins_anew_with_each_kill_and_each_way_back() -> None:
    one = flag(sticky())
    killed = one.with_kill("v2", on=True).with_revision(2).with_units_forgotten()
    back = killed.with_kill("v2", on=False).with_revision(3).with_units_forgotten()
    assert [one.experiments[0].sticky, killed.experiments[0].sticky, back.experiments[0].sticky] == [0, 2, 3]
    assert kept(back, since=0) == kept(back, since=2) == GONE
    assert kept(back, since=3) == STAYS
    again = restored(back.with_revision(7), one.without_experiment("better.1"))
    assert again.experiments[0].sticky == again.revision == 8
    assert flag(running()).with_units_forgotten() == flag(running())


def test_a_new_epoch_remembers_nobody() -> None:
    assert kept(flag(sticky(epoch=2))) == GONE


def test_a_unit_without_a_name_is_never_remembered() -> None:
    ready = CompiledFlag(flag(sticky()), make=making(lambda experiment: lambda unit: True))
    for unit in (None, b""):
        assert ready.assign(unit, FRENCH).reason is Reason.NOT_IN_AUDIENCE
        assert ready.assign(unit, GERMAN).reason is Reason.NO_UNIT


def test_explain_says_that_the_arm_comes_from_memory() -> None:
    make = making(lambda experiment: lambda unit: True)
    steps = explain(flag(sticky()), UNITS[0], FRENCH, make)
    assert [step["question"] for step in steps[-2:]] == [
        "was it enrolled before, and is the run sticky?",
        "which arm?",
    ]
    assert steps[-2]["answer"].startswith("yes, run better.1 remembers its unit")
    assert steps[-1]["answer"] in ("v1 (sticky)", "v2 (sticky)")
    assert LEAVES.isdisjoint({Reason.KILLED, Reason.HOLDOUT, Reason.NOT_IN_LAYER, Reason.NOT_INCLUDED})


def test_the_option_reaches_the_flag_and_changing_it_begins_a_new_epoch() -> None:
    world = World()
    assert "sticky: who was enrolled stays" in world.apply(ROUTE, EXPERIMENT).text()
    (running,) = world.flags["web"].experiments
    assert running.sticky == 0
    (change,) = [one for one in world.apply(EXPERIMENT.replace("true", "false")).changes if one.run]
    assert (change.action, change.safe) == ("restart", False)
    assert b"sticky" not in world.flags["web"].encode()


def test_a_route_that_is_only_asked_about_cannot_be_sticky() -> None:
    said = refused(World(), ASKED, EXPERIMENT)
    assert "sticky: expected a route that gateways serve, found web without match" in said
    assert World().plan(ASKED, EXPERIMENT.replace("sticky: true", "")).changes


def test_a_sticky_canary_does_not_drift_to_all_traffic() -> None:
    """Units come and go, and fit the audience on most of their visits; memory is kept all the while."""
    rng, memory = random.Random(5), {("better.1", 0): set[bytes]()}
    canary = compiled(flag(sticky(coverage=200_000)), memory)
    for _ in range(30):
        for unit in UNITS[:1_000]:
            if canary.assign(unit, rng.choice((GERMAN, GERMAN, FRENCH))).arm_index >= 0:
                memory["better.1", 0].add(unit)
    entitled = {unit for unit in UNITS[:1_000] if canary.assign(unit, GERMAN).reason is Reason.ENROLLED}
    assert memory["better.1", 0] == entitled
    assert abs(len(entitled) - 200) < 6 * 13


def test_lanes_of_other_arms_are_no_way_out() -> None:
    lanes = (Lane("v2", "treatment", 0, 100_000), Lane("v1", "control", 500_000, 100_000))
    one = flag(msgspec.structs.replace(sticky(), lanes=lanes))
    assert kept(one) == STAYS | GONE  # who falls between the lanes never was enrolled
