"""The demo's place on this machine: a folder of its own, and nothing left behind on a Redis that is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from router.demo.screen import NARROW, plan_lines
from router.demo.stage import Stage
from router.demo.story import SCENARIOS, Scenario
from router.local.redis_server import RedisServer, forget
from router.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings.load({}, None, {"api_bind": "127.0.0.1:0", "gateway_bind": "127.0.0.1:0"})


@pytest.fixture
def story() -> Scenario:
    return SCENARIOS["story"]


@pytest.fixture
def stage(settings: Settings, story: Scenario, empty_folder: Path) -> Iterator[Stage]:
    with Stage(settings, story, empty_folder / "demo") as made:
        yield made


def test_a_second_demo_leaves_the_first_ones_folder_alone(
    stage: Stage, settings: Settings, story: Scenario
) -> None:
    kept = stage.folder / "kept"
    kept.write_text("the first one's")
    with Stage(settings, story, stage.folder) as second:
        assert second.folder != stage.folder
        assert not second.leads
        assert any("another demo" in note for note in second.notes)
    assert kept.read_text() == "the first one's"
    assert stage.leads


def test_of_a_given_redis_only_what_was_written_is_deleted(
    client: redis.Redis, redis_server: RedisServer, prefix: str
) -> None:
    ours = {f"{prefix}a*b:{number}": number for number in range(1200)}
    foreign = [f"{prefix}aXb:1", f"{prefix}c", f"x{prefix}a*b:1"]
    client.mset({**ours, **dict.fromkeys(foreign, 1)})
    forget(redis_server.url, f"{prefix}a*b:")
    assert client.exists(*ours) == 0
    assert client.exists(*foreign) == len(foreign)
    client.delete(*foreign)


def test_the_plan_is_four_lines_that_fit_a_terminal() -> None:
    addresses = {
        "gateway": "http://127.0.0.1:8320",
        "api": "http://127.0.0.1:8321",
        "models": "v1 9001, v2 9002, v3 9003",
    }
    for scenario in SCENARIOS.values():
        tells, blank, *lines = plan_lines(scenario, addresses, ".pointsman/demo")
        assert scenario.tells in tells
        assert (blank, len(lines)) == ("", 4)
        assert max(map(len, lines)) <= 100
    assert len(NARROW) <= 6
