"""Copies of requests: what the other arm is sent, what is counted, and that no client ever waits for one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from router.document import load
from router.errors import SpecError
from router.event_rows import EXPOSURE, OUTCOME
from router.files import parse_documents
from router.flag import ArmSet
from router.gateway import shadowing
from router.gateway.comparing import same
from router.local.processes import free_port
from router.route import flag_of
from router.serving import Comparison, Serving, Shadow
from tests.gateway.flags import experiment
from tests.gateway.gated import Gated, answer, gated, post
from tests.gateway.scripted import Script, read_request, until

V1 = (answer(b'{"y":1.0,"by":"v1"}'),)


def shadow(share: int = 1_000_000, methods: tuple[str, ...] = ("POST",), **fields: Any) -> dict[str, Any]:
    return {"serving": Serving(shadow=Shadow("v2", share, methods, **fields)), "experiments": ()}


def ended(world: Gated, outcome: str) -> int:
    return world.counted("pointsman_shadows", arm="v2", outcome=outcome)


def test_a_copy_is_the_request_with_a_mark_and_what_its_arm_sets() -> None:
    async def play() -> None:
        sets = {"v2": ArmSet("/other", (("x-key", "k"),), (("/model", "b"),))}
        async with gated({"v1": V1, "v2": V1}, sets=sets, **shadow()) as world:
            got = await world.ask(post(b'{"a":1}', b"Authorization: t\r\nPointsman-Shadow: forged\r\n"))
            assert got.body == b'{"y":1.0,"by":"v1"}'
            await until(lambda: ended(world, "ok") == 1)
            (_, first), (name, copy) = world.requests
            assert (name, copy.line) == ("v2", b"POST /other/infer HTTP/1.1")
            assert msgspec.json.decode(copy.body) == {"a": 1, "model": "b"}
            assert copy.fields[b"pointsman-shadow"] == b"web"
            assert (copy.fields[b"x-key"], copy.fields[b"authorization"]) == (b"k", b"t")
            assert (first.body, b"pointsman-shadow" in first.fields) == (b'{"a":1}', False)
            assert world.counted("pointsman_requests", arm="v2") == 0
            assert world.counted("pointsman_shadow_seconds_bucket", arm="v2") == 1

    uvloop.run(play())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


@pytest.mark.parametrize(
    ("server", "outcome"),
    [
        (None, "connect_failed"),
        (silent, "timeout"),
        (closing, "truncated"),
        ((b"nonsense\r\n\r\n",), "bad_answer"),
        ((b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",), "5xx"),
    ],
)
def test_whatever_becomes_of_a_copy_the_client_and_the_arm_never_hear_of_it(
    server: Script | tuple[bytes, ...] | None, outcome: str
) -> None:
    async def play() -> None:
        servers = {"v1": V1, "v2": server or f"http://127.0.0.1:{free_port()}"}
        patience = 400 if outcome == "timeout" else 30_000
        async with gated(servers, first_byte_timeout_ms=patience, retries=3, **shadow()) as world:
            for _ in range(7):
                assert (await world.ask(post())).status == 200
            await until(lambda: ended(world, outcome) == 7)
            assert world.counted("pointsman_upstream_failures", arm="v2") == 0
            assert world.route.arms["v2"].standing.breaker.failures == 0
            assert world.plane.counts.retries == 0

    uvloop.run(play())


def test_an_arm_that_never_answers_holds_no_client_back_and_what_is_too_many_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadowing, "MOST", 3)

    async def play() -> None:
        async with gated({"v1": V1, "v2": silent}, **shadow()) as world:
            for _ in range(20):
                assert (await world.ask(post())).status == 200
            await until(lambda: ended(world, "dropped") == 17)
            assert world.route.reader is not None
            assert world.route.reader.shadows[0].open == 3

    uvloop.run(play())


@pytest.mark.parametrize(
    ("request_octets", "fields"),
    [
        (b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n", {}),
        (post(), {"default": "v2"}),
        (post(b"x" * 70_000), {}),
    ],
)
def test_other_methods_the_arm_itself_and_long_bodies_are_not_copied(
    request_octets: bytes, fields: dict[str, Any]
) -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V1}, **{**shadow(), **fields}) as world:
            assert (await world.ask(request_octets)).status == 200
            assert len(world.requests) == 1
            assert sum(ended(world, one) for one in shadowing.OUTCOMES if one != "dropped") == 0
            assert ended(world, "dropped") == (len(request_octets) > 70_000)

    uvloop.run(play())


def test_a_request_without_an_answer_is_not_copied() -> None:
    async def play() -> None:
        async with gated({"v1": closing, "v2": V1}, **shadow()) as world:
            assert (await world.ask(post())).status == 502
            assert world.requests == []

    uvloop.run(play())


def test_the_share_is_kept() -> None:
    """Of 400 requests a quarter: the count lies within five standard deviations (a false alarm in 1.7 million)."""

    async def play() -> None:
        async with gated({"v1": V1, "v2": V1}, **shadow(250_000)) as world:
            for _ in range(400):
                await world.ask(post())
            copies = sum(name == "v2" for name, _ in world.requests)
            await until(lambda: ended(world, "ok") >= copies)
            assert 100 - 44 < copies < 100 + 44

    uvloop.run(play())


@pytest.mark.parametrize(
    ("other", "how", "result"),
    [
        (b'{"by":"v1","y":1}', Comparison(), "equal"),
        (b'{"by":"v2","y":1}', Comparison(), "differs"),
        (b'{"by":"v2","y":1.004}', Comparison(("/y",), 0.01), "equal"),
        (b'{"by":"v2","y":1.02}', Comparison(("/y",), 0.01), "differs"),
        (b'{"by":', Comparison(), "unreadable"),
    ],
)
def test_the_two_answers_are_compared_and_the_result_is_an_outcome(
    other: bytes, how: Comparison, result: str
) -> None:
    async def play() -> None:
        run = msgspec.structs.replace(
            experiment(treatment=1), measures=("shadow_differs", "shadow_latency")
        )  # as good as everyone is enrolled in control
        fields = {**shadow(compare=how), "experiments": (run,)}
        async with gated({"v1": V1, "v2": (answer(other),)}, **fields) as world:
            await world.ask(post())
            await until(lambda: world.counted("pointsman_shadow_comparisons", arm="v2", result=result) == 1)
            facts, outcomes = await world.written()
            assert facts == [EXPOSURE | OUTCOME]
            assert outcomes.pop("shadow_latency") > 0
            known = {"equal": {"shadow_differs": 0}, "differs": {"shadow_differs": 1_000_000}}
            assert outcomes == known.get(result, {})

    uvloop.run(play())


NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS, st.floats(0, 0.5))
def test_tolerance_is_symmetric_absolute_or_as_a_share(one: float, other: float, tolerance: float) -> None:
    how = Comparison(tolerance=tolerance)
    assert same([one], [other], how) == same([other], [one], how)
    if abs(one - other) <= tolerance * 0.999:
        assert same({"y": one}, {"y": other}, how)
    if abs(one - other) > 1.001 * tolerance * max(1, abs(one), abs(other)):
        assert not same({"y": one}, {"y": other}, how)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), ([1], [1, 2]), ({"a": 1}, {"a": 1, "b": None}), ("1", 1), (None, 0)],
)
def test_other_kinds_are_other_answers(one: object, other: object) -> None:
    assert not same(one, other, Comparison(tolerance=0.5))
    assert same(one, one, Comparison())


FILE = """
route: web
unit: {kind: person, from: [request]}
arms: {v1: {upstream: "http://h:1"}, v2: {upstream: "http://h:2"}}
default: v1
shadow: {arm: v2, share: 10%, compare: {fields: [/y], tolerance: 0.01}}
"""


def test_a_file_says_what_is_copied() -> None:
    routes = parse_documents(load(FILE, "route.yaml")).routes
    made = flag_of(routes["web"][0])
    expected = Shadow("v2", 100_000, ("GET", "POST"), Comparison(("/y",), 0.01))
    assert made.serving == Serving(shadow=expected)
    made.check()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("arm: v2, share", "arm: v3, share", "shadow.arm"),
        ("10%", "10", "a percentage"),
        ("[/y]", "[y]", "JSON"),
    ],
)
def test_what_cannot_be_copied_is_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        parse_documents(load(FILE.replace(old, new), "route.yaml"))
