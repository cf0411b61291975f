"""HTTP/1.1 on both sides, feature by feature, between a raw client and a scripted model server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from router.gateway.ports import Limits
from tests.gateway.scripted import GET, OK, Message, answering, read_head, read_request, serving, until

CHUNKED_POST = b"POST /a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n"


def kept(into: list[Message], answer: bytes = OK) -> object:
    """A script that writes down each request and answers it."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            into.append(await read_request(reader))
            writer.write(answer)

    return script


def seen_of(request: bytes, answer: bytes = OK, **options: object) -> tuple[Message, Message]:
    """What the upstream saw of a request, and what the client got."""
    requests: list[Message] = []

    async def play() -> Message:
        async with serving(kept(requests, answer), **options) as world:  # type: ignore[arg-type]
            return await world.ask(request)

    got = uvloop.run(play())
    return requests[0], got


def test_trailers_of_a_request_arrive_behind_its_body_and_never_in_its_head() -> None:
    request = (
        CHUNKED_POST
        + b"Trailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nAuthorization: evil\r\n"
        b"Pointsman-Arm: v2\r\n\r\n"
    )
    seen, _ = seen_of(request)
    assert seen.body == b"hi"
    assert seen.trailers == {b"x-sum": b"7"}
    assert seen.fields[b"host"] == b"m"
    assert b"authorization" not in seen.fields


def test_trailers_of_a_held_body_arrive_too() -> None:
    seen, _ = seen_of(CHUNKED_POST + b"\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", needs_body=100)
    assert (seen.body, seen.trailers) == (b"hi", {b"x-sum": b"7"})


def test_trailers_of_an_answer_reach_the_client() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Cost\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Cost: 0.1\r\nSet-Cookie: evil=1\r\n\r\n"
    )
    _, got = seen_of(GET, answer)
    assert (got.body, got.trailers) == (b"ok", {b"x-cost": b"0.1"})


def test_a_client_that_waits_is_let_go_on_by_its_upstream() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert head.fields[b"expect"] == b"100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(5)
        writer.write(OK)

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"hello")
            assert (await client.answer()).status == 200
            assert client.informational == []

    uvloop.run(play())


def test_a_client_that_waits_in_vain_hears_it_from_the_gateway() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"hello")
            assert (await client.answer()).status == 200

    uvloop.run(play())


def test_an_upstream_may_refuse_a_body_before_it_is_sent() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.body) == (413, b"no")
            assert answer.fields[b"connection"] == b"close"
            assert await client.closed()
            assert client.informational == []
            assert await world.ended() == [(413, "ok")]

    uvloop.run(play())


def test_early_hints_pass_and_reach_no_client_of_http_1_0() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nKeep-Alive: timeout=5\r\n\r\n" + OK

    async def play() -> None:
        async with serving(answering(answer)) as world:
            client = await world.client()
            client.send(GET)
            assert (await client.answer()).body == b"ok"
            assert [(one.status, one.fields) for one in client.informational] == [(103, {b"link": b"</a>"})]
            old = await world.client()
            old.send(b"GET /a HTTP/1.0\r\n\r\n")
            assert (await old.answer()).body == b"ok"
            assert old.informational == []

    uvloop.run(play())


def test_answers_without_a_body_leave_both_connections_usable() -> None:
    answers = (
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        OK,
    )

    async def play() -> None:
        async with serving(answering(*answers)) as world:
            client = await world.client()
            client.send(GET)
            first = await client.answer()
            assert (first.status, b"content-length" in first.fields) == (204, False)
            client.send(GET)
            second = await client.answer()
            assert (second.status, second.fields[b"content-length"]) == (304, b"5")
            client.send(b"HEAD /a HTTP/1.1\r\nHost: m\r\n\r\n")
            assert (await client.answer(bodiless=True)).fields[b"content-length"] == b"5"
            client.send(GET)
            assert (await client.answer()).body == b"ok"
            assert world.upstream_connections == 1

    uvloop.run(play())


def test_a_client_of_http_1_0_gets_a_chunked_answer_unchunked_and_ended_by_the_close() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    seen, got = seen_of(b"GET /a HTTP/1.0\r\nHost: m\r\n\r\n", answer)
    assert (got.body, got.fields[b"connection"], b"transfer-encoding" in got.fields) == (
        b"ok",
        b"close",
        False,
    )
    assert seen.line == b"GET /a HTTP/1.1"


def test_an_upstream_of_http_1_0_ends_its_answer_by_the_close() -> None:
    async def play() -> None:
        async with serving(answering(b"HTTP/1.0 200 OK\r\n\r\nold", close=True)) as world:
            client = await world.client()
            for _ in range(2):
                client.send(GET)
                answer = await client.answer()
                assert (answer.body, answer.whole) == (b"old", True)
            assert world.upstream_connections == 2

    uvloop.run(play())


def test_a_websocket_is_refused_and_another_upgrade_is_ignored() -> None:
    async def play() -> None:
        async with serving(answering(OK)) as world:
            upgrade = b"GET /a HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            assert (await world.ask(upgrade % b"websocket")).status == 501
            assert (await world.ask(upgrade % b"h2c")).body == b"ok"
            assert world.gate.ended == [(200, "ok")]

    uvloop.run(play())


def test_an_upstream_that_switches_protocols_unasked_is_a_bad_answer() -> None:
    async def play() -> None:
        switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
        async with serving(answering(switched)) as world:
            assert (await world.ask()).status == 502
            assert await world.ended() == [(502, "bad_answer")]

    uvloop.run(play())


def test_options_of_the_server_and_at_the_end_of_its_hops_are_answered_here() -> None:
    async def play() -> None:
        requests: list[Message] = []
        async with serving(kept(requests)) as world:  # type: ignore[arg-type]
            assert (await world.ask(b"OPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n")).status == 200
            hops = b"OPTIONS /a HTTP/1.1\r\nHost: m\r\nMax-Forwards: %d\r\n\r\n"
            assert (await world.ask(hops % 0)).status == 200
            assert requests == []
            assert (await world.ask(hops % 3)).status == 200
            assert requests[0].fields[b"max-forwards"] == b"2"

    uvloop.run(play())


def test_a_path_that_servers_would_resolve_is_refused() -> None:
    async def play() -> None:
        async with serving(answering(OK)) as world:
            for path in (b"/a/../b", b"/a/%2e%2E/b", b"/./a", b"/a/..", b"/.%2e/a"):
                assert (await world.ask(b"GET %b HTTP/1.1\r\nHost: m\r\n\r\n" % path)).status == 400
            for path in (b"/.well-known/a", b"/a/..b", b"/a?x=/../b", b"/a%2Fb/%20"):
                assert (await world.ask(b"GET %b HTTP/1.1\r\nHost: m\r\n\r\n" % path)).status == 200

    uvloop.run(play())


def test_the_gateway_names_itself_and_dates_an_answer_that_has_no_date() -> None:
    seen, got = seen_of(b"GET /a HTTP/1.1\r\nHost: m\r\nVia: 1.0 before\r\n\r\n")
    assert seen.fields[b"via"] == b"1.0 before, 1.1 pointsman"
    assert got.fields[b"date"].endswith(b" GMT")
    dated = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"
    assert seen_of(GET, dated)[1].fields[b"date"] == b"Sun, 06 Nov 1994 08:49:37 GMT"


def test_our_own_fields_never_reach_a_model_server_in_any_spelling() -> None:
    forged = b"Pointsman-Arm: v2\r\npointsman_arm: v2\r\nPOINTSMAN-Decision: x\r\nPointsman_Force: v2\r\n"
    seen, _ = seen_of(b"GET /a HTTP/1.1\r\nHost: m\r\n" + forged + b"\r\n")
    assert not [name for name in seen.fields if name.startswith(b"pointsman")]


def test_ipv6_on_both_sides() -> None:
    async def play() -> None:
        requests: list[Message] = []
        async with serving(kept(requests), host="::1") as world:  # type: ignore[arg-type]
            client = await world.client("::1")
            client.send(b"GET /a HTTP/1.1\r\nHost: [::1]:8320\r\n\r\n")
            assert (await client.answer()).body == b"ok"
            assert (requests[0].fields[b"host"], requests[0].fields[b"x-forwarded-for"]) == (
                b"[::1]:8320",
                b"::1",
            )

    uvloop.run(play())


def test_an_upstream_on_a_local_socket(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(answering(OK), unix=str(tmp_path / "model.sock")) as world:
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())


def test_a_client_that_is_refused_in_the_middle_of_its_body_can_read_why() -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(body=1000)) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000)
            answer = await client.answer()
            assert (answer.status, answer.whole) == (413, True)
            assert world.gate.ended == []

    uvloop.run(play())


def test_an_upstream_that_answers_before_it_has_the_body_is_heard_and_not_used_again() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await reader.read()

    async def play() -> None:
        async with serving(script) as world:
            client = await world.client()
            client.send(b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 10\r\n\r\nhalf")
            answer = await client.answer()
            assert (answer.body, answer.fields[b"connection"]) == (b"ok", b"close")
            await until(lambda: world.open_upstream == 0)

    uvloop.run(play())
