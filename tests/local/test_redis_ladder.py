"""The ladder to a Redis: a given one or none, then PATH, then the wheel's; and no password is ever shown."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

from router.errors import StoreUnavailable
from router.local.redis_server import RedisServer, find_redis, masked, redis_of
from router.settings import Settings

PASSWORDS = [
    "redis://user:s3cr3t@h:6379/0",
    "redis://:s3cr3t@h",
    "redis://user:p@ss:s3cr3t@h",
    "redis://:pa/s3cr3t@h",
    "redis://user:s3cr3t@h?ssl=1",
    "redis://h?password=s3cr3t&db=1",
    "rediss://[::1]:6379?PASSWORD=s3cr3t",
    "user:s3cr3t@h",
    "redis://user:a://s3cr3t@h",
    "redis://user:a?s3cr3t@h",
    "redis://h?password=s3cr3t@b",
]


@pytest.mark.parametrize("url", PASSWORDS)
def test_no_password_is_shown(url: str) -> None:
    assert "s3cr3t" not in masked(url)
    assert "***" in masked(url)


@pytest.mark.parametrize(
    "url", ["redis://h:6379/0", "redis://user@h", "unix:///run/redis.sock?db=1", "rediss://[::1]:1"]
)
def test_an_address_without_a_password_is_shown_whole(url: str) -> None:
    assert masked(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p@ss:s3cr3t@127.0.0.1:1",
        "redis://:pa/s3cr3t@h",
        "http://u:s3cr3t@h",
        "redis://127.0.0.1:1?password=s3cr3t",
    ],
)
def test_a_given_redis_that_does_not_answer_is_refused_whatever_else_is_there(url: str) -> None:
    with pytest.raises(StoreUnavailable) as problem:
        redis_of(Settings.load({}, None, {"redis_url": url}))
    assert "REDIS_URL" in str(problem.value)
    assert "s3cr3t" not in str(problem.value)


def test_a_given_redis_is_used(redis_server: RedisServer) -> None:
    for environ in ({"REDIS_URL": redis_server.url}, {"POINTSMAN_REDIS_URL": redis_server.url}):
        choice = redis_of(Settings.load(environ))
        assert (choice.rung, choice.url, choice.binary) == ("REDIS_URL", redis_server.url, "")


def fake(folder: Path, name: str, version: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
    path.chmod(0o755)
    return str(path)


def test_path_comes_before_the_wheel_and_what_is_too_old_is_passed_over(tmp_path: Path) -> None:
    newer = fake(tmp_path, "valkey-server", "8.0.1")
    older = fake(tmp_path, "redis-server", "6.0.16")
    found = find_redis({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (found.rung, found.binary, found.version) == ("PATH", newer, "8.0.1")
    Path(older).unlink()
    assert find_redis({"PATH": str(tmp_path)}).binary == newer


def test_without_any_server_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    fake(tmp_path, "redis-server", "5.0.3")
    with pytest.raises(StoreUnavailable, match=r"passed over: .*redis-server \(5\.0\.3\): install one"):
        find_redis({"PATH": str(tmp_path)})
