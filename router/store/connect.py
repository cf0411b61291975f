"""Connections to Redis: every call bounded, no retry inside the client, every failure one kind of error.

redis-py retries ten times by default: a frozen server then holds one call for a minute. Here a call ends within its
timeout, and whoever called decides what that means.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from router.errors import StoreUnavailable

OLDEST = (6, 2)
TIMEOUT_MS = 1000


def connect(url: str, timeout_ms: int = TIMEOUT_MS) -> redis.Redis:
    """A client whose every call ends within the timeout."""
    seconds = timeout_ms / 1000
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
    )


def connect_async(url: str, timeout_ms: int = TIMEOUT_MS) -> redis.asyncio.Redis:
    """The same for an event loop."""
    seconds = timeout_ms / 1000
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=AsyncRetry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
    )


@contextlib.contextmanager
def reachable(what: str) -> Iterator[None]:
    """Turn the client's errors into ours.

    Raises:
        StoreUnavailable: Redis did not answer in time, refused, or is full.
    """
    try:
        yield
    except (redis.RedisError, OSError) as problem:
        raise StoreUnavailable(f"{what}: Redis gave no good answer: {problem}") from problem


def server_version(client: redis.Redis) -> tuple[int, ...]:
    """The server's version.

    Raises:
        StoreUnavailable: it does not answer, or is older than 6.2.
    """
    with reachable("version"):
        info: Any = client.info("server")
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:3])
    if version < OLDEST:
        raise StoreUnavailable(f"Redis {info['redis_version']} is too old: 6.2 or later is needed")
    return version
