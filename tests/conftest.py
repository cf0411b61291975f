"""What all tests share: a real Redis, a corner of it per test, and waiting without sleeping blindly."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from router.local.redis_server import RedisServer, find_redis
from router.store.connect import connect

# How long an example takes on a busy machine says nothing of the law it tests.
settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of our own for the whole session, whatever REDIS_URL says."""
    choice = find_redis({"PATH": os.environ.get("PATH", "")})
    server = RedisServer(choice.binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of that server."""
    made = connect(redis_server.url)
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    """A corner of the server that no other test uses."""
    return f"test-{secrets.token_hex(6)}:"


Eventually = Callable[[Callable[[], object]], None]


def eventually(ready: Callable[[], object], within: float = 30.0) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it is not so within the time.
    """
    deadline = time.monotonic() + within
    while not ready():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.01)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
