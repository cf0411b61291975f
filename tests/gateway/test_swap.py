"""What one changed flag costs a worker: so many calls however many flags it holds, and no search for garbage meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.flag import Arm, Flag
from router.gateway.garbage import SETTLE_EVERY
from router.gateway.held import HeldFlags
from router.store.watch import Stored
from tests.gateway.flags import Bench, flag

CALLS = 160  # of Python and of what it is built on, from a flag that was read until requests are routed by it


def held(tmp_path: Path, bench: Bench) -> HeldFlags:
    return HeldFlags(
        bench.gate, bench.compiler, bench.row, tmp_path, logging.getLogger("swap"), lambda new, old: None
    )


def moved(flags: HeldFlags, one: Flag) -> None:
    flags.moved({one.route: Stored(one, one.encode())}, set(), "store")


def calls(step: Callable[[], object]) -> int:
    """How many calls a step makes."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        step()
    finally:
        sys.setprofile(before)
    return made


def test_a_change_is_few_calls_and_as_many_among_thousands_of_routes(tmp_path: Path) -> None:
    async def counted(routes: int) -> int:
        bench = Bench()
        flags = held(tmp_path, bench)
        for number in range(routes):
            moved(flags, flag(f"r{number}", f"/m/{number}"))
        await asyncio.sleep(0)  # what has come in is settled
        moved(flags, flag("r3", "/m/3", revision=2, default="v2"))
        one = flag("r3", "/m/3", revision=3)
        new = {"r3": Stored(one, one.encode())}
        made = calls(lambda: flags.moved(new, set(), "store"))
        await flags.saved()
        assert bench.gate.snapshot is not None
        assert bench.gate.snapshot.routes["r3"].flag is one
        return made

    few, many = asyncio.run(counted(10)), asyncio.run(counted(1_000))
    assert few == many <= CALLS


class Watched:
    """Who is told which servers are in use."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def watch(self, address: str) -> None:
        self.told.append(address)

    forget = watch


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"default": "v2"}, []),
        (
            {"arms": (Arm("v1", "http://127.0.0.1:9001"), Arm("v2", "http://127.0.0.1:9003"))},
            ["http://127.0.0.1:9003", "http://127.0.0.1:9002"],
        ),
    ],
)
def test_servers_are_counted_anew_only_where_arms_changed(
    other: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    bench = Bench(flag())
    watched = bench.compiler.servers._probes = Watched()
    before = bench.gate.snapshot.routes.values() if bench.gate.snapshot else ()
    new = bench.compiler.compile(flag(revision=2, **other))
    bench.compiler.swapped([new], before)
    assert watched.told == told


def test_nobody_looks_for_garbage_while_a_flag_comes_in(tmp_path: Path) -> None:
    inside = False
    looked: list[bool] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] > 0:
            looked.append(inside)

    async def run() -> None:
        nonlocal inside
        flags = held(tmp_path, Bench())
        for number in range(5 * SETTLE_EVERY):
            inside = True
            moved(flags, flag(f"r{number}", f"/m/{number}"))
            inside = False
            await asyncio.sleep(0)
        await flags.saved()

    gc.collect()
    gc.callbacks.append(look)
    try:
        asyncio.run(run())
    finally:
        gc.callbacks.remove(look)
    assert len(looked) >= 5
    assert not any(looked)
