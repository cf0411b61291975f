"""A client that leaves, in every protocol: its model server hears of it, the arm is not blamed, the next one is served."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from router.event_rows import ERROR, EXPOSURE, FALLBACK, OUTCOME
from router.protocols import ROWS
from router.serving import PoolLimits
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Client, read_request, until
from tests.gateway.test_bad_upstreams import reset_connection
from tests.gateway.test_pool import shares

EVENT = b'data: {"model":"m","choices":[{"delta":{"content":"x"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGUN = {
    "nothing yet": b"",
    "a stream": STREAM + b"%x\r\n%b\r\n" % (len(EVENT), EVENT),
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"model":',
}
GOOD = answer(b'{"model":"m"}')


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize(("protocol", "reset"), [*((name, True) for name in ROWS), ("openai", False)])
def test_a_client_that_leaves_cancels_its_upstream_and_is_no_error_of_the_arm(
    protocol: str, begun: str, reset: bool
) -> None:
    asked = cancelled = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked, cancelled
        await read_request(reader)
        asked += 1
        if asked > 1:
            writer.write(GOOD)
            return
        writer.write(BEGUN[begun])
        try:
            assert await reader.read() == b""  # the gateway has closed
        except ConnectionError:
            pass
        finally:
            cancelled += 1

    async def play() -> None:
        async with gated({"v1": (GOOD,), "v2": script}, protocol=protocol, fallback=True) as world:
            client = Client(*await asyncio.open_connection("127.0.0.1", world.port))
            client.send(post())
            await until(lambda: asked)
            if BEGUN[begun]:
                await client.reader.readuntil(b"\r\n\r\n")
            if reset:
                reset_connection(client.writer)
            else:
                client.writer.close()
            await until(lambda: cancelled)
            assert world.counted("pointsman_client_aborts", arm="v2") == 1
            assert world.counted("pointsman_upstream_failures") == 0
            assert world.requests == []  # control was not asked instead
            assert (await world.ask(post())).status == 200
            await until(lambda: not world.plane.turn.open_requests)
            facts, _ = await world.written()
            assert facts[0] & (ERROR | FALLBACK | OUTCOME) == 0
            assert facts[1] == EXPOSURE | OUTCOME

    uvloop.run(play())


def test_of_many_who_leave_at_any_moment_none_keeps_a_place_in_the_arm() -> None:
    well = False

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(GOOD if well else BEGUN["half a body"])

    async def leave(port: int, number: int) -> None:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        client.send(post())
        for _ in range(number % 9):
            await asyncio.sleep(0.001)
        reset_connection(client.writer)

    async def play() -> None:
        nonlocal well
        pools = {"v2": PoolLimits(requests=4, queue=1000, queue_ms=60_000)}
        async with gated({"v1": (GOOD,), "v2": script}, pools=pools) as world:
            await asyncio.gather(*(leave(world.port, number) for number in range(300)))
            await until(lambda: not world.plane.turn.open_requests and not world.plane.clients)
            upstream = world.route.arms["v2"].upstream
            await until(lambda: shares(upstream) == [0])
            well = True
            answers = await asyncio.gather(*(world.ask(post()) for _ in range(40)))
            assert {answer.status for answer in answers} == {200}
            assert shares(upstream) == [0]
            assert world.counted("pointsman_upstream_failures") == 0

    uvloop.run(play())
