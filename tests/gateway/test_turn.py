"""Small writes wait for the end of their turn: none is lost, none overtakes another, a lone request waits for nobody."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from router.gateway.turn import MOST, SMALL, Turn
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Client, answering

PEERS = 3


class Peers:
    """Connections to write to, and what came out of their other ends."""

    def __init__(self, pairs: Sequence[tuple[asyncio.WriteTransport, socket.socket]]) -> None:
        self.transports = [transport for transport, _ in pairs]
        self.ends = [end for _, end in pairs]

    def arrived(self, number: int) -> bytes:
        came = b""
        while True:
            try:
                came += self.ends[number].recv(1 << 20)
            except BlockingIOError:
                return came


async def peers() -> Peers:
    pairs = []
    for _ in range(PEERS):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        pairs.append((transport, theirs))
    return Peers(pairs)


def played(story: Callable[[Turn, Peers], Awaitable[None]]) -> None:
    async def play() -> None:
        made = await peers()
        await story(Turn(asyncio.get_running_loop()), made)
        for transport, end in zip(made.transports, made.ends, strict=True):
            transport.abort()
            end.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


def test_a_lone_request_is_written_at_once() -> None:
    async def story(turn: Turn, made: Peers) -> None:
        turn.open_requests = 1
        turn.write(made.transports[0], b"alone")
        assert made.arrived(0) == b"alone"

    played(story)


def test_of_several_requests_small_writes_wait_until_all_that_came_is_read() -> None:
    async def story(turn: Turn, made: Peers) -> None:
        turn.open_requests = 2
        turn.write(made.transports[0], b"first")
        turn.write(made.transports[1], b"second")
        assert made.arrived(0) == made.arrived(1) == b""
        await asyncio.sleep(0)
        assert (made.arrived(0), made.arrived(1)) == (b"first", b"second")

    played(story)


def test_no_more_wait_than_may() -> None:
    async def story(turn: Turn, made: Peers) -> None:
        turn.open_requests = 2
        for _ in range(MOST):
            turn.write(made.transports[0], b"x")
        assert made.arrived(0) == b"x" * MOST

    played(story)


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, PEERS - 1), st.sampled_from([1, 7, SMALL, SMALL + 1])),
    st.tuples(st.sampled_from(["settle", "turn", "one", "many"]), st.just(0), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=60, deadline=None)
def test_each_connection_gets_all_its_octets_in_order(steps: list[tuple[str, int, int]]) -> None:
    sent: dict[int, bytes] = defaultdict(bytes)
    came: dict[int, bytes] = defaultdict(bytes)

    async def story(turn: Turn, made: Peers) -> None:
        for number, (step, peer, length) in enumerate(steps):
            if step == "write":
                data = bytes((number % 251,)) * length
                sent[peer] += data
                turn.write(made.transports[peer], data)
            elif step == "settle":
                turn.settle()
            elif step == "turn":
                await asyncio.sleep(0)
            else:
                turn.open_requests = 1 if step == "one" else 2
            for end in range(PEERS):  # a full socket would keep octets back for good
                came[end] += made.arrived(end)
        await asyncio.sleep(0)
        turn.settle()
        for end in range(PEERS):
            came[end] += made.arrived(end)

    played(story)
    assert dict(came) == {end: sent[end] for end in came}


def test_answers_that_close_their_connection_leave_whole() -> None:
    """What waits for the end of the turn is written before the connection is closed."""

    async def story() -> None:
        body = b'{"text":"' + b"y" * 500 + b'"}'
        async with gated({"v1": answering(answer(body)), "v2": answering(answer(body))}) as world:
            clients = [Client(*await asyncio.open_connection("127.0.0.1", world.port)) for _ in range(20)]
            for client in clients:
                client.send(post(fields=b"Connection: close\r\n"))
            for client in clients:
                message = await client.answer()
                assert message.body == body
                assert await client.reader.read() == b""
                client.writer.close()

    asyncio.run(story())
