"""Who claims an arm without being allowed to: ignored, counted, and stripped before any model server sees it."""

from __future__ import annotations

import pytest
import uvloop

from tests.gateway.flags import FORCING, NOW
from tests.gateway.gated import Gated, answer, gated
from tests.gateway.scripted import Message

GOOD = FORCING.word("web", "v1", NOW + 1).encode()
FORGED = GOOD[:-1] + (b"A" if GOOD[-1:] != b"A" else b"B")
LATE = FORCING.word("web", "v1", NOW).encode()
ABROAD = FORCING.word("other", "v1", NOW + 1).encode()
NAMED = (("v1", (answer(b'{"who":1}'),)), ("v2", (answer(b'{"who":2}'),)))

# Fields of a request of a unit whose arm is v2, what the model server sees of its cookies, and how they are counted.
CASES = {
    "nothing": (b"", None, None),
    "a good field": (b"Pointsman-Force: %b\r\n" % GOOD, None, "taken"),
    "a good cookie": (b"Cookie: a=1; pm_force=%b; b=2\r\n" % GOOD, b"a=1; b=2", "taken"),
    "a good cookie alone": (b"Cookie: pm_force=%b\r\n" % GOOD, None, "taken"),
    "a good cookie behind a forged field": (
        b"Pointsman-Force: %b\r\nCookie: pm_force=%b\r\n" % (FORGED, GOOD), None, "taken",
    ),
    "a forged field": (b"Pointsman-Force: %b\r\n" % FORGED, None, "refused"),
    "another spelling": (b"POINTSMAN-force: %b\r\n" % FORGED, None, "refused"),
    "a plain word": (b"Pointsman-Force: v1\r\n", None, "refused"),
    "too late": (b"Pointsman-Force: %b\r\n" % LATE, None, "refused"),
    "of another route": (b"Pointsman-Force: %b\r\n" % ABROAD, None, "refused"),
    "a forged cookie": (b"Cookie: a=1;pm_force=%b\r\n" % FORGED, b"a=1", "refused"),
    "forged twice": (
        b"Pointsman-Force: %b\r\nCookie: pm_force=%b; a=1\r\nCookie: pm_force=x\r\n" % (FORGED, FORGED),
        b"a=1",
        "refused",
    ),
    "a name that only looks alike": (b"Cookie: xpm_force=1; a=1\r\n", b"xpm_force=1; a=1", None),
    "an underscore": (b"Pointsman_Force: %b\r\n" % GOOD, None, None),
    "an arm": (b"Pointsman-Arm: v1\r\nPointsman-Served: v1\r\n", None, None),
}  # fmt: skip


async def asked(world: Gated, fields: bytes, body: bytes = b"{}") -> tuple[Message, Message]:
    """The answer, and the request as its model server saw it."""
    head = b"POST /v2/x HTTP/1.1\r\nHost: m\r\nX-Person: ann\r\n" + fields
    got = await world.ask(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return got, world.requests[-1][1]


@pytest.mark.parametrize("places", [(("header", "x-person"),), (("json", "/who"), ("header", "x-person"))])
@pytest.mark.parametrize("case", CASES)
def test_who_may_not_force_an_arm_is_ignored_counted_once_and_stripped(
    case: str, places: tuple[tuple[str, str], ...]
) -> None:
    fields, cookies, counted = CASES[case]

    async def play() -> None:
        async with gated(dict(NAMED), places=places) as world:
            got, seen = await asked(world, fields)
            assert got.body == (b'{"who":1}' if counted == "taken" else b'{"who":2}')
            results = ("taken", "refused")
            counts = {result: world.counted("pointsman_forced_requests", result=result) for result in results}
            assert counts == {result: int(result == counted) for result in results}
            assert [name for name in seen.fields if name.startswith(b"pointsman")] == []
            assert seen.fields.get(b"cookie") == cookies
            facts, _ = await world.written()
            assert len(facts) == (0 if counted == "taken" else 1)  # who is forced is not analysed

    uvloop.run(play())


def test_a_claim_behind_the_body_is_stripped_too() -> None:
    async def play() -> None:
        async with gated(dict(NAMED)) as world:
            head = b"POST /v2/x HTTP/1.1\r\nHost: m\r\nX-Person: ann\r\nTransfer-Encoding: chunked\r\n\r\n"
            trailer = b"Pointsman-Force: %b\r\nX-Sum: 1\r\n" % GOOD
            got = await world.ask(head + b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n")
            assert got.body == b'{"who":2}'
            ((_, seen),) = world.requests
            assert b"pointsman-force" not in dict(seen.trailers)
            assert dict(seen.trailers)[b"x-sum"] == b"1"
            assert world.counted("pointsman_forced_requests") == 0

    uvloop.run(play())


def test_a_model_server_forces_nobody() -> None:
    async def play() -> None:
        claims = b"Pointsman-Force: %b\r\nPointsman-Arm: v9\r\n" % GOOD
        async with gated({"v1": (b"",), "v2": (answer(b"{}", fields=claims),)}) as world:
            got, _ = await asked(world, b"")
            assert b"pointsman-force" not in got.fields
            assert got.fields[b"pointsman-arm"] == b"v2"

    uvloop.run(play())
