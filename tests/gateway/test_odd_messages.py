"""Requests and answers that readers of HTTP have come to different minds about, one after the other through one gateway.

What conflicts is refused and never repaired, what goes on is framed anew, and what stands behind an answer is nobody's.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from router.gateway.head import Head
from router.gateway.plane import Plane
from router.gateway.ports import Limits
from router.gateway.ticket import Ticket
from tests.gateway.recorder import Recorder
from tests.gateway.scripted import WITHIN_S, Client, Message, World, read_request, serving, until
from tests.gateway.stub_gate import StubGate

H = b"Host: m\r\n"
GET = b"GET / HTTP/1.1\r\n" + H
POST = b"POST / HTTP/1.1\r\n" + H
SECOND = b"GET /2 HTTP/1.1\r\n" + H + b"\r\n"
CODED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
CHUNKED = POST + CODED + b"\r\n"
CLOSING = POST + CODED + b"Connection: close\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
INNER = b"GET /inner HTTP/1.1\r\nHost: m\r\n\r\n"
FURTHER = b"GET /further HTTP/1.1\r\nHost: m\r\n\r\n"


def line(first: bytes) -> bytes:
    return first + b"\r\n" + H + b"\r\n"


def with_fields(fields: bytes, body: bytes = b"") -> bytes:
    return (POST if body else GET) + fields + b"\r\n\r\n" + body


# Each with the statuses of its answers; a refusal is the last one and closes.
REFUSED: dict[str, tuple[bytes, str]] = {
    "RTSP": (line(b"GET / RTSP/1.1"), "400"),
    "RTSP, OPTIONS": (line(b"OPTIONS / RTSP/1.0"), "400"),
    "ICE": (line(b"SOURCE / ICE/1.1"), "400"),
    "RTSP behind a good one": (GET + b"\r\n" + line(b"GET /2 RTSP/1.1"), "200 400"),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
    "HTTP/1.10": (line(b"GET / HTTP/1.10"), "400"),
    "lower-case protocol": (line(b"GET / http/1.1"), "400"),
    "HTTP/0.9": (b"GET /\r\n\r\n", "505"),
    "two versions": (line(b"GET / HTTP/1.0 HTTP/1.1"), "400"),
    "tabs for blanks": (line(b"GET\t/\tHTTP/1.1"), "400"),
    "blank behind the version": (line(b"GET / HTTP/1.1 "), "400"),
    "CR before the version": (line(b"GET /\rHTTP/1.1"), "400"),
    "NUL before the method": (line(b"\0GET / HTTP/1.1"), "400"),
    "lower-case method": (line(b"get / HTTP/1.1"), "400"),
    "authority form": (line(b"GET m:80 HTTP/1.1"), "400"),
    "asterisk and GET": (line(b"GET * HTTP/1.1"), "400"),
    "asterisk and more": (line(b"OPTIONS *?a HTTP/1.1"), "400"),
    "query alone": (line(b"GET ?a=b HTTP/1.1"), "400"),
    "another scheme": (line(b"GET ftp://m/a HTTP/1.1"), "400"),
    "no host in the target": (line(b"GET http:///a HTTP/1.1"), "400"),
    "a port without host in the target": (line(b"GET http://:80/ HTTP/1.1"), "400"),
    "user in the target": (line(b"GET http://u@m/ HTTP/1.1"), "400"),
    "backslash behind the host": (line(b"GET http://m\\@n/ HTTP/1.1"), "400"),
    "DEL in the target": (line(b"GET /a\x7fb HTTP/1.1"), "400"),
    "raw octets in the target": (line(b"GET /caf\xc3\xa9 HTTP/1.1"), "400"),
    "dots behind an encoded slash": (line(b"GET /a%2f..%2fb HTTP/1.1"), "400"),
    "dots before a semicolon": (line(b"GET /a/..;/b HTTP/1.1"), "400"),
    "dots between backslashes": (line(b"GET /a\\..\\b HTTP/1.1"), "400"),
    "user in Host": (b"GET / HTTP/1.1\r\nHost: u@m\r\n\r\n", "400"),
    "two names in Host": (b"GET / HTTP/1.1\r\nHost: m, n\r\n\r\n", "400"),
    "the same Host twice": (GET + H + b"\r\n", "400"),
    "a bad Host beside a good target": (b"GET http://m/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
    "Host twice in HTTP/1.0": (b"GET / HTTP/1.0\r\n" + H + H + b"\r\n", "400"),
    "HEAD without Host": (b"HEAD / HTTP/1.1\r\n\r\n", "400"),
    "length with a plus": (with_fields(b"Content-Length: +5", b"hello"), "400"),
    "length with an underscore": (with_fields(b"Content-Length: 0_5", b"hello"), "400"),
    "length as a list": (with_fields(b"Content-Length: 5, 5", b"hello"), "400"),
    "the same length twice": (with_fields(b"Content-Length: 5\r\nContent-Length: 5", b"hello"), "400"),
    "length and coding in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n" + CODED + b"\r\n" + HELLO,
        "400",
    ),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + CODED + b"\r\n" + HELLO, "400"),
    "two codings": (with_fields(b"Transfer-Encoding: gzip, chunked", HELLO), "501"),
    "chunked twice": (with_fields(CODED + b"Transfer-Encoding: chunked", HELLO), "400"),
    "a tab behind chunked": (with_fields(b"Transfer-Encoding: chunked\t", HELLO), "501"),
    "an expectation nobody knows": (with_fields(b"Expect: 200-ok"), "417"),
    "a WebSocket, in a second Connection field": (
        with_fields(b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket"),
        "501",
    ),
    "a size that is none": (CHUNKED + b"zz\r\nhello\r\n", "400"),
    "the same in the last request": (CLOSING + b"zz\r\nhello\r\n", "400"),
    "a blank behind a size, in the last request": (CLOSING + b"5 \r\nhello\r\n0\r\n\r\n", "400"),
    "data longer than its size, in the last request": (CLOSING + b"3\r\nhello\r\n0\r\n\r\n", "400"),
    "NUL in an extension": (CHUNKED + b"5;a\0\r\nhello\r\n0\r\n\r\n", "400"),
    "a size of 64 bits": (CHUNKED + b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "413"),
    "a size of 33 bits": (CHUNKED + b"5\r\nhello\r\n100000005\r\nhello\r\n0\r\n\r\n", "413"),
    "more trailers than fields": (CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n", "431"),
    "a folded trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", "400"),
    "a request among trailers": (CHUNKED + b"5\r\nhello\r\n0\r\n" + INNER, "400"),
    "a head too long behind a body": (
        POST + b"Content-Length: 5\r\n\r\nhello" + GET + (b"X: " + b"y" * 900 + b"\r\n") * 90 + b"\r\n",
        "200 431",
    ),
    "HTTP/2 behind an upgrade": (GET + H2C + b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "200 400"),
    "no Host behind an upgrade": (GET + H2C + b"\r\nGET /2 HTTP/1.1\r\n\r\n" + INNER, "200 400"),
    "two framings behind OPTIONS *": (
        b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n" + POST + b"Content-Length: 5\r\n" + CODED + b"\r\n" + HELLO + INNER,
        "200 400",
    ),
}  # fmt: skip

# Each with what its model server sees, and with the number of its answers when that is another one.
SERVED: dict[str, tuple[bytes, list[str]]] = {
    "an upgrade with a body of known length": (
        POST + H2C + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER,
        [f"POST / {INNER.decode()}"],
    ),
    "an upgrade with a chunked body": (POST + H2C + CODED + b"\r\n" + HELLO + SECOND, ["POST / hello", "GET /2 "]),
    "an upgrade without a body": (GET + H2C + b"\r\n" + SECOND, ["GET / ", "GET /2 "]),
    "no WebSocket, whatever else is named so": (
        with_fields(b"Connection: x-upgrade\r\nUpgrade: websocket"),
        ["GET / "],
    ),
    "blanks behind values": (
        b"POST / HTTP/1.1\r\nHost: m \t\r\nContent-Length: 5\t \r\nExpect: 100-continue \r\n\r\nhello",
        ["POST / hello"],
    ),
    "a blank behind chunked": (with_fields(b"Transfer-Encoding: Chunked  ", HELLO), ["POST / hello"]),
    "a size with many zeros": (CHUNKED + b"0" * 90 + b"5\r\nhello\r\n000\r\n\r\n", ["POST / hello"]),
    "an extension that looks like a size": (
        CHUNKED + b"5;a=" + b"f" * 90 + b"\r\nhello\r\n0\r\n\r\n",
        ["POST / hello"],
    ),
    "a body that looks like a size": (CHUNKED + b"b\r\nffffffffff\n\r\n0\r\n\r\n", ["POST / ffffffffff\n"]),
    "another authority in the target": (line(b"GET http://n/a?b HTTP/1.1"), ["GET /a?b "]),
    "a query behind an authority": (line(b"GET http://n?b HTTP/1.1"), ["GET /?b "]),
    "every character of a token": (with_fields(b"!#$%&'*+-.^_`|~9aZ: %s%n%d"), ["GET / "]),
    "an empty line behind a body": (
        POST + b"Content-Length: 5\r\n\r\nhello\r\n" + SECOND,
        ["POST / hello", "GET /2 "],
    ),
    "a body of HEAD": (b"HEAD / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhello", ["HEAD / hello"]),
    "a request in a body that is awaited": (
        POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER + SECOND,
        [f"POST / {INNER.decode()}", "GET /2 "],
    ),
}  # fmt: skip

# These are the last of their connections, whatever comes behind them.
LAST: dict[str, tuple[bytes, list[str]]] = {
    "close": (GET + b"Connection: close\r\n\r\n" + INNER, ["GET / "]),
    "close, in a second field": (GET + b"Connection: x\r\nConnection: close\r\n\r\n" + INNER, ["GET / "]),
    "close beside keep-alive in HTTP/1.0": (
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        ["GET / "],
    ),
    "close, behind a body": (CLOSING + HELLO + INNER, ["POST / hello"]),
    "close and an upgrade": (GET + b"Connection: close, upgrade\r\nUpgrade: x\r\n\r\n" + INNER, ["GET / "]),
    "close and an upgrade with a body": (
        POST + b"Connection: close, upgrade\r\nUpgrade: x\r\n" + CODED + b"\r\n" + HELLO + INNER,
        ["POST / hello"],
    ),
    "an upgrade in HTTP/1.0": (b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + INNER, ["GET / "]),
    "a length without Host in HTTP/1.0": (b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", ["POST / hello"]),
}  # fmt: skip


@dataclass
class Reaction:
    """What a client and the model server got of a row."""

    answers: list[Message] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    kept: bool = False
    behind: bytes = b""

    @property
    def statuses(self) -> str:
        return " ".join(str(answer.status) for answer in self.answers)


async def react(world: World, recorder: Recorder, raw: bytes, answers: int) -> Reaction:
    """Send a row, read so many answers, then ask for one more."""
    recorder.requests.clear()
    recorder.broken.clear()
    reaction, client = Reaction(), await world.client()
    client.send(raw)
    with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        for _ in range(answers):
            reaction.answers.append(await client.answer(bodiless=raw.startswith(b"HEAD")))
        reaction.kept = await further(client, reaction)
    reaction.seen = [
        f"{request.method} {request.target} {request.body.decode()}"
        for request in recorder.requests
        if request.target != "/further"
    ]
    reaction.broken = list(recorder.broken)
    client.writer.close()
    await until(lambda: not world.plane.turn.open_requests)
    return reaction


async def further(client: Client, reaction: Reaction) -> bool:
    """Whether one more request is served."""
    client.send(FURTHER)
    async with asyncio.timeout(WITHIN_S):
        try:
            reaction.behind = await client.reader.readuntil(b"/further")
        except asyncio.IncompleteReadError as closed:
            reaction.behind = closed.partial
            return False
    return True


@pytest.fixture(scope="module")
def reactions() -> dict[bytes, Reaction]:
    """All rows, one after the other, through one gateway."""
    found: dict[bytes, Reaction] = {}
    recorder = Recorder()
    counts = {raw: len(statuses.split()) for raw, statuses in REFUSED.values()}
    counts |= {raw: len(seen) for raw, seen in (*SERVED.values(), *LAST.values())}

    async def play() -> None:
        async with serving(recorder.serve) as world:
            for raw, answers in counts.items():
                with suppress(TimeoutError):  # a row that hangs is missing
                    found[raw] = await react(world, recorder, raw, answers)

    uvloop.run(play())
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_the_last_of_its_connection_and_reaches_nobody(
    name: str, reactions: dict[bytes, Reaction]
) -> None:
    raw, statuses = REFUSED[name]
    got = reactions[raw]
    assert (got.statuses, got.kept, got.behind, got.broken) == (statuses, False, b"", [])
    assert len(got.seen) == statuses.count("200") - raw.startswith(b"OPTIONS * ")


@pytest.mark.parametrize("name", SERVED)
def test_what_is_served_arrives_as_it_was_meant_and_the_next_one_too(
    name: str, reactions: dict[bytes, Reaction]
) -> None:
    raw, seen = SERVED[name]
    got = reactions[raw]
    assert (got.statuses, got.seen, got.kept, got.broken) == (" ".join(["200"] * len(seen)), seen, True, [])


@pytest.mark.parametrize("name", LAST)
def test_what_says_that_it_is_the_last_is_the_last(name: str, reactions: dict[bytes, Reaction]) -> None:
    raw, seen = LAST[name]
    got = reactions[raw]
    assert (got.statuses, got.seen, got.kept, got.behind, got.broken) == ("200", seen, False, b"", [])


def test_no_number_of_upgrades_in_one_read_is_too_many() -> None:
    """OPTIONS * is answered here: none of them has to wait."""

    async def play() -> None:
        async with serving(Recorder().serve) as world:
            client = await world.client()
            many = 1500
            client.send(
                b"OPTIONS * HTTP/1.1\r\nHost:m\r\nConnection:upgrade\r\nUpgrade:x\r\n\r\n" * many + FURTHER
            )
            async with asyncio.timeout(WITHIN_S):
                got = b""
                while data := b"" if got.endswith(b"ok /further") else await client.reader.read(65_536):
                    got += data
            assert got.count(b"HTTP/1.1 200 OK\r\n") == many + 1

    uvloop.run(play())


def test_a_field_that_servers_take_for_one_of_ours_does_not_go_on() -> None:
    forged = b"X_Forwarded_For: 1.1.1.1\r\nContent_Length: 7\r\nTransfer_Encoding: chunked\r\nX_Mine: 1\r\n"
    seen: list[Message] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def play() -> None:
        async with serving(script) as world:
            await world.ask(GET + forged + b"\r\n")

    uvloop.run(play())
    assert [name for name in seen[0].fields if b"_" in name] == [b"x_mine"]
    assert seen[0].fields[b"x-forwarded-for"] == b"127.0.0.1"


OK = b"HTTP/1.1 200 OK\r\n"
WELL = OK + b"Content-Length: 4\r\n\r\nwell"
EVIL = OK + b"Content-Length: 4\r\n\r\nevil"
LENGTH = b"Content-Length: 2\r\n\r\nok"
CODED_OK = CODED + b"\r\n2\r\nok\r\n0\r\n\r\n"


@dataclass
class Odd:
    """An answer, how the exchange must end, whether its connection is used again, and what was asked."""

    raw: bytes
    outcome: str = "bad_answer"
    kept: bool = False
    method: bytes = b"GET"
    body: bytes = b""
    closes: bool = False


def good(raw: bytes, body: bytes = b"ok", *, kept: bool = True, closes: bool = False) -> Odd:
    return Odd(raw, "ok", kept, b"GET", body, closes)


def bare(raw: bytes, *, kept: bool = False, method: bytes = b"GET") -> Odd:
    return Odd(raw, "ok", kept, method)


def informational(status: int, rest: bytes) -> Odd:
    return Odd(b"HTTP/1.1 %d X\r\n" % status + rest + OK + LENGTH)


ODD: dict[str, Odd] = {
    "RTSP": Odd(b"RTSP/1.0 200 OK\r\n" + LENGTH),
    "ICY": Odd(b"ICY 200 OK\r\n" + LENGTH),
    "HTTP/1.10": Odd(b"HTTP/1.10 200 OK\r\n" + LENGTH),
    "status 1000": Odd(b"HTTP/1.1 1000 OK\r\n" + LENGTH),
    "status abc": Odd(b"HTTP/1.1 abc OK\r\n" + LENGTH),
    "status 600": Odd(b"HTTP/1.1 600 OK\r\n" + LENGTH),
    "no reason": good(b"HTTP/1.1 200\r\n" + LENGTH),
    "103 with a length": informational(103, b"Content-Length: 5\r\n\r\nhello"),
    "104 with a length": informational(104, b"Content-Length: 5\r\n\r\nhello"),
    "104 with chunks": informational(104, CODED + b"\r\n" + HELLO),
    "199 with an answer for a body": informational(199, b"Content-Length: %d\r\n\r\n" % len(EVIL) + EVIL),
    "100 with a coding": informational(100, b"Transfer-Encoding: gzip\r\n\r\n"),
    "101": informational(101, b"\r\n"),
    "101 behind 103": informational(103, b"\r\nHTTP/1.1 101 X\r\n\r\n"),
    "several informational ones": good(
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 199 X\r\n\r\n" + OK + LENGTH
    ),
    "HTTP/1.0 behind 103": good(b"HTTP/1.1 103 E\r\n\r\nHTTP/1.0 200 OK\r\n" + LENGTH, kept=False),
    "204": bare(b"HTTP/1.1 204 N\r\n\r\n", kept=True),
    "204 with a length": bare(b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n"),
    "204 with chunks": bare(b"HTTP/1.1 204 N\r\n" + CODED_OK),
    "204 with the promise of chunks": bare(b"HTTP/1.1 204 N\r\n" + CODED + b"\r\n"),
    "204 with an empty line": bare(b"HTTP/1.1 204 N\r\n\r\n\r\n"),
    "304 with a length": bare(b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", kept=True),
    "304 with an end of chunks": bare(b"HTTP/1.1 304 N\r\n" + CODED + b"\r\n0\r\n\r\n"),
    "HEAD with a length": bare(OK + b"Content-Length: 5\r\n\r\n", kept=True, method=b"HEAD"),
    "HEAD with the greatest length": bare(
        OK + b"Content-Length: 18446744073709551615\r\n\r\n", kept=True, method=b"HEAD"
    ),
    "HEAD with a length beyond": Odd(OK + b"Content-Length: 18446744073709551616\r\n\r\n", method=b"HEAD"),
    "HEAD with a body": bare(OK + LENGTH, method=b"HEAD"),
    "HEAD with an answer behind": bare(OK + b"Content-Length: 5\r\n\r\n" + EVIL, method=b"HEAD"),
    "HEAD with an end of chunks": bare(OK + CODED + b"\r\n0\r\n\r\n", method=b"HEAD"),
    "length with a plus": Odd(OK + b"Content-Length: +2\r\n\r\nok"),
    "length as a list": Odd(OK + b"Content-Length: 2, 2\r\n\r\nok"),
    "the same length twice": Odd(OK + b"Content-Length: 2\r\n" + LENGTH),
    "an empty length": Odd(OK + b"Content-Length:\r\n\r\nok"),
    "blanks around a length": good(OK + b"Content-Length: \t 2 \t\r\n\r\nok"),
    "chunked twice": Odd(OK + CODED + CODED_OK),
    "identity": Odd(OK + b"Transfer-Encoding: identity\r\n\r\nok"),
    "a tab behind chunked": Odd(OK + b"Transfer-Encoding: chunked\t\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "a blank behind chunked": good(OK + b"Transfer-Encoding: chunked \r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "a comma behind chunked": Odd(OK + b"Transfer-Encoding: chunked,\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "a head too long": Odd(OK + b"X: " + b"y" * 70_000 + b"\r\n" + LENGTH),
    "octets behind": good(OK + LENGTH + b"more", kept=False),
    "an answer behind": good(OK + LENGTH + EVIL, kept=False),
    "an answer behind chunks": good(OK + CODED_OK + EVIL, kept=False),
    "HTTP/1.0, kept": good(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH),
    "HTTP/1.0, kept and closed": good(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" + LENGTH, kept=False
    ),
    "until the close": good(OK + b"\r\n" + EVIL, EVIL, kept=False, closes=True),
    "a length cut short": Odd(OK + b"Content-Length: 5\r\n\r\nok", "truncated", body=b"ok", closes=True),
    "chunks cut short": Odd(
        OK + CODED + b"\r\n2\r\nok\r\n0\r\nX: y\r\n", "truncated", body=b"ok", closes=True
    ),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[Message, str, bytes, bool, bytes]]:
    """All answers, one after the other, each with the next request's."""
    found: dict[str, tuple[Message, str, bytes, bool, bytes]] = {}
    connections: list[int] = []
    names = list(ODD)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            number = int((await read_request(reader)).line.split(b"/")[1].split()[0])
            connections.append(id(reader))
            writer.write(WELL if number >= len(names) else ODD[names[number]].raw)
            if number < len(names) and ODD[names[number]].closes:
                return

    async def play() -> None:
        async with serving(script) as world:
            for number, odd in enumerate(ODD.values()):
                client, ended = await world.client(), len(world.gate.ended)
                client.send(b"%b /%d HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n" % (odd.method, number))
                # A row that hangs, or is no HTTP, is missing.
                with suppress(TimeoutError, ValueError, EOFError, ConnectionError):
                    got = await client.answer(bodiless=odd.method == b"HEAD")
                    behind = await client.reader.read()
                    outcome = (await world.ended(ended + 1))[-1][1]
                    well = await world.ask(b"GET /%d HTTP/1.1\r\nHost: m\r\n\r\n" % len(names))
                    kept = connections[-1] == connections[-2]
                    found[names[number]] = (got, outcome, behind, kept, well.body)

    uvloop.run(play())
    return found


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_ends_as_it_must_and_the_next_request_gets_its_own(
    name: str, outcomes: dict[str, tuple[Message, str, bytes, bool, bytes]]
) -> None:
    odd = ODD[name]
    got, outcome, behind, kept, well = outcomes[name]
    assert (outcome, behind, kept, well) == (odd.outcome, b"", odd.kept, b"well")
    assert (got.status == 502) == (outcome == "bad_answer")
    if outcome != "bad_answer":
        assert (got.body, got.whole) == (odd.body, outcome == "ok")


LOOP = asyncio.new_event_loop()
LOOP.close()  # nothing below runs in it


class Seeing(StubGate):
    """Writes down each whole request and answers it itself."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.seen: list[tuple[object, ...]] = []

    def route(self, head: Head, body: bytes | None) -> Any:
        ticket = Ticket()
        if head.has_body and body is None:
            ticket.needs_body = 1000
            return ticket
        self.seen.append(
            (head.method, head.target, head.host, head.version, head.keep_alive, head.values, body)
        )
        ticket.reply = (b"", b"")
        return ticket


class Wire:
    """A transport in memory."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def told(parts: list[bytes]) -> tuple[list[tuple[object, ...]], list[bytes], bool]:
    """The requests in these octets, the statuses of their answers, and whether the connection was closed."""
    gate, wire = Seeing(), Wire()
    client = Plane(gate, Limits(body=1000), LOOP).protocol()
    client.connection_made(wire)
    for part in parts:
        client.data_received(part)
    return gate.seen, re.findall(rb"HTTP/1.1 ([2-5]\d\d)", wire.said), wire.closed


ROWS = [raw for raw, _ in (*REFUSED.values(), *SERVED.values(), *LAST.values()) if len(raw) < 1000]
# The protocol is looked for in all that came with a head: behind another one it may count for that one.
BEHIND = [raw for raw in ROWS if b" RTSP/" not in raw and b" ICE/" not in raw]


@settings(max_examples=150)
@given(
    st.sampled_from(ROWS), st.sampled_from(BEHIND), st.lists(st.integers(0, 600), max_size=8), st.booleans()
)
def test_what_is_found_does_not_depend_on_how_it_was_cut(
    first: bytes, second: bytes, cuts: list[int], octet_by_octet: bool
) -> None:
    raw = first + second
    ends = sorted({*range(1, len(raw))} if octet_by_octet else {cut for cut in cuts if 0 < cut < len(raw)})
    parts = [raw[begin:end] for begin, end in zip([0, *ends], [*ends, len(raw)], strict=True)]
    assert told(parts) == told([raw])
