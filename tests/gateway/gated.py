"""The gateway's HTTP side with the real gate: flags in, raw requests through, scripted model servers behind the arms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from router.event_rows import FACTS_SHIFT
from router.flag import Arm, ArmSet, Flag
from router.gateway.counters import Counts
from router.gateway.plane import Plane
from router.gateway.pool import upstream_of
from router.gateway.ports import Limits
from router.gateway.snapshot import CompiledRoute
from router.serving import PoolLimits, Price
from tests.gateway.flags import Bench, experiment, flag
from tests.gateway.scripted import Client, Message, Script, answering, read_request, ticking

V2 = experiment(treatment=999_999)  # as good as everyone is enrolled in the treatment
PERSON = b"POST /v2/infer HTTP/1.1\r\nHost: m\r\nX-Person: ann\r\nContent-Type: application/json\r\n"


def post(body: bytes = b"{}", fields: bytes = b"") -> bytes:
    """A request of a unit that is enrolled."""
    return PERSON + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answer(body: bytes, kind: bytes = b"application/json", fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        kind,
        fields,
        len(body),
        body,
    )


class Gated:
    """A gateway on one route whose arms are scripted servers."""

    def __init__(self, bench: Bench, plane: Plane, port: int) -> None:
        self.bench = bench
        self.plane = plane
        self.port = port
        self.requests: list[tuple[str, Message]] = []

    @property
    def route(self) -> CompiledRoute:
        snapshot = self.bench.gate.snapshot
        assert snapshot is not None
        return snapshot.routes["web"]

    @property
    def flag(self) -> Flag:
        return self.route.flag

    async def ask(self, data: bytes) -> Message:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        client.send(data)
        try:
            return await client.answer()
        finally:
            client.writer.close()

    def counted(self, name: str, **labels: str) -> int:
        """The sum of a counter over all labels but these."""
        parts = {f"{label}={value}" for label, value in labels.items()}
        totals = self.bench.totals().items()
        return sum(n for key, n in totals if key.split("\t")[0] == name and parts <= set(key.split("\t")[1:]))

    async def written(self) -> tuple[list[int], dict[str, int]]:
        """Facts of the request rows, and reported outcomes by metric, as they are sent to Redis."""
        await self.bench.recorder.flush(self.bench.now)
        facts, outcomes = [], {}
        for entry in self.bench.log.folded():
            facts += [where >> FACTS_SHIFT for where in entry.requests.where]
            for index, value in zip(entry.outcomes.metric, entry.outcomes.value, strict=True):
                outcomes[entry.names[index]] = value
        return facts, outcomes


def telling(world: dict[str, Gated], arm: str, *answers: bytes) -> Script:
    """A server that writes down what it is asked and answers with these octets in turn."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            world["it"].requests.append((arm, await read_request(reader)))
            writer.write(left[0] if len(left) == 1 else left.pop(0))

    return script


@contextlib.asynccontextmanager
async def gated(
    servers: Mapping[str, Script | tuple[bytes, ...] | str],
    *,
    sets: Mapping[str, ArmSet] | None = None,
    price: Price | None = None,
    pools: Mapping[str, PoolLimits] | None = None,
    warm: int = 0,
    limits: Limits | None = None,
    **fields: Any,
) -> AsyncIterator[Gated]:
    """A route with an arm per server: a script, octets that are answered and noted, or an address of somebody else."""
    loop = asyncio.get_running_loop()
    found: dict[str, Gated] = {}
    opened: list[asyncio.Server] = []
    arms = []
    for name, server in servers.items():
        url = server if isinstance(server, str) else ""
        if not isinstance(server, str):
            script = telling(found, name, *server) if isinstance(server, tuple) else server
            opened.append(await asyncio.start_server(quiet(script), "127.0.0.1", 0))
            url = f"http://127.0.0.1:{opened[-1].sockets[0].getsockname()[1]}"
        pool = (pools or {}).get(name)
        arms.append(Arm(name, url, set=(sets or {}).get(name), price=price, pool=pool, warm=warm))
    counts = Counts()
    bench = Bench(hold_limit=65_536, upstream=lambda url, limits=None: upstream_of(url, counts, limits))
    bench.show(flag(**{"arms": tuple(arms), "experiments": (V2,), **fields}))
    plane = Plane(bench.gate, limits or Limits(), loop)
    plane.counts = counts
    front = await loop.create_server(plane.protocol, "127.0.0.1", 0)
    world = found["it"] = Gated(bench, plane, front.sockets[0].getsockname()[1])
    async with ticking(plane):
        try:
            yield world
        finally:
            for one in (front, *opened):
                one.close()
            for client in list(plane.clients):
                client.abort()
            bench.show()


def quiet(script: Script) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return serve


OK = answering(answer(b'{"ok":1}'))
