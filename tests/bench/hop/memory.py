"""Memory: of idle connections, while megabytes pass, with slow readers, and over very many requests."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from typing import Any

from tests.bench.hop.bodies import SLOW_READERS, growth_with_slow_readers, large
from tests.bench.hop.loads import HOST, requests
from tests.bench.hop.proxies import ANSWER, nginx
from tests.bench.hop.rounds import Figure
from tests.bench.hop.stage import Stage, route
from tests.bench.hop.targets import MEASURED, Target

IDLE = 5_000
AT_ONCE = 100
SOAK = int(os.environ.get("REQUESTS", "10_000_000"))
SOAK_CONNECTIONS = 64
FIRST = 0.1  # of a soak: until then caches and pools fill
SETTLE_S = 1.0


async def _open(port: int) -> asyncio.StreamWriter:
    """A connection that has had one answer and is kept."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=4096)
    writer.write(b"GET /v2/x HTTP/1.1\r\nHost: model\r\nX-Person: idle\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(ANSWER), 10)
    return writer


async def _per_connection(target: Target) -> float:
    """KB by which a target grows for each connection that is kept idle."""
    opened = [await _open(target.port) for _ in range(AT_ONCE)]
    await asyncio.sleep(SETTLE_S)
    before = target.memory_kb()
    for _ in range(0, IDLE, AT_ONCE):
        opened += await asyncio.gather(*(_open(target.port) for _ in range(AT_ONCE)))
    await asyncio.sleep(SETTLE_S)
    grown = target.memory_kb() - before
    for writer in opened:
        writer.transport.abort()
    await asyncio.sleep(SETTLE_S)
    return grown / IDLE


def idle(stage: Stage) -> list[Figure]:
    """Processes that have served nothing else: memory that was used before would hide the growth."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ours = stage.run(_per_connection(stage.gateway("idle", [route("web", "/v2", stage.model.port)])))
    theirs = stage.run(_per_connection(nginx(stage.site, "nginx-idle")))
    return [Figure(ours, note=f"nginx {theirs:.1f} KB")]


def large_growth(stage: Stage) -> list[Figure]:
    """The peak while megabytes pass, beyond what the process had after some had passed; then slow readers."""
    target = stage.gateway(
        "large", [route("web", "/v2", stage.model.port), route("own", "/own", stage.own.port)]
    )
    stage.measured(target, requests(16))
    fresh = target.resident_kb()
    first = stage.measured(target, large(16))
    grown = (target.peak_kb() - fresh) / 1024
    again = target.resident_kb()
    second = stage.measured(target, large(16))
    more = (target.peak_kb() - again) / 1024
    slow, served = stage.run(growth_with_slow_readers(target))
    wrong = first.wrong + second.wrong
    both = (
        Figure(None, note=f"{wrong} wrong answers")
        if wrong
        else Figure(grown, note=f"{more:.1f} MB more in the next run")
    )
    alive = served == SLOW_READERS
    return [both, Figure(slow if alive else None, note=f"{served} of {SLOW_READERS} readers served")]


async def _soak(target: Target, wanted: int) -> dict[str, Any]:
    load = requests(SOAK_CONNECTIONS)
    begun = time.monotonic()
    await load.start(target.port)
    while load.answered < wanted * FIRST and not load.wrong:
        await asyncio.sleep(0.05)
    first = target.memory_kb()
    while load.answered < wanted and not load.wrong:
        await asyncio.sleep(0.05)
    found = {"grown": (target.memory_kb() - first) / 1024, "first": first / 1024, "wrong": load.wrong}
    rate = load.answered / (time.monotonic() - begun)
    await load.stop()
    return {**found, "rate": rate}


def soak(stage: Stage) -> list[Figure]:
    """MB by which a gateway grows between a tenth of the requests and all of them."""
    target = stage.gateway("soak", [route("web", "/v2", stage.model.port)])
    target.pin(MEASURED)
    found = stage.run(_soak(target, SOAK))
    if found["wrong"]:
        return [Figure(None, note=f"{found['wrong']} wrong answers")]
    note = f"{SOAK:,} requests at {found['rate']:,.0f}/s; {found['first']:.0f} MB after a tenth of them"
    return [Figure(found["grown"], note=note)]
