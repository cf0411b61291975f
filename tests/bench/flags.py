"""What flags cost: an evaluation beside other engines, a change until every worker routes by it, a load, OFREP.

``./run bench flags``; the last line is the same as JSON. Everything is reported, nothing asserted.
"""

from __future__ import annotations

import gc
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from router.api import create_app
from router.flag import Arm, Flag, Match, UnitSource
from router.local.redis_server import RedisServer, find_redis
from router.settings import Settings
from router.store.connect import connect
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from tests.bench._rivals import everyone
from tests.bench.micro import a_flag

HERE = Path(__file__).parent
UNITS = [f"person-{i}" for i in range(5_000)]
WORKERS = 4
CHANGES = 100
PACE_S = 0.02
LOADED = 10_000


def measured(ask: Callable[[str], object]) -> dict[str, float]:
    """Microseconds of one question: the middle of a series, the best of its rounds, and the slowest hundredth."""
    for unit in UNITS[:200]:
        ask(unit)
    rounds, singles = [], []
    for _ in range(5):
        begun = time.perf_counter()
        for unit in UNITS:
            ask(unit)
        rounds.append((time.perf_counter() - begun) / len(UNITS))
    for unit in UNITS:
        begun = time.perf_counter_ns()
        ask(unit)
        singles.append(time.perf_counter_ns() - begun)
    return {"us": min(rounds) * 1e6, "p99_us": statistics.quantiles(singles, n=100)[-1] / 1e3}


def evaluations() -> dict[str, Any]:
    """The same two questions to everyone."""
    return {f"{who}, {what}": measured(ask) for who, asks in everyone().items() for what, ask in asks.items()}


def many(count: int, revision: int = 1, default: str = "v1") -> Iterator[Flag]:
    """Routes on a few servers; the first one is watched."""
    unit = UnitSource("person", (("header", "x-person"),))
    for i in range(count):
        arms = (
            Arm("v1", f"http://127.0.0.1:{9000 + i % 5}"),
            Arm("v2", f"http://127.0.0.1:{9100 + i % 5}"),
        )
        yield Flag(f"r{i}", unit, arms, default, revision=revision, match=Match(f"/v2/models/m{i}"))


def stored(store: FlagStore, count: int) -> None:
    for flag in many(count):
        store.commit(Change({}, flag))


def followers(
    url: str, prefix: str, folder: Path, mode: str, count: int, routes: int
) -> list[subprocess.Popen[str]]:
    """Workers that follow the store, each with its own folder, all ready."""
    made = []
    for number in range(count):
        command = [
            sys.executable,
            str(HERE / "_follower.py"),
            url,
            prefix,
            str(folder / str(number)),
            mode,
            str(routes),
        ]
        made.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for one in made:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    return made


def told(one: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = one.communicate("stop\n")
    return dict(json.loads(out.strip().splitlines()[-1]))


def changes(store: FlagStore, url: str, prefix: str, folder: Path, routes: int) -> dict[str, float]:
    """From before the write until the last of the workers routes by it, while all of them route a load."""
    workers = followers(url, prefix, folder, "load", WORKERS, routes)
    flag = store.flag("r0")
    assert flag is not None
    wrote = {}
    for _ in range(CHANGES):
        flag = flag.with_default("v2" if flag.default == "v1" else "v1").with_revision(flag.revision + 1)
        wrote[flag.revision] = time.monotonic_ns()
        store.commit(Change({"n": 1}, flag))
        time.sleep(PACE_S)
    time.sleep(1.0)
    answers = [told(one) for one in workers]
    last = [max(_reached(answer["seen"], n) for answer in answers) - begun for n, begun in wrote.items()]
    cuts = statistics.quantiles(last, n=100)
    return {"routes": routes, "p50_ms": cuts[49] / 1e6, "p99_ms": cuts[98] / 1e6,
            "requests_routed": sum(answer["requests"] for answer in answers)}  # fmt: skip


def _reached(seen: dict[str, int], revision: int) -> int:
    """When a worker first routed by a revision, or by a later one that overtook it."""
    return min(at for n, at in seen.items() if int(n) >= revision)


def longest(store: FlagStore, url: str, prefix: str, folder: Path) -> dict[str, float]:
    """The processor time of the longest callback, while single flags change, then half of all."""
    (worker,) = followers(url, prefix, folder, "callbacks", 1, LOADED)
    for flag in many(LOADED):
        now = store.flag(flag.route)
        assert now is not None
        store.commit(Change({}, flag.with_default("v2").with_revision(now.revision + 1)))
    time.sleep(1.0)
    answer = told(worker)
    return {name: answer[name] for name in ("longest_ms", "callbacks_over_1_ms", "callbacks")}


LOAD = """
import gc, sys, time, logging
from pathlib import Path
from router.gateway.counters import Counters
from router.gateway.snapshot import Compiler, Snapshot
from router.gateway.held import HeldFlags
from tests.gateway.flags import Bench
bench = Bench()
held = HeldFlags(bench.gate, bench.compiler, bench.row, Path(sys.argv[1]), logging.getLogger("x"), lambda s: None)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
gc.collect(); before = resident(); begun = time.perf_counter()
held.load()
took = time.perf_counter() - begun
gc.collect()
print(took * 1e3, (resident() - before) / 1e6, len(held.tokens))
"""


def loading(folder: Path) -> dict[str, float]:
    """A start from the copy on disk."""
    from router.gateway.disk import Journal

    Journal(folder).keep("s", {}, (), lambda: (flag.encode() for flag in many(LOADED)))
    rows = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(folder)],
            capture_output=True, text=True, check=True, cwd=HERE.parent.parent,
        )  # fmt: skip
        rows.append([float(part) for part in done.stdout.split()])
    best = min(rows)
    return {"flags": best[2], "ms": best[0], "MB": best[1]}


def ofrep(url: str, prefix: str, store: FlagStore) -> dict[str, float]:
    """Milliseconds inside the server for a bulk answer of 100 flags, and for the answer that nothing changed."""
    for i in range(100):
        store.commit(Change({}, _asked(i)))
    settings = Settings.load({}, None, {"redis_url": url, "prefix": prefix, "decision_keys": "1:" + "ab" * 32,
                                        "unit_key": "cd" * 32})  # fmt: skip
    app = create_app(settings, connect(url))
    body = json.dumps({"context": {"targetingKey": "ana", "country": "DE", "plan": "free"}}).encode()
    try:
        status, headers = _call(app, body, "")
        assert status == "200 OK", status
        whole = _milliseconds(lambda: _call(app, body, ""))
        tag = headers["ETag"]
        assert _call(app, body, tag)[0] == "304 NOT MODIFIED"
        return {"bulk_ms": whole, "not_modified_ms": _milliseconds(lambda: _call(app, body, tag))}
    finally:
        app.extensions["pointsman"].close()


def _asked(i: int) -> Flag:
    from msgspec.structs import replace

    running = replace(a_flag().experiments[0], run=f"e{i}.1", salt=f"r{i}:1")
    return replace(a_flag(), route=f"r{i}", epoch=1, experiments=(running,))


def _call(app: Any, body: bytes, tag: str) -> tuple[str, dict[str, str]]:
    found: dict[str, Any] = {}
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/ofrep/v1/evaluate/flags", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http", "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr,
    }  # fmt: skip
    if tag:
        environ["HTTP_IF_NONE_MATCH"] = tag

    def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        found.update(status=status, headers=dict(headers))

    b"".join(app(environ, start))
    return found["status"], found["headers"]


def _milliseconds(step: Callable[[], object], times: int = 400) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        step()
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3


def main() -> None:
    """Print the tables and, last, one line of JSON."""
    results: dict[str, Any] = {"evaluation": evaluations()}
    for name, row in results["evaluation"].items():
        print(f"evaluation, {name:<24}{row['us']:>9.2f} µs{row['p99_us']:>9.2f} µs p99", flush=True)
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="pm-") as name:
        folder = Path(name)
        server = RedisServer(find_redis({"PATH": os.environ.get("PATH", "")}).binary, folder / "redis")
        server.start()
        with connect(server.url) as client:
            results["load"] = loading(folder / "load")
            print(
                f"load of {LOADED:,} flags from disk {results['load']['ms']:>16.0f} ms, {results['load']['MB']:.1f} MB"
            )
            for routes in (1_000, LOADED):
                store = FlagStore(client, Keys(f"b{routes}:"))
                stored(store, routes)
                row = changes(store, server.url, f"b{routes}:", folder / f"w{routes}", routes)
                results[f"change, {routes} routes"] = row
                print(
                    f"change, {routes:,} routes, {WORKERS} workers {row['p50_ms']:>12.2f} ms p50{row['p99_ms']:>9.2f} ms p99",
                    flush=True,
                )
            results["swap"] = longest(
                FlagStore(client, Keys(f"b{LOADED}:")), server.url, f"b{LOADED}:", folder / "swap"
            )
            print(f"longest callback with {LOADED:,} routes {results['swap']['longest_ms']:>12.2f} ms of processor time; "
                  f"{results['swap']['callbacks_over_1_ms']} of {results['swap']['callbacks']} over 1 ms", flush=True)  # fmt: skip
            results["ofrep"] = ofrep(server.url, "ofrep:", FlagStore(client, Keys("ofrep:")))
            print(
                f"OFREP, bulk of 100 flags {results['ofrep']['bulk_ms']:>22.2f} ms; nothing changed {results['ofrep']['not_modified_ms']:.2f} ms"
            )
        server.stop()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
