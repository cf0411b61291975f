"""Moves: what a plan says is what happens; and the laws of who may be moved by what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.assignment import CompiledFlag, Reason
from router.bucketing import PPM
from router.flag import Flag
from router.lanes import Holdout, Lane
from router.moves import moved
from router.rules import Condition, Rule
from tests.router.flags_of import UNITS, flag, part, running
from tests.router.test_plan_population import EXPERIMENT, ROUTE, SHARED
from tests.router.world import World


def arms(one: Flag) -> dict[bytes, str]:
    compiled = CompiledFlag(one)
    return {unit: compiled.assign(unit).arm for unit in UNITS}


def enrolled(one: Flag) -> dict[bytes, str]:
    compiled = CompiledFlag(one)
    found = {unit: compiled.assign(unit) for unit in UNITS}
    return {unit: f"{a.run}/{a.arm}" for unit, a in found.items() if a.reason is Reason.ENROLLED}


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    """None, one, or two experiments in a layer, on any epoch, filled and included to any extent."""
    edges = sorted(draw(st.lists(st.integers(1, PPM - 1), min_size=2, max_size=2, unique=True)))
    several = draw(st.sampled_from([0, 1, 1, 2]))
    layers = [part((0, edges[0])), part((edges[0], edges[1]))] if several == 2 else [None]
    experiments = [
        running(
            f"e{i}", draw(st.integers(1, 2)) + 10 * i, share=draw(st.integers(1, PPM - 1)),
            coverage=draw(st.integers(0, PPM)), traffic=draw(st.sampled_from([PPM, 400_000])), layer=layer,
            treatment=draw(st.sampled_from(["v2", "v3"])),
            holdouts=draw(st.sampled_from([(), (Holdout("h", "holdout:h", 250_000),)])),
        )
        for i, layer in enumerate(layers[:several])
    ]  # fmt: skip
    return flag(
        *experiments, kill=draw(st.sampled_from([False, False, False, True])),
        default=draw(st.sampled_from(["v1", "v1", "v3"])), killed=draw(st.sampled_from([(), ("v2",)])),
        algorithm=draw(st.sampled_from(["murmur3-32/v1", "murmur3-32/v1", "sha256-64/v1"])), epoch=20,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(flags(), flags())
def test_the_planned_moves_are_the_measured_ones(old: Flag, new: Flag) -> None:
    planned = {(a, b): ppm for a, b, ppm in moved(old, new)}
    before, after = arms(old), arms(new)
    measured = Counter((before[unit], after[unit]) for unit in UNITS if before[unit] != after[unit])
    for pair in {*planned, *measured}:
        share = planned.get(pair, 0) / PPM
        # Six standard deviations and one unit: of 60 examples with 6 pairs none may fail by chance (< 1e-6).
        spread = 6 * (len(UNITS) * share * (1 - share)) ** 0.5 + 1
        assert abs(measured[pair] - share * len(UNITS)) <= spread


def test_the_planned_moves_are_exact_in_parts_per_million() -> None:
    old, new = flag(running(coverage=200_000)), flag(running(coverage=1_000_000))
    assert moved(old, new) == (("v1", "v2", 200_000),)
    assert moved(new, old) == (("v2", "v1", 200_000),)
    half = flag(running(coverage=PPM, traffic=500_000))
    assert moved(half, new) == (("v1", "v2", 125_000),)
    assert moved(flag(), flag(default="v2")) == (("v1", "v2", PPM),)
    other = flag(running(epoch=2))
    assert moved(new, other) == (("v1", "v2", 187_500), ("v2", "v1", 187_500))


@given(flags())
def test_what_says_nothing_about_units_moves_nobody(one: Flag) -> None:
    assert moved(one, Flag.parse(one.encode())) == ()
    assert arms(one) == arms(Flag.parse(one.encode()))


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 77},
        {"route": "renamed"},
        {"arms": tuple(reversed(flag().arms))},
        {"expose": "none"},
        {"attributes": (("plan", "query", "plan"), ("country", "header", "x"))},
        {"total_timeout_ms": 7},
    ],
)
def test_publishing_renaming_and_reordering_move_nobody(changes: dict[str, Any]) -> None:
    one = flag(running())
    other = msgspec.structs.replace(one, **changes)
    assert enrolled(one) == enrolled(other)


def test_a_rules_share_follows_its_name_and_not_its_place() -> None:
    rules = [
        Rule(f"r{i}", (Condition("unit", "percent_of", ("20%",), salt=f"rule:web:r{i}"),), "v2")
        for i in (1, 2)
    ]
    assert arms(flag(rules=tuple(rules))) == arms(flag(rules=tuple(reversed(rules))))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, PPM), st.integers(0, PPM), st.integers(1, PPM), st.integers(1, PPM))
def test_raising_coverage_or_inclusion_only_adds_and_lowering_lets_the_last_go_first(
    a: int, b: int, c: int, d: int
) -> None:
    few = enrolled(flag(running(coverage=min(a, b), traffic=min(c, d), layer=part((0, 600_000)))))
    many = enrolled(flag(running(coverage=max(a, b), traffic=max(c, d), layer=part((0, 600_000)))))
    assert few.items() <= many.items()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, PPM), st.integers(0, PPM))
def test_raising_coverage_of_three_arms_moves_nobody_from_arm_to_arm(a: int, b: int) -> None:
    lanes = (Lane("v2", "treatment", 0, 100_000), Lane("v3", "treatment", 100_000, 300_000), Lane("v1", "control", 400_000, 600_000))  # fmt: skip
    few, many = (
        enrolled(flag(msgspec.structs.replace(running(coverage=coverage), lanes=lanes)))
        for coverage in sorted((a, b))
    )
    assert few.items() <= many.items()


def test_every_run_of_every_route_deals_by_a_salt_of_its_own() -> None:
    world = World()
    alone = EXPERIMENT.replace("layer: search\nlayer_share: 40%\n", "")
    world.apply(SHARED, ROUTE, ROUTE.replace("route: web", "route: phone"), alone)
    world.apply(alone.replace("better", "other", 1).replace("route: web", "route: phone"))
    salts = [one.experiments[0].salt for one in world.flags.values()]
    world.end("better.1")
    world.apply(alone.replace("ramp", "attempt: 2\nramp"))
    salts.append(world.flags["web"].experiments[0].salt)
    assert len(set(salts)) == len(salts) == 3


def test_a_kill_switch_moves_exactly_the_units_of_its_arm() -> None:
    one = flag(
        running("a", 1, layer=part((0, 400_000))),
        running("b", 2, treatment="v3", layer=part((400_000, 800_000))),
    )
    before, after = arms(one), arms(one.with_kill("v2", on=True))
    assert {unit for unit in UNITS if before[unit] != after[unit]} == {u for u in UNITS if before[u] == "v2"}
    assert arms(one.with_kill("v2", on=True).with_kill("v2", on=False)) == before
    assert set(arms(one.with_kill(None, on=True)).values()) == {"v1"}


def test_members_of_a_layer_are_disjoint_and_starting_or_ending_one_moves_no_other() -> None:
    a, b = running("a", 1, layer=part((0, 300_000))), running("b", 2, layer=part((300_000, 700_000)))
    alone, other, both = enrolled(flag(a)), enrolled(flag(b)), enrolled(flag(a, b))
    assert set(alone) & set(other) == set()
    assert both == alone | other
    for run, share in (("a.1", 0.3), ("b.2", 0.4)):
        members = [arm for arm in both.values() if arm.startswith(run)]
        treated = [arm for arm in members if arm.endswith("/v2")]
        assert abs(len(members) / len(UNITS) - share) < 0.05
        # Six standard deviations: where a unit falls in the layer says nothing about its arm.
        assert abs(len(treated) / len(members) - 0.25) < 6 * (0.25 * 0.75 / len(members)) ** 0.5


def test_a_holdout_is_the_same_units_in_every_experiment_that_names_it() -> None:
    held = (Holdout("h", "holdout:h", 100_000),)
    out = {
        name: {u for u in UNITS if CompiledFlag(flag(one)).assign(u).reason is Reason.HOLDOUT}
        for name, one in (("a", running("a", 1, holdouts=held)), ("b", running("b", 2, holdouts=held)))
    }
    assert out["a"] == out["b"]
    assert abs(len(out["a"]) - 400) < 6 * 19
    promoted = CompiledFlag(flag(default="v2"))
    assert {promoted.assign(unit).arm for unit in out["a"]} == {"v2"}
