"""The order of evaluation: each question comes before all later ones, and explain asks the same ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.assignment import DEEPEST, CompiledFlag, Reason
from router.bucketing import PPM, bucket
from router.explain import StatedFacts, explain
from router.flag import Flag, Requirement, Schedule
from router.lanes import Holdout
from router.rules import Condition, Rule
from tests.router.flags_of import UNITS, flag, part, running

GERMANS = Condition("country", "in", ("DE",))
GOLD = Condition("plan", "eq", ("gold",))
HELD = Holdout("h", "holdout:h", PPM - 1)
UNIT = b"unit-1"
FACTS = StatedFacts({"country": ("DE",), "plan": ("gold",)}, {}, UNIT, "v3")
# One row per question in the frozen order: what makes it the answer, and how its answer is taken away.
ORDER: list[tuple[Reason, dict[str, Any], dict[str, Any]]] = [
    (Reason.KILLED, {"kill": True}, {"kill": False}),
    (Reason.DISABLED, {"enabled": False}, {"enabled": True}),
    (Reason.OUTSIDE_SCHEDULE, {"schedule": Schedule(1, 2, False)}, {"schedule": Schedule(1, 2, True)}),
    (Reason.PREREQUISITE, {"requires": (Requirement("other", ("v2",)),)}, {"requires": ()}),
    (Reason.FORCED, {}, {"force": None}),
    (Reason.UNIT_LIST, {"units": (("v3", ("unit-1",)),)}, {"units": (("v3", ("unit-2",)),)}),
    (Reason.RULE, {"rules": (Rule("r", (GERMANS,), "v3"),)}, {"rules": (Rule("r", (GERMANS,), "v3"),), "country": "IT"}),
    (Reason.NOT_IN_AUDIENCE, {"audience": (Condition("plan", "eq", ("free",)),)}, {"audience": (GOLD,)}),
    (Reason.NO_UNIT, {}, {"unit": UNIT}),
    (Reason.HOLDOUT, {"holdouts": (HELD,)}, {"holdouts": (Holdout("h", "holdout:h", 1),)}),
    (Reason.NOT_IN_LAYER, {"layer": part((0, 1))}, {"layer": part((0, PPM))}),
    (Reason.NOT_INCLUDED, {"traffic": 1}, {"traffic": PPM}),
    (Reason.NOT_ENROLLED, {"coverage": 0}, {"coverage": PPM}),
    (Reason.ENROLLED, {}, {}),
]  # fmt: skip
OF_EXPERIMENT = ("audience", "holdouts", "layer", "traffic", "coverage")


def built(at: int) -> tuple[Flag, bytes | None, StatedFacts]:
    """Everything before a row is taken away, the row and everything after it would answer."""
    fields: dict[str, Any] = {"unit": None}
    for number, (_, asked, away) in enumerate(ORDER):
        fields |= away if number < at else asked
    unit = fields.pop("unit")
    country, force = fields.pop("country", "DE"), fields.pop("force", "v3")
    mine = {name: fields.pop(name) for name in OF_EXPERIMENT if name in fields}
    one = flag(running(**mine), **fields)
    return one, unit, StatedFacts({"country": (country,), "plan": ("gold",)}, {}, unit, force)


@pytest.mark.parametrize("at", range(len(ORDER)), ids=[reason.value for reason, *_ in ORDER])
def test_each_question_comes_before_all_later_ones(at: int) -> None:
    one, unit, facts = built(at)
    reason = ORDER[at][0]
    if reason is Reason.UNIT_LIST:
        unit, facts = UNIT, StatedFacts({"country": ("DE",)}, {}, UNIT)
    found = CompiledFlag(one).assign(unit, facts)
    assert found.reason is reason
    assert (found.arm_index >= 0) is (reason is Reason.ENROLLED)


def test_the_order_names_every_reason_but_the_empty_route_and_memory() -> None:
    assert {reason for reason, *_ in ORDER} == set(Reason) - {Reason.NO_EXPERIMENT, Reason.STICKY}


@pytest.mark.parametrize("reason", [Reason.FORCED, Reason.UNIT_LIST, Reason.RULE])
def test_a_killed_arm_is_served_by_nobody_however_it_is_asked_for(reason: Reason) -> None:
    one, unit, facts = built([row for row, *_ in ORDER].index(reason))
    if reason is Reason.UNIT_LIST:
        unit, facts = UNIT, StatedFacts({}, {}, UNIT)
    found = CompiledFlag(msgspec.structs.replace(one, killed=("v3",))).assign(unit, facts)
    assert (found.arm, found.reason, found.arm_index) == ("v1", Reason.KILLED, -1)


def test_the_first_rule_that_holds_serves_and_is_named() -> None:
    rules = (Rule("gold", (GERMANS, GOLD), "v2"), Rule("german", (GERMANS,), "v3"))
    compiled = CompiledFlag(flag(rules=rules))
    for attributes, arm, rule in (
        ({"country": ("DE",), "plan": ("gold",)}, "v2", "gold"),
        ({"country": ("DE",)}, "v3", "german"),
        ({"plan": ("gold",)}, "v1", None),
    ):
        found = compiled.assign(None, StatedFacts(attributes))
        assert (found.arm, found.rule) == (arm, rule)


def test_the_unit_is_an_attribute_of_its_own() -> None:
    rules = (Rule("some", (Condition("unit", "percent_of", ("30%",), salt="rule:web:some"),), "v2"),)
    compiled = CompiledFlag(flag(rules=rules))
    served = [unit for unit in UNITS if compiled.assign(unit).arm == "v2"]
    assert served == [unit for unit in UNITS if bucket("rule:web:some", unit) < 300_000]
    assert compiled.needs_unit


def test_an_audience_asks_and_outside_nobody_is_analysed() -> None:
    compiled = CompiledFlag(flag(running(audience=(GERMANS,))))
    inside = {unit: compiled.assign(unit, StatedFacts({"country": ("DE",)})) for unit in UNITS[:500]}
    everyone = CompiledFlag(flag(running()))
    assert inside == {unit: everyone.assign(unit) for unit in UNITS[:500]}
    outside = {compiled.assign(unit, StatedFacts({})) for unit in UNITS[:500]}
    assert {(one.arm, one.reason, one.arm_index) for one in outside} == {("v1", Reason.NOT_IN_AUDIENCE, -1)}


def compiled_all(flags: dict[str, Flag]) -> dict[str, CompiledFlag]:
    return {route: CompiledFlag(one) for route, one in flags.items()}


def parents(depth: int, **last: Any) -> dict[str, Flag]:
    """A row of routes, each of which needs the next one's v1."""
    flags = {
        f"r{i}": flag(route=f"r{i}", requires=(Requirement(f"r{i + 1}", ("v1",)),)) for i in range(depth)
    }
    return flags | {f"r{depth}": flag(route=f"r{depth}", **last)}


@pytest.mark.parametrize(
    ("last", "met"),
    [
        ({}, True),
        ({"default": "v2"}, False),
        ({"enabled": False}, False),
        ({"kill": True}, False),
        ({"schedule": Schedule(None, 5, False)}, False),
    ],
)
def test_a_prerequisite_is_met_by_the_arm_of_a_flag_that_is_on(last: dict[str, Any], met: bool) -> None:
    flags = parents(2, **last)
    found = CompiledFlag(flags["r0"]).assign(UNIT, StatedFacts({}, compiled_all(flags), UNIT))
    assert found.reason is (Reason.NO_EXPERIMENT if met else Reason.PREREQUISITE)


def test_a_prerequisite_that_is_absent_or_asks_in_a_ring_is_not_met() -> None:
    alone = flag(requires=(Requirement("gone", ("v1",)),))
    ring = {
        "a": flag(route="a", requires=(Requirement("b", ("v1",)),)),
        "b": flag(route="b", requires=(Requirement("a", ("v1",)),)),
    }
    long = parents(DEEPEST + 1)
    for one, flags in ((alone, {}), (ring["a"], ring), (long["r0"], long)):
        assert (
            CompiledFlag(one).assign(UNIT, StatedFacts({}, compiled_all(flags), UNIT)).reason
            is Reason.PREREQUISITE
        )


conditions = st.sampled_from(
    [GERMANS, GOLD, Condition("country", "missing"), Condition("unit", "ends_with", ("7", "3"))]
)


@st.composite
def any_flags(draw: st.DrawFn) -> Flag:
    """Flags with everything in them, some of it in the way of the rest."""
    some = st.lists(conditions, max_size=2).map(tuple)
    shares = draw(st.lists(st.integers(1, PPM - 1), min_size=2, max_size=2, unique=True).map(sorted))
    layers = draw(st.sampled_from([(None,), (part((0, shares[0])), part((shares[0], shares[1])))]))
    experiments = [
        running(
            f"e{i}", i + 1, share=draw(st.integers(1, PPM - 1)), coverage=draw(st.integers(0, PPM)), layer=layer,
            traffic=draw(st.integers(1, PPM)), audience=draw(some),
            holdouts=draw(st.sampled_from([(), (Holdout("h", "holdout:h", 300_000),)])),
        )
        for i, layer in enumerate(layers)
    ]  # fmt: skip
    rules = tuple(
        Rule(f"rule{i}", draw(st.lists(conditions, min_size=1, max_size=2).map(tuple)), draw(st.sampled_from(["v2", "v3"])))
        for i in range(draw(st.integers(0, 2)))
    )  # fmt: skip
    return flag(
        *experiments[: draw(st.integers(0, len(experiments)))], rules=rules,
        kill=draw(st.sampled_from([False, False, True])), enabled=draw(st.sampled_from([True, True, False])),
        killed=draw(st.sampled_from([(), ("v2",)])), units=draw(st.sampled_from([(), (("v3", ("unit-9",)),)])),
        schedule=draw(st.sampled_from([None, Schedule(1, 2, True), Schedule(1, 2, False)])),
        requires=draw(st.sampled_from([(), (Requirement("gone", ("v1",)),)])),
    )  # fmt: skip


# The question that ends an explanation, by the reason of the assignment.
LAST = {
    Reason.DISABLED: "is the flag enabled?", Reason.OUTSIDE_SCHEDULE: "is it inside its schedule?",
    Reason.PREREQUISITE: "does gone give", Reason.FORCED: "does a trusted caller", Reason.UNIT_LIST: "is the unit on the list",
    Reason.RULE: "does rule", Reason.NO_EXPERIMENT: "does an experiment run here?", Reason.NO_UNIT: "has the request a unit?",
    Reason.NOT_IN_AUDIENCE: "", Reason.HOLDOUT: "", Reason.NOT_IN_LAYER: "", Reason.NOT_INCLUDED: "is it included?",
    Reason.NOT_ENROLLED: "is it in the open lane", Reason.ENROLLED: "is it in the open lane", Reason.KILLED: "",
}  # fmt: skip


@given(
    any_flags(),
    st.sampled_from([None, *UNITS[:20]]),
    st.sampled_from([{}, {"country": ("DE",)}, {"country": ("IT",), "plan": ("gold",)}]),
    st.sampled_from([None, "v3"]),
)
def test_explain_asks_what_the_assignment_asked(
    one: Flag, unit: bytes | None, attributes: dict[str, tuple[str, ...]], force: str | None
) -> None:
    facts = StatedFacts(attributes, {}, unit, force)
    found = CompiledFlag(one).assign(unit, facts)
    steps = explain(one, unit, facts)
    assert steps[-1]["answer"] == f"{found.arm} ({found.reason.value})"
    assert steps[-2]["question"].startswith(LAST[found.reason])
    if found.bucket is not None:
        assert steps[-2]["bucket"] == found.bucket


def test_every_hashed_step_shows_salt_hash_bucket_and_range() -> None:
    one = flag(running(layer=part((0, PPM)), holdouts=(Holdout("h", "holdout:h", 1),)))
    steps = [step for step in explain(one, UNIT) if step["hash"] is not None]
    assert [step["salt"] for step in steps] == [
        "holdout:h",
        "layer:search:1",
        "web:1#in",
        "web:1#arm",
        "web:1#arm",
    ]
    for step in steps:
        assert step["bucket"] == bucket(step["salt"], UNIT)
        assert step["range"].startswith("[")
