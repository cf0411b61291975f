"""The flag: what is written is read back, what contradicts itself is refused with its place."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.bucketing import PPM
from router.errors import SpecError
from router.flag import Arm, Flag, Lane, Match, RunningExperiment, UnitSource
from router.rules import Condition, Rule

PLACES = (
    ("header", "x-person"),
    ("cookie", "pm_unit"),
    ("json", "/user"),
    ("query", "user"),
    ("request", ""),
)


def experiment(**changes: Any) -> RunningExperiment:
    lanes = (Lane("v2", "treatment", 0, 250_000), Lane("v1", "control", 250_000, 750_000))
    fields: dict[str, Any] = {
        "run": "better.1",
        "experiment": "better",
        "epoch": 1,
        "salt": "web:1",
        "lanes": lanes,
    }
    return RunningExperiment(
        **{**fields, "coverage": 200_000, "slow_ms": 300, "ttl_ms": 3_660_000, **changes}
    )


def flag(**changes: Any) -> Flag:
    fields: dict[str, Any] = {
        "route": "web",
        "unit": UnitSource("person", PLACES),
        "arms": (
            Arm("v1", "http://127.0.0.1:9001", "a1"),
            Arm("v2", "http://127.0.0.1:9002/v2/models/b", "b2"),
        ),
        "default": "v1",
        "revision": 3,
        "match": Match("/v2/models/digits", "example.org", (("x-tenant", "one"),)),
        "epoch": 1,
        "experiments": (experiment(),),
        "total_timeout_ms": 5_000,
    }
    return Flag(**{**fields, **changes})


names = st.text(min_size=1, max_size=12)
numbers = st.integers(0, 2**32 - 1)


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    arms = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    shares = [draw(st.integers(1, PPM // len(arms))) for _ in arms]
    lanes = tuple(
        Lane(arm, "control" if arm == arms[-1] else "treatment", sum(shares[:i]), shares[i],
             draw(st.sampled_from(["open", "closed"])))
        for i, arm in enumerate(arms)
    )  # fmt: skip
    running = RunningExperiment(
        draw(names), draw(names), draw(numbers), draw(names), lanes, draw(st.integers(0, PPM)),
        draw(st.integers(1, PPM)), draw(st.none() | numbers), draw(numbers),
    )  # fmt: skip
    places = draw(
        st.lists(st.tuples(st.sampled_from(["header", "cookie", "json", "query", "request"]), names))
    )
    match = draw(
        st.none() | st.builds(Match, path=names.map(lambda text: "/" + text), host=st.none() | names)
    )
    return Flag(
        draw(names), UnitSource(draw(names), tuple(places)), tuple(Arm(arm, draw(names)) for arm in arms), arms[-1],
        revision=draw(numbers), enabled=draw(st.booleans()), killed=tuple(draw(st.sets(st.sampled_from(arms)))),
        match=match, epoch=draw(numbers), experiments=draw(st.sampled_from([(), (running,)])),
        expose=draw(st.sampled_from(["all", "id", "none"])),
    )  # fmt: skip


@given(flags())
def test_a_written_flag_reads_back_unchanged(one: Flag) -> None:
    assert Flag.parse(one.encode()) == one
    assert Flag.parse(json.dumps(one.document())) == one
    assert Flag.parse(one.encode()).digest() == one.digest()


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("arms", {"arms": ()}),
        ("arms", {"arms": (Arm("v1", "http://a"), Arm("v1", "http://b"), Arm("v2", "http://c"))}),
        ("default", {"default": "v9"}),
        ("killed", {"killed": ("v9",)}),
        ("revision", {"revision": -1}),
        ("epoch", {"epoch": 2**32}),
        ("unit.places", {"unit": UnitSource("person", (("session", "x"),))}),
        ("match.path", {"match": Match("v2")}),
        ("rules.r", {"rules": (Rule("r", (Condition("unit", "in_cdir", ("10.0.0.0/8",)),), "v2"),)}),
        ("rules.r", {"rules": (Rule("r", (Condition("unit", "gt", ("ten",)),), "v2"),)}),
        ("experiments", {"experiments": (experiment(), experiment(run="other.1"))}),
        ("experiments.better.1.coverage", {"experiments": (experiment(coverage=PPM + 1),)}),
        ("experiments.better.1.traffic", {"experiments": (experiment(traffic=0),)}),
        ("experiments.better.1.epoch", {"experiments": (experiment(epoch=-1),)}),
        ("experiments.better.1.lanes", {"experiments": (experiment(lanes=()),)}),
        (
            "experiments.better.1.lanes",
            {"experiments": (experiment(lanes=(Lane("v1", "control", 0, PPM),)),)},
        ),
    ],
)
def test_a_contradiction_is_refused_with_its_place(path: str, changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        Flag.parse(flag(**changes).encode())
    assert path in [problem.path for problem in caught.value.problems]


@pytest.mark.parametrize(
    "lanes",
    [
        (Lane("v2", "treatment", 0, 500_001), Lane("v1", "control", 500_000, 500_000)),
        (Lane("v2", "treatment", 0, 500_000), Lane("v1", "control", 500_000, 500_001)),
        (Lane("v2", "treatment", 0, 0), Lane("v1", "control", 0, 500_000)),
        (Lane("v9", "treatment", 0, 10), Lane("v1", "control", 10, 10)),
        (Lane("v1", "treatment", 0, 10), Lane("v1", "control", 10, 10)),
        (Lane("v2", "control", 0, 10), Lane("v1", "control", 10, 10)),
    ],
)
def test_lanes_that_overlap_or_name_strangers_are_refused(lanes: tuple[Lane, ...]) -> None:
    with pytest.raises(SpecError, match="lanes"):
        Flag.parse(flag(experiments=(experiment(lanes=lanes),)).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"route": "\xff"}', b'"\xff"', b"[" * 100_000, b'{"route": 1e999}',
        flag().encode()[:-1], flag().encode() + b"x", b"\x00" * 64,
    ],
)  # fmt: skip
def test_what_is_no_flag_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(SpecError, match="expected a stored flag of format 1"):
        Flag.parse(data)


def test_an_unknown_field_or_format_or_algorithm_is_refused() -> None:
    for name, value in (("colour", "red"), ("format", 2), ("algorithm", "md5")):
        with pytest.raises(SpecError):
            Flag.parse(json.dumps({**flag().document(), name: value}))


@given(st.data())
def test_a_flag_with_one_octet_changed_reads_or_is_refused_and_never_raises_otherwise(
    data: st.DataObject,
) -> None:
    text = bytearray(flag().encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SpecError):
        Flag.parse(bytes(text)).check()


def test_changes_are_new_values_and_leave_the_revision_to_the_store() -> None:
    one = flag()
    wider = one.with_coverage("better.1", 400_000)
    assert (wider.experiments[0].coverage, wider.revision) == (400_000, 3)
    assert one.experiments[0].coverage == 200_000
    assert one.without_experiment("better.1").experiments == ()
    assert one.with_default("v2").default == "v2"
    assert one.with_revision(4).revision == 4
    closed = one.with_closed("better.1", "v2")
    assert [lane.state for lane in closed.experiments[0].lanes] == ["closed", "open"]
    again = one.without_experiment("better.1").with_experiment(experiment(run="better.2", epoch=2))
    assert (again.epoch, [e.run for e in again.experiments]) == (2, ["better.2"])


def test_changes_that_name_strangers_raise() -> None:
    with pytest.raises(KeyError):
        flag().with_default("v9")
    with pytest.raises(KeyError):
        flag().with_closed("other.1", "v2")


def test_a_flag_is_frozen() -> None:
    with pytest.raises(AttributeError):
        flag().default = "v2"  # type: ignore[misc]


def test_the_control_has_index_zero_and_treatments_count_up() -> None:
    lanes = (
        Lane("a", "treatment", 0, 10),
        Lane("b", "treatment", 10, 10),
        Lane("c", "control", 20, 20),
    )
    running = experiment(lanes=lanes)
    assert [running.arm_index(arm) for arm in ("c", "a", "b", "z")] == [0, 1, 2, -1]


def test_a_stored_flag_has_no_surprise_for_another_reader() -> None:
    document = msgspec.json.decode(flag().encode())
    assert document["experiments"][0]["lanes"][0] == {
        "arm": "v2", "role": "treatment", "start": 0, "share": 250_000, "state": "open",
    }  # fmt: skip
