"""What the gateway costs beside HTTP, and how soon it acts on a changed flag: reported, never asserted.

``./run bench events``. Written events: recording, packing and sending to a real Redis, per event, beside what Redis
itself spends. Flag change: from the commit to the first answer of the new arm, on every connection of a real gateway
with two workers under light load, so that the slowest worker counts. Memory: a gigabyte to a reader that stalls first.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from router.decision_id import Signer, unit_digester  # noqa: E402 - the tests' folder is no installed package
from router.flag import Arm  # noqa: E402
from router.forcing import Forcing  # noqa: E402
from router.gateway.counters import Counters  # noqa: E402
from router.gateway.recorder import Recorder  # noqa: E402
from router.gateway.routing import Gate  # noqa: E402
from router.gateway.snapshot import Compiler, Snapshot, runs_on  # noqa: E402
from router.local.redis_server import RedisServer, find_redis  # noqa: E402
from router.store.connect import connect, connect_async  # noqa: E402
from router.store.events import AsyncEventLog  # noqa: E402
from router.store.keys import Keys  # noqa: E402
from tests.gateway.flags import FakeUpstream, experiment, flag, head  # noqa: E402
from tests.gateway.running import World, read_message  # noqa: E402

EVENTS = 200_000
BLOCK = 1000
ROUNDS = 5
CHANGES = 200
CONNECTIONS = 8
UNITS = 10_000
LARGE = 1 << 30
PIECE = b"x" * 65_536


def clock() -> int:
    return time.time_ns() // 1_000_000


def cpu_of(client: Any) -> float:
    """Seconds of processor time that Redis has spent."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def parts(redis_url: str | None = None) -> tuple[Gate, Recorder, Any]:
    """A gate on an experiment with everyone enrolled, recording to Redis or nowhere."""
    counters = Counters(None)
    row = counters.row(counters.reserve())
    row.begin(os.getpid(), "bench")
    client = connect_async(redis_url) if redis_url else None
    log: Any = AsyncEventLog(client, Keys("bench:")) if client else None
    recorder = Recorder(log, row, "bench", flush_rows=BLOCK, buffer_rows=1 << 40)
    keys = {1: b"k" * 32}
    digest = unit_digester(b"u" * 32)
    gate = Gate(recorder, Signer(keys), digest, row, forcing=Forcing(keys), hold_limit=65_536, clock=clock)
    compiler = Compiler(FakeUpstream, row, 30_000, 600_000)
    one = flag(experiments=(experiment(slow_ms=300),))
    gate.snapshot = Snapshot({"web": compiler.compile(one)}, "bench")
    recorder.running(runs_on(gate.snapshot.experiments()))
    return gate, recorder, client


async def write_events(url: str) -> float:
    """Processor microseconds of this process per event: recorded, packed, sent, acknowledged."""
    _, recorder, client = parts(url)
    buffer = recorder.buffer("e.1", 1)
    begun = time.process_time()
    for unit in range(EVENTS):
        place = recorder.exposed(buffer, 1, unit, clock(), unit % 1_000_000, bool(unit & 1))
        if place is not None:
            recorder.ended(buffer, place, 0, 1234, 0, bool(unit & 1))
        if unit % BLOCK == BLOCK - 1:
            await recorder.flush(clock())
    spent = time.process_time() - begun
    await client.aclose()
    return spent / EVENTS * 1e6


def events_cost() -> dict[str, float]:
    """Per event, over some rounds: this process, Redis, octets in Redis."""
    ours, theirs, octets = [], [], []
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        server = RedisServer(find_redis({"PATH": os.environ["PATH"]}).binary, Path(folder))
        server.start()
        client = connect(server.url)
        for _ in range(ROUNDS):
            before = cpu_of(client)
            ours.append(asyncio.run(write_events(server.url)))
            theirs.append((cpu_of(client) - before) / EVENTS * 1e6)
            key = Keys("bench:").run("e.1").events
            octets.append(int(client.memory_usage(key) or 0) / EVENTS)
            client.delete(key)
        client.close()
        server.stop()
    return {
        "write_us": statistics.median(ours),
        "redis_us": statistics.median(theirs),
        "octets": statistics.median(octets),
    }


def gate_cost() -> float:
    """Microseconds of routing, signing and recording one enrolled request; no HTTP, no Redis."""
    gate, _, _ = parts()
    heads = [head(x_person=f"unit-{number}") for number in range(UNITS)]
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for one in heads:
            gate.finished(gate.route(one, None), 200, "ok", 1234)
        rounds.append((time.process_time() - begun) / UNITS * 1e6)
    return statistics.median(rounds)


class Watcher:
    """Connections that ask all the time and note when the answers change."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.wanted = "v1"
        self.seen: dict[int, float] = {}
        self.slowest_s = 0.0

    async def ask(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n"
        while True:
            begun = time.perf_counter()
            writer.write(request)
            answer = await read_message(reader)
            now = time.perf_counter()
            self.slowest_s = max(self.slowest_s, now - begun)
            if answer is not None and json.loads(answer[2])["arm"] == self.wanted:
                self.seen.setdefault(number, now)
            await asyncio.sleep(0.002)

    async def all_changed(self) -> float:
        while len(self.seen) < CONNECTIONS:
            await asyncio.sleep(0.001)
        return max(self.seen.values())


def change_latency() -> dict[str, float]:
    """Milliseconds from the commit of a flag to its routing by every worker."""
    found = []
    with tempfile.TemporaryDirectory(prefix="pm-") as folder, World(Path(folder)) as world:
        world.put(world.flag())
        world.start()
        watcher = Watcher(world.port)
        asking = [
            asyncio.run_coroutine_threadsafe(watcher.ask(n), world.loop.loop) for n in range(CONNECTIONS)
        ]
        world.loop.run(watcher.all_changed())
        for revision in range(2, CHANGES + 2):
            arm = "v2" if revision % 2 == 0 else "v1"
            watcher.wanted, watcher.seen = arm, {}
            begun = time.perf_counter()
            world.put(world.flag(revision=revision, default=arm))
            found.append((world.loop.run(watcher.all_changed()) - begun) * 1e3)
        for task in asking:
            task.cancel()
    found.sort()
    return {
        "change_p50_ms": found[len(found) // 2],
        "change_p99_ms": found[int(len(found) * 0.99) - 1],
        "change_max_ms": found[-1],
        "slowest_request_ms": watcher.slowest_s * 1e3,
    }


async def serve_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model server whose answer is a gigabyte."""
    try:
        while await read_message(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
    except OSError:
        pass
    writer.close()


async def read_large(port: int, stall_s: float) -> None:
    """Ask, wait, and read all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=len(PIECE))
    writer.write(b"GET /v2/x HTTP/1.1\r\nHost: m\r\n\r\n")
    await asyncio.sleep(stall_s)
    await reader.readuntil(b"\r\n\r\n")
    left = LARGE
    while left:
        left -= len(await reader.read(len(PIECE)))
    writer.close()


def peak_kb(pid: int) -> int:
    """The most memory that a process has had, in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])


def large_bodies() -> dict[str, float]:
    """Megabytes by which the worker grows while a gigabyte goes through, to a reader that stalls first."""
    with tempfile.TemporaryDirectory(prefix="pm-") as folder, World(Path(folder), gateway_workers=1) as world:
        server = world.loop.run(asyncio.start_server(serve_large, "127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        world.put(world.flag(arms=(Arm("v1", url), Arm("v2", url))))
        world.start()
        pid = world.workers()[0]
        before = peak_kb(pid)
        asyncio.run(read_large(world.port, 2.0))
        grown = (peak_kb(pid) - before) / 1024
        server.close()
    return {"gigabyte_growth_mb": grown}


def main() -> None:
    """The table, then the same as JSON."""
    results = {"gate_us": gate_cost(), **events_cost(), **change_latency(), **large_bodies()}
    rows = (
        ("gate_us", "route, sign, record one request", "us"),
        ("write_us", "write one event, this process", "us"),
        ("redis_us", "write one event, Redis", "us"),
        ("octets", "one event in Redis", "octets"),
        ("change_p50_ms", f"flag change to all workers, median of {CHANGES}", "ms"),
        ("change_p99_ms", "flag change to all workers, p99", "ms"),
        ("change_max_ms", "flag change to all workers, longest", "ms"),
        ("slowest_request_ms", "slowest request meanwhile", "ms"),
        ("gigabyte_growth_mb", "memory, 1 GB to a reader that stalls", "MB"),
    )
    for name, what, unit in rows:
        print(f"{what:<48} {results[name]:>9.2f} {unit}")
    print(json.dumps({name: round(value, 4) for name, value in results.items()}))


if __name__ == "__main__":
    main()
