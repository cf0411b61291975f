"""Assignment: the order of its questions, and the laws of lanes that make a ramp fair."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.assignment import CompiledFlag, Reason
from router.bucketing import PPM, bucket
from router.explain import explain
from router.flag import Arm, Flag, Lane, RunningExperiment, UnitSource

UNITS = [f"unit-{i}".encode() for i in range(4_000)]


def ab(
    coverage: int, *, share: int = 250_000, traffic: int = PPM, salt: str = "web:1", closed: bool = False,
    killed: tuple[str, ...] = (), enabled: bool = True,
) -> Flag:  # fmt: skip
    lanes = (
        Lane("v2", "treatment", 0, share, "closed" if closed else "open"),
        Lane("v1", "control", share, PPM - share),
    )
    running = RunningExperiment("better.1", "better", 1, salt, lanes, coverage, traffic)
    return Flag(
        "web", UnitSource("person", (("header", "x"),)), (Arm("v1", "http://a"), Arm("v2", "http://b")), "v1",
        revision=1, epoch=1, experiments=(running,), killed=killed, enabled=enabled,
    )  # fmt: skip


def arms(flag: Flag) -> dict[bytes, tuple[str, Reason]]:
    compiled = CompiledFlag(flag)
    return {unit: (a.arm, a.reason) for unit in UNITS for a in [compiled.assign(unit)]}


def enrolled(flag: Flag) -> dict[bytes, str]:
    return {unit: arm for unit, (arm, reason) in arms(flag).items() if reason is Reason.ENROLLED}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, PPM), st.integers(0, PPM), st.integers(1, PPM - 1))
def test_raising_coverage_only_adds_units_and_lowering_it_takes_the_last_joined(
    a: int, b: int, share: int
) -> None:
    low, high = sorted((a, b))
    few, many = enrolled(ab(low, share=share)), enrolled(ab(high, share=share))
    assert few.items() <= many.items()


@pytest.mark.parametrize("coverage", [10_000, 40_000, 200_000, 1_000_000])
def test_the_ratio_of_open_lanes_is_the_ratio_of_shares_at_every_coverage(coverage: int) -> None:
    widths = [lane.width(coverage) for lane in ab(coverage).experiments[0].lanes]
    assert widths[1] == 3 * widths[0]
    assert sum(widths) == coverage


def test_units_fall_into_arms_as_their_lanes_are_wide() -> None:
    served = list(enrolled(ab(PPM)).values())
    assert len(served) == len(UNITS)
    assert abs(served.count("v2") - 1_000) < 5 * 27.4


def test_a_unit_keeps_its_bucket_whatever_else_changes() -> None:
    for flag in (ab(0), ab(PPM), ab(PPM, share=1), ab(PPM, closed=True)):
        assert CompiledFlag(flag).assign(b"user-1").bucket == bucket("web:1#arm", "user-1")


def test_the_open_lane_is_half_open() -> None:
    unit = b"user-1"
    where = bucket("web:1#arm", unit)
    inside = CompiledFlag(ab(PPM, share=where + 1)).assign(unit)
    outside = CompiledFlag(ab(PPM, share=where)).assign(unit)
    assert (inside.arm, outside.arm) == ("v2", "v1")


def test_a_closed_lane_leaves_the_other_arm_and_the_epoch_alone() -> None:
    before, after = enrolled(ab(PPM)), arms(ab(PPM, closed=True))
    for unit, arm in before.items():
        assert after[unit] == (("v1", Reason.ENROLLED) if arm == "v1" else ("v1", Reason.NOT_ENROLLED))


def test_with_coverage_zero_nobody_is_enrolled() -> None:
    assert set(arms(ab(0)).values()) == {("v1", Reason.NOT_ENROLLED)}


def test_inclusion_is_independent_of_the_arm() -> None:
    inside = enrolled(ab(PPM, share=500_000, traffic=100_000))
    assert abs(len(inside) - 400) < 5 * 19
    treated = list(inside.values()).count("v2")
    assert abs(treated - len(inside) / 2) < 5 * 10
    reasons = {reason for _, reason in arms(ab(PPM, traffic=100_000)).values()}
    assert reasons == {Reason.ENROLLED, Reason.NOT_INCLUDED}


def test_a_new_epoch_deals_anew() -> None:
    first, second = enrolled(ab(PPM, salt="web:1")), enrolled(ab(PPM, salt="web:2"))
    treated = [unit for unit, arm in first.items() if arm == "v2"]
    again = sum(second[unit] == "v2" for unit in treated)
    assert abs(again - len(treated) / 4) < 5 * 14


def test_a_killed_arm_comes_first_and_is_not_analysed() -> None:
    assigned = arms(ab(PPM, killed=("v2",)))
    assert {arm for arm, _ in assigned.values()} == {"v1"}
    assert {reason for _, reason in assigned.values()} == {Reason.KILLED, Reason.ENROLLED}
    killed = next(unit for unit, (_, reason) in assigned.items() if reason is Reason.KILLED)
    assert CompiledFlag(ab(PPM, killed=("v2",))).assign(killed).arm_index == -1


def test_disabled_comes_before_the_absent_unit_and_that_before_lanes() -> None:
    assert CompiledFlag(ab(PPM, enabled=False)).assign(None).reason is Reason.DISABLED
    for absent in (None, b""):
        result = CompiledFlag(ab(PPM)).assign(absent)
        assert (result.arm, result.reason, result.bucket, result.arm_index) == (
            "v1",
            Reason.NO_UNIT,
            None,
            -1,
        )


def test_without_an_experiment_the_default_arm_serves_everybody() -> None:
    flag = ab(PPM).without_experiment("better.1").with_default("v2")
    for unit in (None, b"user-1"):
        result = CompiledFlag(flag).assign(unit)
        assert (result.arm, result.reason, result.run) == ("v2", Reason.NO_EXPERIMENT, None)


def test_three_arms_each_get_their_lane() -> None:
    lanes = (
        Lane("b", "treatment", 0, 200_000), Lane("c", "treatment", 200_000, 300_000), Lane("a", "control", 500_000, 500_000)
    )  # fmt: skip
    running = RunningExperiment("x.1", "x", 1, "r:1", lanes, PPM)
    flag = Flag(
        "r", UnitSource("p", ()), tuple(Arm(n, "http://x") for n in "abc"), "a", experiments=(running,)
    )
    compiled = CompiledFlag(flag)
    for unit in UNITS[:500]:
        where, result = bucket("r:1#arm", unit), compiled.assign(unit)
        wanted = ("b", 1) if where < 200_000 else ("c", 2) if where < 500_000 else ("a", 0)
        assert (result.arm, result.arm_index) == wanted


@given(st.sampled_from(UNITS), st.integers(0, PPM), st.integers(1, PPM))
def test_explain_ends_with_the_arm_that_is_served(unit: bytes, coverage: int, traffic: int) -> None:
    flag = ab(coverage, traffic=traffic)
    served = CompiledFlag(flag).assign(unit)
    steps = explain(flag, unit)
    assert steps[-1]["answer"] == f"{served.arm} ({served.reason.value})"
    assert {"question", "hash", "bucket", "range", "answer"} == set(steps[0])


@pytest.mark.parametrize("unit", [None, b""])
def test_explain_says_that_the_unit_is_absent(unit: bytes | None) -> None:
    assert any("unit" in step["question"] for step in explain(ab(PPM), unit))
    assert explain(ab(PPM, enabled=False), unit)[0]["answer"].startswith("no")
    assert explain(ab(PPM).without_experiment("better.1"), unit)[1]["answer"].startswith("no")
