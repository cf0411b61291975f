"""One run's log is broken: the others' events are written all the same, and its own wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from router.errors import StoreUnavailable
from router.event_rows import EXPOSURE, pack_where
from router.events import Entry
from tests.gateway.flags import Bench, experiment, flag


class BrokenFor:
    """A log that refuses one run, or never answers."""

    def __init__(self, run: str, *, silent: bool) -> None:
        self.run, self.silent = run, silent
        self.asked: list[str] = []
        self.taken: list[str] = []

    async def append_each(self, entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        runs = [run for run, _ in entries]
        self.asked += runs
        if self.silent and self.run in runs:
            raise StoreUnavailable("append")
        self.taken += [run for run in runs if run != self.run]
        return [StoreUnavailable("append") if run == self.run else None for run in runs]


@pytest.mark.parametrize(("silent", "taken"), [(False, ["b.1"]), (True, [])], ids=["refused", "silent"])
def test_a_run_whose_log_is_refused_blocks_no_other(silent: bool, taken: list[str]) -> None:
    one = msgspec.structs.replace(experiment(), run="a.1")
    other = msgspec.structs.replace(experiment(), run="b.1")
    made = Bench(flag("a", experiments=(one,)), flag("b", experiments=(other,)))
    log = BrokenFor("a.1", silent=silent)
    made.recorder._log = log
    for run in ("a.1", "b.1"):
        made.recorder.exposed(made.recorder.buffer(run, 1), 1, 7, made.now, pack_where(5, 0, EXPOSURE), False)
    with pytest.raises(StoreUnavailable):
        asyncio.run(made.recorder.flush(made.now))
    assert (log.asked, log.taken) == (["a.1", "b.1"], taken)
    assert made.recorder.pending == 2 - len(taken)
    log.run = ""
    asyncio.run(made.recorder.flush(made.now))
    assert set(log.taken) == {"a.1", "b.1"}
    assert made.recorder.pending == 0
