"""Events folded per second of one core, through the real Redis: read, attribute, sum, commit.

An event is one request with its built-ins, or one reported outcome. ``./run bench fold``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from router.controller.fold import Fold
from router.event_rows import EXPOSURE, OUTCOME, OutcomeRows, RequestRows, pack_where
from router.events import Entry
from router.local.redis_server import RedisServer, find_redis
from router.store.connect import connect
from router.store.events import EventLog
from router.store.keys import Keys
from router.store.ledger import Ledger
from tests.controller.runs import START, started

ROUNDS = 5
UNITS = 50_000
ENTRIES = 100
ROWS = 1000
REPORTED = 0.3


def fill(log: EventLog, run: str, rng: random.Random) -> int:
    """Write the events of one round; returns how many."""
    total = 0
    for seq in range(1, ENTRIES + 1):
        rows, outcomes = RequestRows(), OutcomeRows()
        at = START + seq * 1000
        for _ in range(ROWS):
            unit = rng.randrange(1, UNITS)
            rows.append(
                unit,
                at - START + rng.randrange(1000),
                pack_where(unit, unit % 4 == 0, EXPOSURE | OUTCOME),
                5000,
            )
            if rng.random() < REPORTED:
                key, value = rng.getrandbits(63), rng.randrange(2) * 1_000_000
                outcomes.append(unit, 0, value, at + rng.randrange(1000), -1, key, -1)
        total += len(rows) + len(outcomes)
        entry = Entry("w", seq, 1, 1, at, base=START, requests=rows, outcomes=outcomes, names=("corrected",))
        log.append(run, entry)
    return total


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def round_of(client: Any, number: int) -> tuple[float, float]:
    """(events per second of wall time, events per second of this process's CPU)."""
    run, _ = started(step=1)
    keys = Keys(f"bench{number}:")
    total = fill(EventLog(client, keys), run["run"], random.Random(number))
    fold = Fold(Ledger(client, keys, run["run"]), run, 1)
    begun, used = time.perf_counter(), cpu()
    while fold.advance(START + 10**6, 10**9, 60_000):
        pass
    return total / (time.perf_counter() - begun), total / (cpu() - used)


def main() -> None:
    """Print the table and, last, one line of JSON."""
    choice = find_redis({"PATH": os.environ.get("PATH", "")})
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(choice.binary, Path(folder))
        server.start()
        client = connect(server.url, 5000)
        rounds = [round_of(client, number) for number in range(ROUNDS)]
        server.stop()
    result = {}
    for i, name in enumerate(("events/s, wall", "events/s per core, controller")):
        values = [row[i] for row in rounds]
        result[name] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        print(
            f"{name:32}  median {statistics.median(values):>10,.0f}  ({min(values):,.0f} .. {max(values):,.0f})"
        )
    print(json.dumps({"bench": "fold", "rounds": ROUNDS, "units": UNITS, "result": result}))


if __name__ == "__main__":
    main()
