"""What a connection may take in octets, counts and time; a client that is slow is no fault of an arm."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
import uvloop

from router.gateway.ports import Limits
from router.settings import Settings
from tests.gateway.scripted import GET, OK, Client, World, answering, read_request, serving, until

# Each limit, the setting it comes from, and how many of the setting's units are one of the limit's.
SETTINGS = {
    "head": ("header_limit", 1),
    "fields": ("header_count_limit", 1),
    "target": ("target_limit", 1),
    "body": ("body_limit", 1),
    "head_s": ("head_timeout_ms", 1000),
    "idle_s": ("idle_timeout_ms", 1000),
    "connect_s": ("connect_timeout_ms", 1000),
    "connections": ("connections_limit", 1),
    "requests": ("requests_limit", 1),
    "hold": ("body_hold_limit", 1),
}


def test_every_limit_is_a_setting_and_its_default_is_written_once() -> None:
    assert list(SETTINGS) == [field.name for field in dataclasses.fields(Limits)]
    assert Limits.of(Settings.load({}, None, {})) == Limits()
    for name, (setting, units) in SETTINGS.items():
        changed = Settings.load({}, None, {setting: 7000})
        wanted: dict[str, Any] = {name: 7000 / units}
        assert Limits.of(changed) == dataclasses.replace(Limits(), **wanted)


async def trickle(client: Client, data: bytes) -> None:
    """An octet now and then, without end."""
    while not client.writer.is_closing():
        for number in range(len(data)):
            client.send(data[number : number + 1])
            await asyncio.sleep(0.01)


async def refused(world: World, begin: bytes, again: bytes = b"") -> int:
    """The status for a client that begins like this and goes on octet by octet; then the next one is served."""
    client = await world.client()
    client.send(begin)
    sending = asyncio.create_task(trickle(client, again)) if again else None
    status = (await client.answer()).status
    if sending is not None:
        sending.cancel()
    client.writer.close()
    await until(lambda: not world.plane.clients and not world.open_upstream)
    assert (await world.ask()).body == b"ok"
    return status


@pytest.mark.parametrize("begin", [b"GET /", b"GET /a HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\nHost: m\r\nX-A: "])
@pytest.mark.parametrize("again", [b"", b"a"])
def test_a_head_must_arrive_in_time_however_busy_its_client_is(begin: bytes, again: bytes) -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(head_s=0.2)) as world:
            assert await refused(world, begin, again) == 408
            assert world.gate.ended == [(200, "ok")]  # the next one's

    uvloop.run(play())


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_a_body_must_arrive_in_the_total_time_and_is_no_fault_of_the_arm(framing: bytes) -> None:
    async def play() -> None:
        async with serving(answering(OK), total_ms=300) as world:
            begin = b"POST /a HTTP/1.1\r\nHost: m\r\n" + framing + b"\r\n\r\n"
            assert await refused(world, begin, b"1\r\nx\r\n") == 408
            assert world.gate.ended == [(408, "client_abort"), (200, "ok")]

    uvloop.run(play())


def test_a_model_server_that_does_not_take_a_body_in_time_is_at_fault() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async def play() -> None:
        async with serving(script, total_ms=300) as world:
            client = await world.client()
            client.send(
                b"POST /a HTTP/1.1\r\nHost: m\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000
            )
            assert (await client.answer()).status == 504
            assert await world.ended() == [(504, "timeout")]

    uvloop.run(play())


@pytest.mark.parametrize("requests", [0, 1, 3])
def test_a_connection_that_says_nothing_more_is_closed_after_the_idle_time(requests: int) -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(idle_s=0.2)) as world:
            client = await world.client()
            for _ in range(requests):
                client.send(GET)
                assert (await client.answer()).body == b"ok"
            assert await client.closed()
            await until(lambda: not world.plane.clients)
            assert len(world.gate.ended) == requests

    uvloop.run(play())


def test_a_request_that_waits_for_its_answer_is_not_idle() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.5)
        writer.write(OK)

    async def play() -> None:
        async with serving(script, Limits(idle_s=0.1, head_s=0.1)) as world:
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())
