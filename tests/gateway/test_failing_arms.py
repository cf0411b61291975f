"""Failures stay in the arm: repeated within a budget, cut off by a breaker, answered by control, counted as assigned."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from router.event_rows import ERROR, EXPOSURE, FALLBACK, OUTCOME
from router.gateway.breaker import FAILURES, OPEN_S, SAVED_MOST, Breaker, Budget
from router.gateway.ports import Limits
from router.gateway.sending import REPLAY_MOST
from router.serving import PoolLimits
from tests.gateway.gated import OK, PERSON, answer, gated, post
from tests.gateway.scripted import Client, Script, read_request, until

V1 = (answer(b'{"by":"v1"}'),)
V2 = (answer(b'{"by":"v2"}'),)
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nno\n"


NOBODY = "http://127.0.0.1:1"  # a free port may be somebody's a moment later


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a request and closes."""
    await read_request(reader)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


@pytest.mark.parametrize(
    ("server", "how"),
    [
        (None, "connect_failed"),
        (closing, "truncated"),
        (silent, "timeout"),
        ((b"nonsense\r\n\r\n",), "bad_answer"),
        ((BROKEN,), "500"),
    ],
)
def test_control_answers_for_a_treatment_that_fails_and_it_counts_against_the_treatment(
    server: Script | tuple[bytes, ...] | None, how: str
) -> None:
    async def play() -> None:
        servers = {"v1": V1, "v2": server or NOBODY}
        patience = 400 if how == "timeout" else 30_000
        async with gated(servers, fallback=True, first_byte_timeout_ms=patience, retries=0) as world:
            got = await world.ask(post(b'{"a":1}'))
            assert (got.status, got.body) == (200, b'{"by":"v1"}')
            assert got.fields[b"pointsman-arm"] == b"v2"
            assert got.fields[b"pointsman-served"] == b"v1"
            assert got.fields[b"pointsman-attempts"] == b"v2=" + how.encode()
            assert world.requests[-1][1].body == b'{"a":1}'
            facts, _ = await world.written()
            assert facts == [EXPOSURE | OUTCOME | ERROR | FALLBACK]
            assert world.counted("pointsman_fallbacks", arm="v2") == 1
            assert world.counted("pointsman_requests", arm="v1", status="2xx") == 1
            assert world.counted("pointsman_requests", arm="v2") == 0

    uvloop.run(play())


def test_without_a_fallback_the_client_hears_of_the_failure() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": (BROKEN,)}) as world:
            assert (await world.ask(post())).status == 500
            facts, _ = await world.written()
            assert facts == [EXPOSURE | OUTCOME | ERROR]

    uvloop.run(play())


def test_an_answer_that_has_begun_is_never_repeated() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": cutting}, fallback=True, repeatable=True) as world:
            got = await world.ask(post())
            assert (got.status, got.body, got.whole) == (200, b"half", False)
            assert world.requests == []
            assert world.counted("pointsman_upstream_failures", arm="v2", outcome="truncated") == 1

    uvloop.run(play())


def test_control_that_fails_has_nobody_behind_it() -> None:
    async def play() -> None:
        async with gated({"v1": NOBODY, "v2": NOBODY}, fallback=True) as world:
            assert (await world.ask(post())).status == 502
            facts, _ = await world.written()
            assert facts == [EXPOSURE | OUTCOME | ERROR | FALLBACK]

    uvloop.run(play())


@pytest.mark.parametrize(("repeatable", "status"), [(True, 200), (False, 502)])
def test_a_post_is_sent_again_only_where_the_route_says_so(repeatable: bool, status: int) -> None:
    seen = 0

    async def once_bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await (closing if seen == 1 else OK)(reader, writer)

    async def play() -> None:
        async with gated({"v1": V1, "v2": once_bad}, repeatable=repeatable) as world:
            assert (await world.ask(post())).status == status
            assert seen == (2 if repeatable else 1)
            assert world.plane.counts.retries == seen - 1

    uvloop.run(play())


def test_a_server_that_is_down_is_dialled_within_the_budget_and_then_left_alone() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": NOBODY}, retries=3) as world:
            for _ in range(30):
                assert (await world.ask(post())).status in (502, 503)
            assert world.plane.counts.dials <= FAILURES + 4
            assert world.counted("pointsman_upstream_failures", arm="v2", outcome="circuit_open") >= 20
            last = await world.ask(post())
            assert (last.status, last.fields[b"retry-after"]) == (503, b"1")
            facts, _ = await world.written()
            assert set(facts) == {EXPOSURE | OUTCOME | ERROR}

    uvloop.run(play())


def test_the_breaker_of_one_arm_leaves_the_other_alone() -> None:
    other = b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n"  # without a unit: the default arm

    async def play() -> None:
        async with gated({"v1": V1, "v2": NOBODY}) as world:
            for _ in range(FAILURES + 20):
                assert (await world.ask(post())).status in (502, 503)
                got = await world.ask(other)
                assert (got.status, got.body) == (200, b'{"by":"v1"}')
            assert world.counted("pointsman_requests", arm="v1", status="2xx") == FAILURES + 20
            assert world.counted("pointsman_upstream_failures", arm="v1") == 0
            assert world.counted("pointsman_upstream_failures", arm="v2") == FAILURES + 20

    uvloop.run(play())


def test_while_an_arm_is_left_alone_control_answers_without_a_dial() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": NOBODY}, fallback=True, retries=0) as world:
            for number in range(FAILURES + 20):
                got = await world.ask(post())
                assert (got.status, got.body) == (200, b'{"by":"v1"}')
                how = b"v2=circuit_open" if number >= FAILURES else b"v2=connect_failed"
                assert got.fields[b"pointsman-attempts"] == how
            assert world.plane.counts.dials == FAILURES + 1  # and the one of control
            facts, _ = await world.written()
            assert facts == [EXPOSURE | OUTCOME | ERROR | FALLBACK] * (FAILURES + 20)

    uvloop.run(play())


@pytest.mark.parametrize(("waits", "failures"), [(False, 1), (True, 1), (False, FAILURES + 1)])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("octets", [10, REPLAY_MOST + 10, 3_000_000])
def test_a_body_that_was_sent_to_nobody_goes_whole_to_control(
    octets: int, chunked: bool, waits: bool, failures: int
) -> None:
    body = b"0123456789" * (octets // 10)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    expects = b"Expect: 100-continue\r\n" if waits else b""
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body

    async def play() -> None:
        async with gated({"v1": V1, "v2": NOBODY}, fallback=True) as world:
            for _ in range(failures):
                streams = await asyncio.open_connection("127.0.0.1", world.port)
                client = Client(*streams)
                client.send(PERSON + expects + framing + b"\r\n\r\n")
                if waits:
                    assert b" 100 " in await client.reader.readuntil(b"\r\n\r\n")
                client.send(framed)
                assert (await client.answer()).body == b'{"by":"v1"}'
                assert world.requests[-1][1].body == body
                streams[1].close()

    uvloop.run(play())


def test_control_answers_for_an_arm_that_has_no_room() -> None:
    async def play() -> None:
        pools = {"v2": PoolLimits(requests=1)}
        async with gated({"v1": V1, "v2": silent}, fallback=True, pools=pools) as world:
            first = asyncio.create_task(world.ask(post()))
            await until(lambda: world.plane.counts.dials)
            got = await world.ask(post())
            assert (got.status, got.body) == (200, b'{"by":"v1"}')
            assert got.fields[b"pointsman-attempts"] == b"v2=no_room"
            first.cancel()

    uvloop.run(play())


def test_errors_that_a_model_answers_do_not_open_the_breaker() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": (BROKEN,)}) as world:
            for _ in range(3 * FAILURES):
                assert (await world.ask(post())).status == 500

    uvloop.run(play())


def test_a_breaker_lets_one_try_after_each_longer_pause() -> None:
    breaker, now = Breaker(), 100.0
    for _ in range(FAILURES):
        assert breaker.allows(now)
        breaker.failed(now)
    for pause in (1.0, 2.0, 4.0, 8.0, 16.0, OPEN_S[1], OPEN_S[1]):
        assert not breaker.allows(now + pause - 0.01)
        now += pause
        assert breaker.allows(now)
        assert not breaker.allows(now)
        breaker.failed(now)
    breaker.answered()
    assert breaker.allows(now)
    breaker.failed(now)
    assert breaker.allows(now)


def test_a_budget_is_a_fifth_of_the_requests() -> None:
    budget = Budget()
    assert sum(budget.take() for _ in range(100)) == SAVED_MOST
    budget.requests += 1000
    assert sum(budget.take() for _ in range(100)) == SAVED_MOST
    taken = 0
    for _ in range(1000):
        budget.requests += 1
        taken += budget.take()
    assert taken == pytest.approx(200, abs=1)


def test_an_overloaded_gateway_exposes_nobody() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, limits=Limits(requests=0)) as world:
            assert (await world.ask(post())).status == 503
            assert (await world.written())[0] == []

    uvloop.run(play())
