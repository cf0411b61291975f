"""Connections: every call is bounded, every failure is one kind of error."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from router.errors import StoreUnavailable
from router.events import Entry
from router.flag import Arm, Flag, UnitSource
from router.local.redis_server import RedisServer
from router.store.connect import connect, connect_async, reachable, server_version
from router.store.events import AsyncEventLog, EventLog
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from router.store.lease import Lease
from router.store.ledger import Batch, Ledger

BOUND_S = 1.5
FLAG = Flag("web", UnitSource("person", ()), (Arm("v1", "http://a"),), "v1", revision=1)


@pytest.fixture
def frozen(servers: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    """A server that takes connections and answers nothing."""
    server = servers()
    with connect(server.url) as warm:
        FlagStore(warm, Keys("warm:")).commit(Change({}, FLAG))
    os.kill(server.pid, signal.SIGSTOP)
    yield server
    os.kill(server.pid, signal.SIGCONT)


CALLS: dict[str, Callable[[redis.Redis], object]] = {
    "live": lambda client: FlagStore(client, Keys("t:")).live(),
    "flag": lambda client: FlagStore(client, Keys("t:")).flag("web"),
    "commit": lambda client: FlagStore(client, Keys("t:")).commit(Change({}, FLAG)),
    "audit": lambda client: FlagStore(client, Keys("t:")).audit(),
    "heartbeat": lambda client: FlagStore(client, Keys("t:")).heartbeat("w", {"time": 1}),
    "heartbeats": lambda client: FlagStore(client, Keys("t:")).heartbeats(1),
    "lease": lambda client: Lease(client, Keys("t:"), "o", 1, lambda: 1).acquire(),
    "load": lambda client: Ledger(client, Keys("t:"), "r").load(),
    "read": lambda client: Ledger(client, Keys("t:"), "r").read(b"0-0", 1),
    "fold": lambda client: Ledger(client, Keys("t:"), "r").commit(1, b"0-0", b"1-1", b"", Batch()),
    "trim": lambda client: Ledger(client, Keys("t:"), "r").trim(b"1-1"),
    "dead letter": lambda client: Ledger(client, Keys("t:"), "r").dead_letter(b"1-1", {}, ""),
    "append": lambda client: EventLog(client, Keys("t:")).append("r", Entry("w", 1, 1, 1, 1)),
    "version": server_version,
}


def test_every_call_on_a_frozen_redis_ends_within_its_bound(frozen: RedisServer) -> None:
    """The quickest of three counts: a busy machine may hold up one of them, and a call that asks twice is always late."""
    slow = {}
    for name, call in CALLS.items():
        took = math.inf
        for _ in range(3):
            with connect(frozen.url, timeout_ms=300) as client:
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    call(client)
                took = min(took, time.monotonic() - began)
            if took < 0.3 * BOUND_S:
                break
        else:
            slow[name] = took
    assert slow == {}


def test_the_default_bound_holds_with_a_warm_connection_too(servers: Callable[..., RedisServer]) -> None:
    server = servers()
    with connect(server.url) as client:
        log = EventLog(client, Keys("t:"))
        log.append("r", Entry("w", 1, 1, 1, 1))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                log.append("r", Entry("w", 2, 1, 1, 1))
            assert time.monotonic() - began < BOUND_S
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_asynchronous_calls_are_bounded_too(frozen: RedisServer) -> None:
    async def append() -> float:
        async with connect_async(frozen.url) as client:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await AsyncEventLog(client, Keys("t:")).append_each([("r", Entry("w", 1, 1, 1, 1))])
            return time.monotonic() - began

    assert asyncio.run(append()) < BOUND_S


def test_a_redis_that_is_not_there_is_unavailable_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        connect(f"unix://{tmp_path}/none.sock") as client,
        pytest.raises(StoreUnavailable, match="live: Redis gave no"),
    ):
        FlagStore(client, Keys("t:")).live()
    assert time.monotonic() - began < 0.5


def test_a_client_recovers_when_redis_comes_back(servers: Callable[..., RedisServer]) -> None:
    server = servers()
    with connect(server.url) as client:
        store = FlagStore(client, Keys("t:"))
        store.live()
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.live()
        server.restart()
        assert store.live().flags == {}


def test_errors_of_the_programmer_are_not_called_an_outage() -> None:
    with pytest.raises(KeyError), reachable("nothing"):
        raise KeyError("x")


def test_the_server_is_new_enough(client: redis.Redis) -> None:
    assert server_version(client) >= (6, 2)


def test_an_old_server_is_refused(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.store.connect.OLDEST", (99, 0))
    with pytest.raises(StoreUnavailable, match="too old"):
        server_version(client)
