"""Too much at once: what does not fit is refused at once, what fits is served, and afterwards all is as before."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import uvloop

from router.gateway.ports import Limits
from tests.gateway.running import World as Process
from tests.gateway.running import eventually, read_message
from tests.gateway.scripted import GET, OK, POST, answering, read_request, serving, until


def test_requests_beyond_the_limit_are_refused_before_they_are_assigned() -> None:
    let = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await let.wait()
        writer.write(OK)

    async def play() -> None:
        async with serving(script, Limits(requests=3)) as world:
            inside = [await world.client() for _ in range(3)]
            for client in inside:
                client.send(POST)
            await until(lambda: world.open_upstream == 3)
            for request in (GET, POST):
                answer = await world.ask(request)
                assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")
            assert len(world.gate.tickets) == 3
            assert world.plane.counts.shed == 2
            let.set()
            for client in inside:
                assert (await client.answer()).body == b"ok"
            assert (await world.ask()).body == b"ok"
            assert world.plane.turn.open_requests == 0

    uvloop.run(play())


def test_a_connection_beyond_the_limit_hears_so_and_is_closed() -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(connections=2)) as world:
            first, second = await world.client(), await world.client()
            await until(lambda: len(world.plane.clients) == 2)
            third = await world.client()
            assert (await third.answer()).status == 503
            assert await third.closed()
            second.writer.close()
            await until(lambda: len(world.plane.clients) == 1)
            for client in (first, await world.client()):
                client.send(GET)
                assert (await client.answer()).body == b"ok"

    uvloop.run(play())


def test_a_herd_is_served_or_refused_and_never_left_waiting() -> None:
    async def play() -> None:
        async with serving(answering(OK), Limits(requests=20)) as world:

            async def one() -> int:
                client = await world.client()
                client.send(POST)
                return (await client.answer()).status

            statuses = await asyncio.gather(*(one() for _ in range(500)))
            assert set(statuses) <= {200, 503}
            assert statuses.count(200) >= 20
            assert world.upstream_connections <= 20
            assert (await world.ask()).body == b"ok"

    uvloop.run(play())


def test_without_file_descriptors_left_open_requests_finish_and_it_recovers(tmp_path: Path) -> None:
    with Process(tmp_path, gateway_workers=1) as world:
        world.put(world.flag(experiments=()))
        world.command = ["/bin/sh", "-c", "ulimit -n 96; exec " + " ".join(world.command)]
        world.start()
        worker = world.workers()

        async def begun() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(b"GET /v2/open HTTP/1.1\r\nHost: m\r\n\r\n")
            return reader, writer

        async def crowd() -> list[bytes]:
            streams = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(200)]
            first = []
            for reader, writer in streams:
                try:
                    writer.write(b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n")
                    answer = await asyncio.wait_for(read_message(reader), 10)
                    first.append(answer[0] if answer else b"closed")
                except (ConnectionError, asyncio.IncompleteReadError):
                    first.append(b"closed")
            for _, writer in streams:
                writer.close()
            return first

        world.models[0].delay_s = 1.0
        reader, writer = world.loop.run(begun())
        eventually(lambda: world.counted("pointsman_assignments_total") == 1)
        world.models[0].delay_s = 0.0
        lines = world.loop.run(crowd())
        answer = world.loop.run(read_message(reader))
        assert answer is not None
        assert b" 200 " in answer[0]
        world.loop.run(close(writer))
        assert {line[9:12] for line in lines if line != b"closed"} <= {b"200", b"503"}
        assert sum(b" 200 " in line for line in lines) >= 20
        eventually(lambda: world.get("/v2/x")[0] == 200)
        assert world.metrics()['pointsman_http_total{event="shed"}'] > 0
        assert world.workers() == worker


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_large_bodies_all_at_once_need_no_memory(tmp_path: Path) -> None:
    megabytes = 16

    with Process(tmp_path, gateway_workers=1) as world:
        world.put(world.flag())
        world.start()
        worker = world.workers()[0]

        def peak() -> int:
            text = Path(f"/proc/{worker}/status").read_text()
            return int(text.partition("VmHWM:")[2].split()[0])

        async def one() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(b"POST /v2/x HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % (megabytes << 20))
            for _ in range(megabytes):
                writer.write(b"x" * (1 << 20))
                await writer.drain()
            answer = await read_message(reader)
            writer.close()
            return answer[0] if answer else b""

        async def all_() -> list[bytes]:
            return list(await asyncio.gather(*(one() for _ in range(20))))

        before = peak()
        # Beyond this an allocation fails, as in a container.
        room = address_space(worker) + (128 << 20)
        resource.prlimit(worker, resource.RLIMIT_AS, (room, room))
        assert set(world.loop.run(all_())) == {b"HTTP/1.1 200 OK\r\n"}
        assert peak() - before < 20 * 1024 + megabytes * 1024  # kilobytes; the bodies are 320 MB
        assert world.get("/v2/x")[0] == 200
        assert world.workers() == [worker]


def address_space(pid: int) -> int:
    """Octets that a process has mapped."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
