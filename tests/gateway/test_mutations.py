"""Requests and answers with a few octets changed at random: whatever comes, what goes on is whole HTTP/1.1, and all goes on."""

from __future__ import annotations

import asyncio

import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.recorder import Recorder
from tests.gateway.scripted import OK, Script, read_request, serving, until
from tests.gateway.test_bad_upstreams import then_well

ANSWERS = (
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the close",
    b"HTTP/1.1 204 No Content\r\nConnection: keep-alive, X-A\r\nX-A: b\r\n\r\n",
)
REQUESTS = (
    b"GET /a?b=c HTTP/1.1\r\nHost: m\r\n\r\nGET /b HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: m\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nTrailer: X-B\r\n\r\n"
    b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nX-B: c\r\n\r\nGET /b HTTP/1.1\r\nHost: m\r\n\r\n",
    b"HEAD http://m/a HTTP/1.1\r\nHost: m\r\nCookie: a=b\r\nUpgrade: h2c\r\nConnection: upgrade, x-a\r\nX-A: b\r\n\r\n",
    b"PUT /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
)
# What readers of HTTP have come to different minds about.
TOKENS = (b"\r", b"\n", b"\r\n", b"\0", b":", b" ", b"\t", b",", b"0", b"\x80", b"chunked", b"Content-Length: 1\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Host: n\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"HTTP/1.1 ")  # fmt: skip
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 200), st.integers(0, 3), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3))
    ),
    min_size=1,
    max_size=3,
)
SETTINGS = settings(max_examples=250, suppress_health_check=list(HealthCheck))
OUTCOMES = {"ok", "bad_answer", "truncated", "timeout", "client_abort"}


def changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """These octets, with some taken out and others put in at some places."""
    for at, out, put in changes:
        at %= len(data) + 1
        data = data[:at] + put + data[at + out :]
    return data


def saying(data: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)

    return script


@SETTINGS
@given(st.sampled_from(ANSWERS), CHANGES)
def test_whatever_a_model_server_says_the_client_hears_http_and_the_next_request_is_served(
    answer: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    async def play() -> None:
        async with serving(then_well(saying(changed(answer, changes)))) as world:
            client = await world.client()
            client.send(b"GET /a HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(5):
                said = await client.reader.read()
            assert said.startswith(b"HTTP/1.1 ")
            assert b"\r\n\r\n" in said
            ended = await world.ended()
            assert [outcome in OUTCOMES for _, outcome in ended] == [True]
            assert (await world.ask()).body == b"ok"
            await until(lambda: not world.plane.turn.open_requests and world.open_upstream <= 1)

    uvloop.run(play())


@SETTINGS
@given(st.sampled_from(REQUESTS), CHANGES)
def test_whatever_a_client_says_a_model_server_gets_whole_requests_and_the_next_client_is_served(
    request: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    recorder = Recorder()

    async def play() -> None:
        async with serving(recorder.serve) as world:
            client = await world.client()
            client.send(changed(request, changes))
            client.writer.write_eof()
            async with asyncio.timeout(5):
                said = await client.reader.read()
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            assert recorder.broken == []
            assert (await world.ask()).body == b"ok /a"
            await until(lambda: not world.plane.turn.open_requests)
            assert len(world.gate.ended) == len(world.gate.tickets)
            assert {outcome for _, outcome in world.gate.ended} <= {"ok", "client_abort"}

    uvloop.run(play())
