"""What a proxied request costs the gateway, beside nginx in the same round: reported as a ratio, never asserted.

``./run bench proxy``. 1 KB in, 200 octets out, kept alive on both sides, everything on: a running experiment with every
unit enrolled, events written to a real Redis. One worker each, pinned to the first core; model server, load and Redis
on the last one. Processor time is the whole process tree's, in nanoseconds of the scheduler. An answer that is not the
right one voids its row, and a row of a core that was not busy is marked: idle wake-ups make requests look dear.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from router.flag import Arm  # noqa: E402 - the tests' folder is no installed package
from router.local.processes import ProcessGroup, free_port  # noqa: E402
from tests.gateway.flags import experiment  # noqa: E402
from tests.gateway.running import World, eventually  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = 3.0
WARM_UP_S = 0.5
CONNECTIONS = (16, 64)
BUSY = 0.9
PEOPLE = 10_000
BODY = b"x" * 1024
ANSWER = b"y" * 200
CORES = sorted(os.sched_getaffinity(0))

MODEL = """worker_processes 1; daemon off; pid {folder}/model.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/mb; keepalive_requests 100000000; keepalive_timeout 600s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{answer}"; }} }} }}
"""
PROXY = """worker_processes 1; daemon off; pid {folder}/proxy.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/pb; proxy_temp_path {folder}/pt;
  keepalive_requests 100000000; keepalive_timeout 600s;
  upstream model {{ server 127.0.0.1:{model}; keepalive 128; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://model; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffers 8 64k; proxy_buffer_size 64k; }} }} }}
"""


@dataclass
class Target:
    """What is measured: a name, a port, and the processes that serve it."""

    name: str
    port: int
    master: int

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return [self.master, *map(int, children)]

    def pin(self, core: int) -> None:
        for pid in self.processes():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {core})

    def cpu_ns(self) -> int:
        """Processor time of the process tree so far."""
        return sum(
            int((task / "schedstat").read_text().split()[0])
            for pid in self.processes()
            for task in Path(f"/proc/{pid}/task").iterdir()
        )


class Asker(asyncio.Protocol):
    """A connection that asks one request after the other, each for another person."""

    def __init__(self, number: int, load: Load) -> None:
        self.load = load
        self.person = number * 617
        self.answer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.person += 1
        head = b"POST /v2/infer HTTP/1.1\r\nHost: model\r\nX-Person: p%d\r\n" % (self.person % PEOPLE)
        self.transport.write(head + b"Content-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + BODY)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answer.endswith(ANSWER):
            return
        if not self.answer.startswith(b"HTTP/1.1 200 "):
            self.load.wrong += 1
        self.answer = b""
        self.load.answered += 1
        if self.load.on:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.load.on:
            self.load.wrong += 1


class Load:
    """A closed loop of some connections for a while."""

    def __init__(self) -> None:
        self.answered = 0
        self.wrong = 0
        self.on = True

    async def run(self, target: Target, connections: int) -> dict[str, float]:
        loop = asyncio.get_running_loop()
        for number in range(connections):
            await loop.create_connection(partial(Asker, number, self), "127.0.0.1", target.port)
        await asyncio.sleep(WARM_UP_S)
        before, asked, begun = target.cpu_ns(), self.answered, time.perf_counter()
        await asyncio.sleep(SECONDS)
        spent, answered = target.cpu_ns() - before, self.answered - asked
        lasted = time.perf_counter() - begun
        self.on = False
        await asyncio.sleep(0.1)
        return {
            "us": spent / max(1, answered) / 1e3,
            "busy": spent / lasted / 1e9,
            "rps": answered / lasted,
            "wrong": self.wrong,
        }


def measured(target: Target, connections: int) -> dict[str, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Load().run(target, connections))


def nginx(group: ProcessGroup, folder: Path, name: str, text: str, **values: object) -> Target:
    """A running nginx."""
    port = free_port()
    path = folder / f"{name}.conf"
    path.write_text(text.format(folder=folder, port=port, **values))
    command = [str(shutil.which("nginx") or "/usr/sbin/nginx"), "-p", str(folder), "-c", str(path)]
    child = group.start(name, command, {})
    target = Target(name, port, child.pid)
    eventually(lambda: len(target.processes()) == 2)
    return target


def rounds(folder: Path) -> dict[str, Any]:
    """All rounds, with the order of the two turned each time."""
    group = ProcessGroup(folder / "nginx")
    try:
        model = nginx(group, folder, "model", MODEL, answer=ANSWER.decode())
        ours = [Arm(name, f"http://127.0.0.1:{model.port}") for name in ("v1", "v2")]
        with World(folder, gateway_workers=1, flush_ms=100) as world:
            world.put(world.flag(arms=tuple(ours), experiments=(experiment(slow_ms=300),)))
            world.start()
            targets = [
                nginx(group, folder, "nginx", PROXY, model=model.port),
                Target("gateway", world.port, world.master),
            ]
            for target in targets:
                target.pin(CORES[0])
            model.pin(CORES[-1])
            os.sched_setaffinity(0, {CORES[-1]})
            Target("redis", 0, world.redis.pid).pin(CORES[-1])
            eventually(lambda: world.get("/v2/x")[0] == 200)
            before = world.counted("pointsman_http_total")
            found: dict[str, Any] = {f"c{c}": [] for c in CONNECTIONS}
            for number in range(ROUNDS):
                for connections in CONNECTIONS:
                    order = targets if number % 2 == 0 else targets[::-1]
                    row = {target.name: measured(target, connections) for target in order}
                    found[f"c{connections}"].append(row)
            dials = world.metrics().get('pointsman_http_total{event="dials"}', 0.0)
            found["dials"], found["counted"] = dials, world.counted("pointsman_http_total") - before
            return found
    finally:
        group.stop()


def summary(rows: list[dict[str, dict[str, float]]]) -> dict[str, float | None]:
    """Medians of one number of connections; the ratio is taken inside each round."""
    sound = [row for row in rows if not any(side["wrong"] for side in row.values())]
    full = [row for row in sound if all(side["busy"] >= BUSY for side in row.values())]
    if not sound:
        return {"rounds": 0}
    ratios = sorted(row["gateway"]["us"] / row["nginx"]["us"] for row in sound)
    full_ratios = [row["gateway"]["us"] / row["nginx"]["us"] for row in full]
    return {
        "gateway_us": statistics.median(row["gateway"]["us"] for row in sound),
        "nginx_us": statistics.median(row["nginx"]["us"] for row in sound),
        "gateway_rps": statistics.median(row["gateway"]["rps"] for row in sound),
        "ratio": statistics.median(ratios),
        "lowest": ratios[0],
        "highest": ratios[-1],
        "full": statistics.median(full_ratios) if full_ratios else None,
        "full_rounds": len(full),
        "rounds": len(sound),
    }


def main() -> None:
    """The table, then the same as JSON."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        print("skipped: nginx is not installed (apt-get install nginx-light)")
        return
    if len(CORES) < 2:
        print("skipped: two cores are needed, one for the measured and one for the load")
        return
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        found = rounds(Path(folder))
    results = {name: summary(found[name]) for name in found if name.startswith("c") and name[1:].isdigit()}
    print(f"{'':<6}{'nginx us':>10}{'gateway us':>12}{'ratio':>8}{'range':>16}{'full rounds':>16}{'rps':>9}")
    for name, row in results.items():
        if not row["rounds"]:
            print(f"{name:<6} every round had wrong answers")
            continue
        full = f"{row['full']:.2f}" if row["full"] else "-"
        print(
            f"{name:<6}{row['nginx_us']:>10.1f}{row['gateway_us']:>12.1f}{row['ratio']:>8.2f}"
            f"{row['lowest']:>9.2f}-{row['highest']:.2f}{full:>9} ({row['full_rounds']}/{row['rounds']})"
            f"{row['gateway_rps']:>10.0f}"
        )
    print(f"upstream connections dialled by the gateway in all: {found['dials']:.0f}")
    print(json.dumps({**results, "dials": found["dials"]}))


if __name__ == "__main__":
    main()
