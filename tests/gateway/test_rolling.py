"""Reload after reload under load: every request is answered, and what was taken is in the log or counted."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually
from tests.gateway.test_process import holds


def replaced(world: World, before: set[int]) -> bool:
    """Whether two workers serve and none of these does."""
    return not before & set(world.workers()) and len(world.workers()) == 2


@pytest.mark.parametrize("reloads", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_no_request_fails_while_workers_are_replaced_again_and_again(tmp_path: Path, reloads: int) -> None:
    with World(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(),)))
        for model in world.models:
            model.delay_s = 0.02  # some answers are open whenever a worker is told to go
        world.start()
        kept, short = world.load(), world.load(clients=4, keep=False)
        generations = {*world.workers()}
        for _ in range(reloads):
            for load in (kept, short):
                load.more(20)
            before = set(world.workers())
            os.kill(world.master, signal.SIGHUP)
            eventually(partial(replaced, world, before))
            generations |= set(world.workers())
        for load in (kept, short):
            load.more(20)
            load.stop()
        assert (kept.failed, short.failed) == ([], [])
        assert len(generations) == 2 * (reloads + 1)
        holds(world, kept.answered + short.answered)
