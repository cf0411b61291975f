"""A real Redis for the store's tests: one shared by all under random prefixes, and private ones to be mistreated."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from router.local.redis_server import RedisServer, find_redis
from router.store.connect import connect
from router.store.flags import FlagStore
from router.store.keys import Keys

Servers = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    """The address of the Redis that the tests of this folder share."""
    choice = find_redis(os.environ)
    if choice.url:
        yield choice.url
        return
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        server = RedisServer(choice.binary, Path(folder))
        server.start()
        yield server.url
        server.stop()


@pytest.fixture
def keys() -> Keys:
    """Keys below a prefix of this test alone."""
    return Keys(f"pm-test-{secrets.token_hex(6)}:")


@pytest.fixture
def client(shared_url: str, keys: Keys) -> Iterator[redis.Redis]:
    """A client; what the test wrote is deleted afterwards."""
    one = connect(shared_url)
    yield one
    for key in one.scan_iter(keys.prefix + "*"):
        one.delete(key)
    one.close()


@pytest.fixture
def store(client: redis.Redis, keys: Keys) -> FlagStore:
    """The flag store below the test's prefix."""
    return FlagStore(client, keys)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Starts private servers: ``servers("--maxmemory", "8mb")``."""
    binary = find_redis({"PATH": os.environ.get("PATH", "")}).binary
    with ExitStack() as stack:

        def start(*options: str, persistent: bool = False) -> RedisServer:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pm-"))
            server = RedisServer(binary, Path(folder), persistent=persistent, options=options)
            server.start()
            stack.callback(server.kill)
            return server

        yield start
