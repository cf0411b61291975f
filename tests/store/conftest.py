"""A corner of the shared Redis for each test of the store, and private servers to be mistreated."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from router.local.redis_server import RedisServer, find_redis
from router.store.flags import FlagStore
from router.store.keys import Keys

Servers = Callable[..., RedisServer]


@pytest.fixture
def shared_url(redis_server: RedisServer) -> str:
    """The address of the server that all tests share."""
    return redis_server.url


@pytest.fixture
def keys(prefix: str) -> Keys:
    """Keys below a prefix of this test alone."""
    return Keys(prefix)


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
