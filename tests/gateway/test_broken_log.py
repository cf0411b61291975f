"""One run's log is broken: the others' events are written all the same, and its own wait."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from redis.exceptions import ConnectionError as Silent
from redis.exceptions import ResponseError

from router.errors import StoreUnavailable
from router.event_rows import EXPOSURE, pack_where
from router.events import Entry
from tests.gateway.flags import Bench, experiment, flag


class BrokenFor:
    """A log that refuses one run, or never answers."""

    def __init__(self, run: str, cause: Exception) -> None:
        self.run, self.cause = run, cause
        self.asked: list[str] = []
        self.taken: list[str] = []

    async def append(self, run: str, entry: Entry) -> None:
        self.asked.append(run)
        if run == self.run:
            raise StoreUnavailable("append") from self.cause
        self.taken.append(run)


@pytest.mark.parametrize(
    ("cause", "asked", "taken"),
    [(ResponseError("WRONGTYPE"), ["a.1", "b.1"], ["b.1"]), (Silent("timeout"), ["a.1"], [])],
    ids=["refused", "silent"],
)
def test_a_run_whose_log_is_refused_blocks_no_other(
    cause: Exception, asked: list[str], taken: list[str]
) -> None:
    one = msgspec.structs.replace(experiment(), run="a.1")
    other = msgspec.structs.replace(experiment(), run="b.1")
    made = Bench(flag("a", experiments=(one,)), flag("b", experiments=(other,)))
    log = BrokenFor("a.1", cause)
    made.recorder._log = log
    for run in ("a.1", "b.1"):
        made.recorder.exposed(made.recorder.buffer(run, 1), 1, 7, made.now, pack_where(5, 0, EXPOSURE), False)
    with pytest.raises(StoreUnavailable):
        asyncio.run(made.recorder.flush(made.now))
    assert (log.asked, log.taken) == (asked, taken)
    assert made.recorder.pending == 2 - len(taken)
    log.run = ""
    asyncio.run(made.recorder.flush(made.now))
    assert set(log.taken) == {"a.1", "b.1"}
    assert made.recorder.pending == 0
