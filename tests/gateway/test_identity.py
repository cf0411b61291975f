"""An update that was never pushed, pushed under a run, or pushed to the wrong arm makes the run invalid, with words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import uvloop

from router.flag import Arm, ArmSet
from router.health import Health, check, drift
from tests.gateway.flags import experiment
from tests.gateway.gated import answer, gated, post

V1, V2 = Arm("v1", "http://a:1"), Arm("v2", "http://b:1")
DECLARED = msgspec.structs.replace(V2, declares="2")


@pytest.mark.parametrize(
    ("treatment", "seen", "words"),
    [
        (V2, {}, None),
        (V2, {"v1": ["1"], "v2": ["2"]}, None),
        (DECLARED, {"v1": ["1"], "v2": ["2"]}, None),
        (DECLARED, {"v1": ["1"], "v2": ["3"]}, "v2 is declared '2' and answers as '3'"),
        (DECLARED, {"v2": ["2", "3"]}, "v2 is declared '2' and answers as '3'"),
        (V2, {"v1": ["1"], "v2": ["2", "3"]}, "v2 answers as '2' and '3'"),
        (V2, {"v1": ["1", "2"]}, "v1 answers as '1' and '2'"),
        (V2, {"v1": ["1"], "v2": ["1"]}, "v1 and v2 both answer as '1': was the update pushed?"),
        (Arm("v2", "http://a:1", set=ArmSet()), {"v1": ["1"], "v2": ["1"]}, None),
        (Arm("v2", "http://a:1"), {"v1": ["1"], "v2": ["1"]}, None),
    ],
)
def test_what_the_answers_say_is_held_against_what_is_declared(
    treatment: Arm, seen: Mapping[str, list[str]], words: str | None
) -> None:
    problems = drift(V1, treatment, seen)
    assert len(problems) == (0 if words is None else 1)
    assert words is None or words in problems[0]


def test_drift_makes_the_telemetry_unhealthy() -> None:
    health = Health(drift=("v2 is declared '2' and answers as '3'",))
    assert check(health, [(100, 100)], 0.5, 0.0, ("v1", "v2")).problems == health.drift


def test_identities_are_collected_by_arm_and_begin_anew_with_an_epoch() -> None:
    async def play() -> None:
        v1 = (answer(b"{}", fields=b"X-Model-Version: 1\r\n"),)
        v2 = (answer(b'{"model":"2"}'), answer(b'{"model":"3"}'))
        async with gated({"v1": v1, "v2": v2}, protocol="openai") as world:
            for _ in range(3):
                await world.ask(post())
            await world.ask(b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n")

            def named() -> dict[str, frozenset[str]]:
                return {name: arm.standing.identities for name, arm in world.route.arms.items()}

            assert named() == {"v1": {"1"}, "v2": {"2", "3"}}
            world.bench.show(msgspec.structs.replace(world.flag, revision=2))
            assert named() == {"v1": {"1"}, "v2": {"2", "3"}}
            world.bench.show(msgspec.structs.replace(world.flag, epoch=2))
            assert named() == {"v1": set(), "v2": set()}

    uvloop.run(play())


def test_on_a_plain_route_an_arm_that_declares_itself_is_listened_to() -> None:
    async def play() -> None:
        v2 = (answer(b"x", b"text/plain", b"X-Model-Version: 9\r\n"),)
        async with gated({"v1": v2, "v2": v2}, experiments=(experiment(treatment=999_999),)) as world:
            arms = tuple(msgspec.structs.replace(arm, declares="2") for arm in world.flag.arms)
            world.bench.show(msgspec.structs.replace(world.flag, arms=arms))
            await world.ask(post())
            assert world.route.arms["v2"].standing.identities == {"9"}

    uvloop.run(play())
