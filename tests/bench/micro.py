"""Costs of the small steps on the way of a request, an event and a flag change: reported, never asserted.

Run it with ``./run bench micro``; the last line is the same as JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import redis

from router.assignment import CompiledFlag
from router.bucketing import prepared
from router.decision_id import Signer, unit_digester
from router.event_rows import EXPOSURE, OUTCOME, RequestRows, pack_where
from router.events import Entry, decode, encode
from router.explain import StatedFacts
from router.flag import Arm, Flag, Lane, RunningExperiment, UnitSource
from router.local.redis_server import RedisServer, find_redis
from router.rules import Condition, Rule
from router.store.connect import connect
from router.store.events import EventLog
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from router.store.ledger import Batch, Ledger

ROUNDS = 5
ROWS = 1_000
UNITS = [f"person-{i}".encode() for i in range(ROWS)]
NOW = 1_764_000_000_000


def a_flag(revision: int = 1) -> Flag:
    lanes = (Lane("v2", "treatment", 0, 250_000), Lane("v1", "control", 250_000, 750_000))
    running = RunningExperiment("better.1", "better", 1, "web:1", lanes, 1_000_000)
    arms = (Arm("v1", "http://127.0.0.1:9001"), Arm("v2", "http://127.0.0.1:9002"))
    unit = UnitSource("person", (("header", "x-person"),))
    return Flag("web", unit, arms, "v1", revision=revision, experiments=(running,))


def with_rules() -> tuple[CompiledFlag, StatedFacts]:
    """Five rules of two conditions, none of which holds."""
    country, plan = Condition("country", "in", ("DE", "FR")), Condition("plan", "eq", ("gold",))
    rules = tuple(Rule(f"r{i}", (country, plan), "v2") for i in range(5))
    attributes = (("country", "header", "x-country"), ("plan", "query", "plan"))
    flag = msgspec.structs.replace(a_flag(), rules=rules, attributes=attributes)
    return CompiledFlag(flag), StatedFacts({"country": ("DE",), "plan": ("free",)})


def an_entry(rows: int = ROWS) -> Entry:
    entry = Entry("host-1-2-abcdef", 1, 1, 1, NOW, NOW)
    for i in range(rows):
        entry.requests.append(
            i * 0x9E3779B97F4A7C15 % 2**64, i, pack_where(i, i & 1, EXPOSURE | OUTCOME), 12_345
        )
    return entry


def best(step: Callable[[], object], per: int) -> float:
    """Microseconds per item: the best of several rounds, since noise only adds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return min(times) / per * 1e6


def each(function: Callable[[bytes], object]) -> Callable[[], None]:
    def step() -> None:
        for unit in UNITS:
            function(unit)

    return step


def pure() -> Iterator[tuple[str, float]]:
    """Steps without Redis, in microseconds."""
    yield "bucket of a unit", best(each(prepared("web:1#arm")), ROWS)
    yield "assignment of a unit", best(each(CompiledFlag(a_flag()).assign), ROWS)
    ruled, asked = with_rules()
    yield "assignment of a unit, five rules", best(each(lambda unit: ruled.assign(unit, asked)), ROWS)
    yield "digest of a unit", best(each(unit_digester(b"k" * 32)), ROWS)
    signer = Signer({1: b"k" * 32})
    yield (
        "decision id, signed",
        best(each(lambda u: signer.sign(b"better.1", 1, 1, 1, True, 7, NOW, 9)), ROWS),
    )
    text = signer.sign(b"better.1", 1, 1, 1, True, 7, NOW, 9).decode()
    yield "decision id, read", best(each(lambda u: signer.read(text)), ROWS)
    rows = RequestRows()
    yield "event row, recorded", best(each(lambda u: rows.append(1, 2, 3, 4)), ROWS)
    entry = an_entry()
    fields = {name.encode(): octets for name, octets in encode(entry).items()}
    yield "event row, encoded", best(lambda: encode(entry), ROWS)
    yield "event row, decoded", best(lambda: decode(fields), ROWS)
    stored = a_flag().encode()
    yield "flag, parsed and compiled", best(lambda: CompiledFlag(Flag.parse(stored)), 1)


def stored(client: redis.Redis, keys: Keys) -> Iterator[tuple[str, float]]:
    """Steps with Redis, in microseconds."""
    log, entry = EventLog(client, keys), an_entry()

    def append() -> None:
        for _ in range(20):
            log.append("r.1", entry)

    yield "event row, appended in entries of 1,000", best(append, 20 * ROWS)
    ledger = Ledger(client, keys, "r.1")
    yield (
        "event row, read and decoded",
        best(lambda: [decode(f) for _, f in ledger.read(b"0-0", 20)], 20 * ROWS),
    )
    ledger.stamp(1)
    units = {i * 0x9E3779B97F4A7C15 % 2**64: b"r" * 40 for i in range(2_000)}
    batch = Batch(units, dict.fromkeys(units, NOW), {f"1|{i}|m|r|n": i for i in range(60)})
    cursors = iter(range(1, 100))

    def commit() -> None:
        at = next(cursors)
        ledger.commit(1, b"%d-0" % (at - 1) if at > 1 else b"0-0", b"%d-0" % at, b"state" * 40, batch)

    yield "commit of 2,000 units", best(commit, 1)
    yield "records of 2,000 units", best(lambda: ledger.units(list(units)), 1)
    yield "load of 60 moments", best(ledger.load, 1)
    store, revisions = FlagStore(client, keys), iter(range(1, 10_000))

    def change() -> None:
        for _ in range(50):
            store.commit(Change({"n": 1}, a_flag(next(revisions))))

    yield "flag change", best(change, 50)
    yield "all flags and runs read", best(store.live, 1)


@contextmanager
def own_redis() -> Iterator[redis.Redis]:
    """A server for the bench alone."""
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        server = RedisServer(find_redis({"PATH": os.environ.get("PATH", "")}).binary, Path(folder))
        server.start()
        try:
            with connect(server.url) as client:
                yield client
        finally:
            server.stop()


def main() -> None:
    """Print the table, then one line of JSON."""
    with own_redis() as client:
        results = dict([*pure(), *stored(client, Keys("bench:"))])
    for name, cost in results.items():
        print(f"{name:<42}{cost:>12,.2f} µs")
    print(json.dumps({name: round(cost, 3) for name, cost in results.items()}))


if __name__ == "__main__":
    main()
