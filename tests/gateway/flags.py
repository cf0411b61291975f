"""Flags, heads and a gate for tests of the gateway's inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from router.bucketing import PPM
from router.decision_id import Signer, unit_digester
from router.errors import StoreUnavailable
from router.events import Entry
from router.flag import Arm, Flag, Lane, Match, RunningExperiment, UnitSource
from router.forcing import Forcing
from router.gateway.counters import Counters, Row
from router.gateway.head import Head, complete
from router.gateway.recorder import Recorder
from router.gateway.routing import Gate
from router.gateway.shape import REQUEST_SHAPES
from router.gateway.snapshot import Compiler, Snapshot, runs_on
from router.source import OnMissing

SIGNER = Signer({1: b"k" * 32})
FORCING = Forcing({1: b"k" * 32})
DIGEST = unit_digester(b"u" * 32)
NOW = 1_800_000_000_000


def experiment(
    coverage: int = PPM, slow_ms: int | None = None, treatment: int = 500_000, **fields: Any
) -> RunningExperiment:
    """An experiment of v2 against v1; at full coverage everyone is enrolled."""
    lanes = (Lane("v2", "treatment", 0, treatment), Lane("v1", "control", treatment, PPM - treatment))
    return RunningExperiment(
        "e.1", "e", 1, "web:1", lanes, coverage=coverage, slow_ms=slow_ms, ttl_ms=3_600_000, **fields
    )


def flag(route: str = "web", path: str = "/v2", **fields: Any) -> Flag:
    """A flag with arms v1 (default) and v2."""
    places = fields.pop("places", (("header", "x-person"),))
    on_missing: OnMissing = fields.pop("on_missing", "control")
    match = Match(path, fields.pop("host", None), fields.pop("headers", ()))
    arms = fields.pop("arms", (Arm("v1", "http://127.0.0.1:9001"), Arm("v2", "http://127.0.0.1:9002")))
    unit = UnitSource("person", places, on_missing, secure=fields.pop("secure", msgspec.UNSET))
    return Flag(route, unit, arms, match=match, **{"default": "v1", "revision": 1, "epoch": 1, **fields})


def head(target: str = "/v2/infer", method: str = "POST", **fields: str) -> Head:
    """A checked request head; underscores in field names stand for dashes."""
    made = Head()
    given = {"host": "models.example", **{name.replace("_", "-"): value for name, value in fields.items()}}
    made.shape = REQUEST_SHAPES[tuple(name.encode() for name in given)]
    made.values = tuple(value.encode() for value in given.values())
    complete(made, target.encode(), method.encode(), "1.1", 16_384, 1 << 30)
    return made


class MemoryLog:
    """A log that keeps entries, and gives no answer while ``down``; ``lossy`` writes first and then gives none."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Entry]] = []
        self.down = False
        self.lossy = False

    async def append_each(self, entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        if self.down:
            raise StoreUnavailable("down")
        self.entries += entries
        if self.lossy:
            raise StoreUnavailable("no answer")
        return [None] * len(entries)

    def folded(self) -> list[Entry]:
        """What a reader makes of it: each (writer, number) once."""
        seen: dict[tuple[str, int], Entry] = {}
        for _, entry in self.entries:
            seen.setdefault((entry.writer, entry.seq), entry)
        return list(seen.values())


class FakeUpstream:
    """An address that is never called."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Bench:
    """A gate over flags, with a hand clock."""

    def __init__(
        self,
        *flags: Flag,
        flush_rows: int = 1000,
        buffer_rows: int = 100_000,
        hold_limit: int = 1000,
        upstream: Callable[..., Any] = FakeUpstream,
    ) -> None:
        self.now = NOW
        self.counters = Counters(None)
        self.row: Row = self.counters.row(self.counters.reserve())
        self.row.begin(1, "writer")
        self.log = MemoryLog()
        self.recorder = Recorder(self.log, self.row, "writer", flush_rows=flush_rows, buffer_rows=buffer_rows)
        self.compiler = Compiler(upstream, self.row, 30_000, 600_000)
        self.gate = Gate(
            self.recorder,
            SIGNER,
            DIGEST,
            self.row,
            forcing=FORCING,
            hold_limit=hold_limit,
            clock=lambda: self.now,
        )
        self.show(*flags)

    def show(self, *flags: Flag) -> None:
        """These are the flags now."""
        before = self.gate.snapshot.routes.values() if self.gate.snapshot else ()
        compiled = {one.route: self.compiler.compile(one) for one in flags}
        self.gate.snapshot = Snapshot(compiled, "store")
        self.compiler.swapped(compiled.values(), before)
        self.recorder.running(runs_on(compiled.values()), [run for run, _, _ in runs_on(before)])

    def totals(self) -> dict[str, int]:
        """All counters, as /metrics would see them."""
        self.row.publish()
        return self.counters.totals()
