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
from tests.bench._propagation import WORKERS, changes, longest
from tests.bench._rivals import everyone
from tests.bench.micro import a_flag

UNITS = [f"person-{i}" for i in range(5_000)]
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


LOAD = """
import gc, sys, time, logging
from pathlib import Path
from router.gateway.held import HeldFlags
from tests.gateway.flags import Bench
bench = Bench()
held = HeldFlags(bench.gate, bench.compiler, bench.row, Path(sys.argv[1]), logging.getLogger("x"), lambda new, old: None)
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
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(folder)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent.parent,
        )  # fmt: skip
        rows.append([float(part) for part in done.stdout.split()])
    took, sizes, (flags, *_) = zip(*rows, strict=True)
    return {"flags": flags, "ms": statistics.median(took), "ms_best": min(took), "ms_worst": max(took),
            "MB": max(sizes), "machine_load": os.getloadavg()[0]}  # fmt: skip


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


def load_line(row: dict[str, float]) -> str:
    """What a start from disk took, in words."""
    return (
        f"load of {LOADED:,} flags from disk: {row['ms']:.0f} ms ({row['ms_best']:.0f} to {row['ms_worst']:.0f}), "
        f"{row['MB']:.1f} MB; load of the machine {row['machine_load']:.1f}"
    )


def change_line(row: dict[str, Any]) -> str:
    """What a change took, in words."""
    figures = (
        f"{row[f'{name}_ms']:.2f} ms {name} ({row[f'{name}_ms_best']:.2f} to {row[f'{name}_ms_worst']:.2f})"
        for name in ("p50", "p99")
    )
    return (
        f"change, {row['routes']:,} routes, {WORKERS} workers on {row['cores']} cores: {', '.join(figures)}; "
        f"of it {row['written_p50_ms']:.2f} ms the write; workers busy {row['workers_busy']:.0%} with "
        f"{row['requests_per_s']:,.0f} requests/s; load of the machine {row['machine_load']:.1f}"
    )


def swap_line(row: dict[str, Any]) -> str:
    """How long the loop stood still, in words."""
    return (
        f"longest callback with {LOADED:,} routes: {row['swap_ms']:.2f} ms of processor time with a swap in it, "
        f"{row['longest_ms']:.2f} ms of any; {row['over_1_ms']} of {row['callbacks']:,} over 1 ms, "
        f"p99.9 {row['p999_ms']:.2f} ms; noise {row['noise_ms']:.2f} ms; load of the machine {row['machine_load']:.1f}"
    )


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
            print(load_line(results["load"]), flush=True)
            for routes in (1_000, LOADED):
                store = FlagStore(client, Keys(f"b{routes}:"))
                stored(store, routes)
                row = changes(store, server.url, f"b{routes}:", folder / f"w{routes}", routes)
                results[f"change, {routes} routes"] = row
                print(change_line(row), flush=True)
            prefix, store = f"b{LOADED}:", FlagStore(client, Keys(f"b{LOADED}:"))
            row = longest(store, server.url, prefix, folder / "swap", many(LOADED), LOADED)
            results["swap"] = row
            print(swap_line(row), flush=True)
            results["ofrep"] = ofrep(server.url, "ofrep:", FlagStore(client, Keys("ofrep:")))
            print(
                f"OFREP, bulk of 100 flags {results['ofrep']['bulk_ms']:>22.2f} ms; nothing changed {results['ofrep']['not_modified_ms']:.2f} ms"
            )
        server.stop()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
