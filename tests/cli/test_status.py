"""``pointsman status`` in front of real gateways: what it prints of one that lags, is overridden, or has what nobody else has."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.api import create_app
from router.api.plane import EXTENSION
from router.cli.exits import NOT_DECIDED, YES
from router.gateway import override
from router.store.connect import connect
from tests.api.served import served
from tests.cli.conftest import Ask
from tests.gateway.running import World, eventually
from tests.store.test_watch import backup, restore


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "world") as world:
        world.put(world.flag())
        yield world


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """An API on the gateway's Redis."""
    app = create_app(world.settings, connect(world.redis.url))
    with served(app) as address:
        yield address
    app.extensions[EXTENSION].close()


def lines(ask: Ask, address: str) -> list[str]:
    """What is printed of the gateways, without the names of their workers."""
    said = ask("status", "--api", address)
    assert said.code == YES
    printed = [re.sub(r"^gateway \S+: ", "gateway: ", line) for line in said.out.splitlines()]
    at = next(n for n, line in enumerate(printed) if line.startswith("gateway"))
    return printed[at:]


def shows(ask: Ask, address: str, *wanted: str) -> None:
    """Both workers come to say the same."""
    eventually(lambda: lines(ask, address) == list(wanted * 2))


def test_without_a_gateway_it_says_so_by_its_exit_code(ask: Ask, address: str) -> None:
    said = ask("status", "--api", address)
    assert (said.code, said.out.strip()) == (NOT_DECIDED, "no experiments yet")


def test_a_worker_that_lags_shows_the_change_and_the_revision_at_which_it_stands(
    ask: Ask, world: World, address: str
) -> None:
    world.start()
    shows(ask, address, "gateway: change 1 of 1, revisions web 1")
    frozen = world.workers()[0]
    os.kill(frozen, signal.SIGSTOP)
    try:
        world.put(world.flag(revision=2))
        wanted = ["gateway: change 1 of 2, revisions web 1", "gateway: change 2 of 2, revisions web 2"]
        eventually(lambda: sorted(lines(ask, address)) == wanted)
    finally:
        os.kill(frozen, signal.SIGCONT)
    shows(ask, address, "gateway: change 2 of 2, revisions web 2")


def test_an_override_in_force_is_shown_with_its_reason_and_what_of_it_cannot_be_done(
    ask: Ask, world: World, address: str
) -> None:
    world.start()
    file = Path(world.settings.data_dir) / override.NAME
    file.write_text('{"reason": "v2 answers nonsense", "kill": ["web/v2", "wep"], "default": {"web": "v1"}}')
    at = "gateway: change 1 of 1, revisions web 1"
    shows(
        ask,
        address,
        at,
        "  OVERRIDDEN by a file on its host: web/v2 killed, wep killed, web default v1 - v2 answers nonsense",
        "  override: kill: expected a route of this gateway, found 'wep' - did you mean 'web'?",
    )
    file.write_text("{")
    eventually(lambda: "  override: " + str(file) in "\n".join(lines(ask, address)))
    assert any("v2 answers nonsense" in line for line in lines(ask, address))  # what it said before stays
    file.unlink()
    shows(ask, address, at)


def test_what_cannot_be_read_and_what_the_store_has_lost_are_named(
    ask: Ask, world: World, address: str
) -> None:
    world.start()
    kept = backup(world.client, world.keys)
    world.put(world.flag(revision=2))
    shows(ask, address, "gateway: change 2 of 2, revisions web 2")
    restore(world.client, kept)
    eventually(lambda: "  web at 2: the store has lost it" in lines(ask, address))
    change = world.client.hincrby(world.keys.meta, "changes", 1)
    world.client.hset(world.keys.flags, "web", "no flag")
    world.client.zadd(world.keys.changes, {"web": change})
    eventually(
        lambda: any(line.startswith("  web cannot be read: flag: expected") for line in lines(ask, address))
    )
