"""The rows of the table: what is measured, in which unit, what must hold and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.bench.hop import memory
from tests.bench.hop.bodies import large
from tests.bench.hop.latency import latency
from tests.bench.hop.loads import Load, new_connections, requests
from tests.bench.hop.rounds import Figure, beside
from tests.bench.hop.shadows import shadow
from tests.bench.hop.snapshots import routes
from tests.bench.hop.stage import Stage
from tests.bench.hop.steps import small_steps
from tests.bench.hop.streams import Streams

STREAMS = 256
FLASK_ROUNDS = 3  # the difference is not one that noise could make


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        what: is measured.
        unit: of the value; ``×`` for a multiple.
        bar: the most that is good enough; a word where it is no number, None where the value is only reported.
        aim: likewise, what is aimed at.
    """

    what: str
    unit: str = "×"
    bar: float | str | None = None
    aim: float | str | None = None


@dataclass(frozen=True)
class Row:
    """One measurement and the lines it gives; ``asked`` ones are left out unless they are named."""

    name: str
    measure: Callable[[Stage], list[Figure]]
    lines: tuple[Line, ...]
    asked: bool = False


def against(other: str, load: Callable[[], Load], *rounds: int) -> Callable[[Stage], list[Figure]]:
    """The gateway's processor time beside another's."""
    return lambda stage: [beside(stage, other, load, *rounds)]


def events(stage: Stage) -> list[Figure]:
    """Each stream sends its next event when the one before has arrived."""
    loads: list[Streams] = []

    def load() -> Streams:
        loads.append(Streams(stage.own, STREAMS))
        return loads[-1]

    figure = beside(stage, "nginx", load)
    held, sent = sum(one.held for one in loads), sum(one.answered for one in loads)
    return [replace(figure, note=f"{figure.note}; {held} of {sent:,} events held back")]


def large_both(stage: Stage) -> list[Figure]:
    """Processor time beside nginx, then memory."""
    return [beside(stage, "nginx", lambda: large(16)), *memory.large_growth(stage)]


ROWS = (
    Row(
        "c16",
        against("nginx", lambda: requests(16)),
        (Line("CPU per request, 1 KB in, 200 B out, 16 connections, beside nginx", bar=1.5, aim=1.3),),
    ),
    Row(
        "c64",
        against("nginx", lambda: requests(64)),
        (Line("the same, 64 connections", bar=1.5, aim=1.3),),
    ),
    Row(
        "plain",
        lambda stage: [beside(stage, "nginx", lambda: requests(16), ours="plain")],
        (Line("the same, 16 connections, in plain Python, beside nginx"),),
    ),
    Row(
        "envoy",
        against("envoy", lambda: requests(16)),
        (Line("the same, 16 connections, beside Envoy", bar=0.75, aim=0.65),),
    ),
    Row(
        "haproxy",
        against("haproxy", lambda: requests(16)),
        (Line("the same, beside HAProxy", bar=1.6, aim=1.3),),
    ),
    Row(
        "flask",
        against("flask", lambda: requests(16), FLASK_ROUNDS),
        (Line("the same, beside a Flask proxy under gunicorn", bar=0.05),),
    ),
    Row(
        "connections",
        against("nginx", lambda: new_connections(16)),
        (Line("CPU per request on a new connection each, 16 at a time, beside nginx", bar=1.35),),
    ),
    Row(
        "latency",
        latency,
        (
            Line("added latency at half load, p50, beside nginx", bar=1.5),
            Line("the same, p99 (on two cores it is the load generator's)"),
        ),
    ),
    Row(
        "events",
        events,
        (Line("CPU per event, 256 streams, none held back, beside nginx", bar=1.2, aim=1.0),),
    ),
    Row(
        "large",
        large_both,
        (
            Line("CPU per 1 MB both ways, 16 connections, beside nginx with 64 KB buffers", bar=1.0),
            Line("memory's growth meanwhile, at its peak", "MB", 4.0),
            Line("memory's growth while 16 readers take 10 KB/s of 64 MB", "MB", 4.0),
        ),
    ),
    Row(
        "idle",
        memory.idle,
        (Line("memory per idle connection, 5,000 open", "KB", 5.0, 3.0),),
    ),
    Row(
        "steps",
        small_steps,
        (
            Line("unit from a JSON body of 1 KB, a chat", "µs", 1.0),
            Line("unit from a JSON body of 20 KB, a chat", "µs", 10.0),
            Line("unit from a JSON body of 20 KB, a tensor", "µs", 10.0),
            Line("decision id", "µs", 1.0),
        ),
    ),
    Row(
        "routes",
        routes,
        (
            Line("CPU per request with 100 routes, beside 1", bar="flat"),
            Line("CPU per request with 10,000 routes, beside 1", bar="flat"),
        ),
    ),
    Row(
        "shadow",
        shadow,
        (
            Line("shadow of all: CPU beyond that of as many ordinary requests", "%", 10.0, 0.0),
            Line("the primary's p50 with it, beside without", bar="its range holds 1"),
        ),
    ),
    Row(
        "soak",
        memory.soak,
        (Line("memory's growth from a tenth of 10 million requests to all of them", "MB", "flat"),),
        asked=True,
    ),
)
