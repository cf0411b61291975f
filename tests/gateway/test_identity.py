"""An update that was never pushed, pushed under a run, or pushed to the wrong arm makes the run invalid, with words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import uvloop

from router.events import Sighting
from router.flag import Arm, ArmSet
from router.gateway.run_buffer import SIGHTINGS_MOST, RunBuffer
from router.health import Health, check
from router.identity import NAMES_MOST, Seen, misidentified
from tests.gateway.flags import experiment
from tests.gateway.gated import Gated, answer, gated, post

V1, V2 = Arm("v1", "http://a:1"), Arm("v2", "http://b:1")
DECLARED = msgspec.structs.replace(V2, declares="2")
ROLL = [1000, "v2", "by ana: retrained", "3"]
OTHER_ROLL = [1000, "v1", "by ana: retrained", ""]


def seen(names: Mapping[str, list[str]], rolls: int = 0, found: Seen | None = None) -> Seen:
    made = found or Seen()
    for arm, several in names.items():
        for name in several:
            made.answered(arm, name, rolls)
    return made


@pytest.mark.parametrize(
    ("treatment", "names", "words"),
    [
        (V2, {}, None),
        (V2, {"v1": ["1"], "v2": ["2"]}, None),
        (DECLARED, {"v1": ["1"], "v2": ["2"]}, None),
        (DECLARED, {"v1": ["1"], "v2": ["3"]}, "v2 is declared '2' and answers as '3'"),
        (DECLARED, {"v2": ["2", "3"]}, "v2 is declared '2' and answers as '3'"),
        (V2, {"v1": ["1"], "v2": ["2", "3"]}, "v2 answers as '2' and '3'"),
        (V2, {"v1": ["1", "2"]}, "v1 answers as '1' and '2'"),
        (V2, {"v1": ["1"], "v2": ["1"]}, "v1 and v2 both answered as '1': was the update pushed?"),
        (Arm("v2", "http://a:1", set=ArmSet()), {"v1": ["1"], "v2": ["1"]}, None),
        (Arm("v2", "http://a:1"), {"v1": ["1"], "v2": ["1"]}, None),
    ],
)
def test_what_the_answers_say_is_held_against_what_is_declared(
    treatment: Arm, names: Mapping[str, list[str]], words: str | None
) -> None:
    problems = misidentified({}, V1, treatment, seen(names))
    assert len(problems) == (0 if words is None else 1)
    assert words is None or words in problems[0]


@pytest.mark.parametrize(
    ("rolls", "after", "words"),
    [
        ([ROLL], {}, None),
        ([ROLL], {"v1": ["1"], "v2": ["3"]}, None),
        ([ROLL], {"v2": ["2"]}, "v2 is declared '3' and answers as '2'"),
        ([ROLL], {"v2": ["3", "4"]}, "v2 is declared '3' and answers as '4'"),
        ([OTHER_ROLL], {"v1": ["9"], "v2": ["3"]}, "v2 is declared '2' and answers as '3'"),
        ([OTHER_ROLL], {"v1": ["9"], "v2": ["2"]}, None),
    ],
)
def test_a_declared_roll_begins_anew(
    rolls: list[list[object]], after: Mapping[str, list[str]], words: str | None
) -> None:
    before = seen({"v1": ["1"], "v2": ["2", "3"]})
    assert misidentified({}, V1, DECLARED, before)
    problems = misidentified({"rolls": rolls}, V1, DECLARED, seen(after, 1, before))
    assert len(problems) == (0 if words is None else 1)
    assert words is None or words in problems[0]


def test_what_is_heard_late_of_before_a_roll_is_not_held_against_the_new_build() -> None:
    told = seen({"v2": ["3"]}, 1)
    assert misidentified({"rolls": [ROLL]}, V1, DECLARED, seen({"v2": ["2"]}, 0, told)) == ()


def test_that_both_arms_were_one_model_is_not_mended_by_a_roll() -> None:
    told = seen({"v1": ["1"], "v2": ["1"]})
    (problem,) = misidentified({"rolls": [ROLL]}, V1, V2, seen({"v1": ["1"], "v2": ["3"]}, 1, told))
    assert "v1 and v2 both answered as '1'" in problem


def test_one_name_of_both_arms_in_two_strata_is_no_sameness() -> None:
    told = seen({"v2": ["1"]}, 1, seen({"v1": ["1"], "v2": ["2"]}))
    assert misidentified({"rolls": [[*ROLL[:3], "1"]]}, V1, V2, told) == ()


def test_what_is_kept_is_bounded() -> None:
    names = [str(number) for number in range(100)]
    told = seen({"v1": names, "v2": names})
    assert [len(found) for found in (*told.names.values(), told.alike)] == [NAMES_MOST] * 3
    buffer = RunBuffer("e.1", 1, None)
    for name in names:
        buffer.named("v1", name, 5)
    assert len(buffer.sightings()) == SIGHTINGS_MOST


def test_a_misidentified_arm_makes_the_telemetry_unhealthy() -> None:
    health = Health(misidentified=("v2 is declared '2' and answers as '3'",))
    assert check(health, [(100, 100)], 0.5, 0.0, ("v1", "v2")).problems == health.misidentified


async def sightings(world: Gated) -> set[Sighting]:
    await world.bench.recorder.flush(world.bench.now)
    return {one for entry in world.bench.log.folded() for one in entry.sightings}


def test_what_answers_call_themselves_travels_with_the_events_at_the_time_of_their_requests() -> None:
    async def play() -> None:
        v1 = (answer(b"{}", fields=b"X-Model-Version: 1\r\n"),)
        v2 = (answer(b'{"model":"2"}'), answer(b'{"model":"3"}'))
        async with gated({"v1": v1, "v2": v2}, protocol="openai") as world:
            begun = world.bench.now
            for _ in range(3):
                await world.ask(post())
                world.bench.now += 10
            await world.ask(b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n")  # is not analysed
            assert await sightings(world) == {
                Sighting("v2", "2", begun, begun),
                Sighting("v2", "3", begun + 10, begun + 20),
            }
            world.bench.log.entries.clear()
            await world.ask(post())
            assert {one.name for one in await sightings(world)} == {"3"}

    uvloop.run(play())


def test_an_answer_of_another_arm_is_told_of_that_one() -> None:
    async def play() -> None:
        v1 = (answer(b"{}", fields=b"X-Model-Version: 1\r\n"),)
        broken = (b"HTTP/1.1 500 No\r\nX-Model-Version: 2\r\nContent-Length: 0\r\n\r\n",)
        async with gated({"v1": v1, "v2": broken}, protocol="openai", fallback=True) as world:
            await world.ask(post())
            assert {(one.arm, one.name) for one in await sightings(world)} == {("v1", "1")}

    uvloop.run(play())


def test_what_could_not_be_sent_is_sent_again() -> None:
    async def play() -> None:
        buffered = (answer(b'{"model":"2"}'),)
        async with gated({"v1": buffered, "v2": buffered}, protocol="openai") as world:
            await world.ask(post())
            world.bench.log.down = True
            with pytest.raises(Exception, match="down"):
                await sightings(world)
            world.bench.log.down = False
            assert {one.name for one in await sightings(world)} == {"2"}

    uvloop.run(play())


def test_on_a_plain_route_an_arm_that_declares_itself_is_listened_to() -> None:
    async def play() -> None:
        v2 = (answer(b"x", b"text/plain", b"X-Model-Version: 9\r\n"),)
        async with gated({"v1": v2, "v2": v2}, experiments=(experiment(treatment=999_999),)) as world:
            arms = tuple(msgspec.structs.replace(arm, declares="2") for arm in world.flag.arms)
            world.bench.show(msgspec.structs.replace(world.flag, arms=arms))
            await world.ask(post())
            assert {one.name for one in await sightings(world)} == {"9"}

    uvloop.run(play())
