"""All roles on this machine: Redis by the ladder, API, controller and gateway as processes of their own.

``pointsman up`` and the demo stand on it. Where everything is stands in ``up.json`` until the stack stops, so that
other commands started in the same folder find it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from router.errors import PointsmanError, StoreUnavailable
from router.local.processes import ProcessGroup, free_port
from router.local.redis_server import RedisChoice, RedisServer, redis_of
from router.settings import Settings, host_and_port

READY_WITHIN_S = 30.0
UP_FILE = Path(".pointsman") / "up.json"


class NotReady(PointsmanError):
    """A process did not come up."""


class Stack:
    """Redis, API, controller and gateway, started together and ended together."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.group = ProcessGroup(folder / "logs")
        self.notes: list[str] = []
        self.server: RedisServer | None = None
        self.choice: RedisChoice = redis_of(settings)
        self.settings = self._with_ports(settings)

    def _with_ports(self, settings: Settings) -> Settings:
        """Take other ports where the wanted ones are busy, and say so."""
        binds: dict[str, Any] = {}
        for name in ("gateway_bind", "api_bind"):
            host, wanted = host_and_port(getattr(settings, name))
            port = free_port(wanted, host)
            if port != wanted and wanted:
                self.notes.append(f"port {wanted} is busy: {name.removesuffix('_bind')} takes {port}")
            binds[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        redis_url = self.choice.url
        prefix = settings.prefix
        if self.choice.url:
            # A given Redis is not ours alone: this stack keeps to a corner of its own.
            prefix = f"{settings.prefix}{secrets.token_hex(4)}:" if settings.demo_folder else settings.prefix
        else:
            self.server = RedisServer(self.choice.binary, self.folder / "redis", persistent=True)
            redis_url = self.server.url
        return replace(settings, redis_url=redis_url, prefix=prefix, data_dir=str(self.folder), **binds)

    @property
    def gateway_url(self) -> str:
        """Where the gateway answers."""
        return self.settings.gateway_address()

    @property
    def api_url(self) -> str:
        """Where API and dashboard answer."""
        return self.settings.api_address()

    def addresses(self) -> dict[str, str]:
        """What ``up --json`` prints and ``up.json`` holds."""
        return {
            "gateway": self.gateway_url,
            "api": self.api_url,
            "dashboard": self.api_url + "/",
            "token": self.settings.token,
            "redis": "given" if self.choice.url else self.settings.redis_url,
        }

    def start(self, gateway_module: str = "") -> None:
        """Start everything; returns before the processes are ready (see ``wait``)."""
        if self.server is not None:
            self.server.start()
        settings = replace(self.settings, api_url=self.api_url, gateway_url=self.gateway_url)
        environ = {**settings.as_environ(), "REDIS_URL": settings.redis_url}
        for role in ("api", "controller", "gateway"):
            command = [sys.executable, "-m", "router", role]
            if role == "gateway" and gateway_module:
                command = [sys.executable, "-m", gateway_module]
            self.group.start(role, command, environ)

    def wait(self) -> None:
        """Wait until API and gateway are alive, then leave ``up.json``.

        Raises:
            NotReady: one did not come up in time, or ended; with the end of its log.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        waiting = {"api": f"{self.api_url}/livez", "gateway": f"{self.gateway_url}/livez"}
        while waiting:
            for name, code in self.group.ended().items():
                raise NotReady(f"{name} ended with {code}:\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                raise NotReady(f"{', '.join(waiting)} did not answer within {READY_WITHIN_S:.0f} s")
            waiting = {name: url for name, url in waiting.items() if not _alive(url)}
            if waiting:
                time.sleep(0.02)
        if not _in_use():
            UP_FILE.parent.mkdir(parents=True, exist_ok=True)
            UP_FILE.write_text(json.dumps({**self.addresses(), "pid": os.getpid()}))

    def _log_tail(self, name: str) -> str:
        return self.group.log(name).read_text(errors="replace")[-2000:]

    def mend_redis(self) -> bool:
        """Start our Redis again when it was killed; True when it was."""
        if self.server is None or self.server.pid:
            return False
        try:
            self.server.restart()
        except StoreUnavailable:
            return False
        return True

    def stop(self) -> None:
        """End everything within three seconds."""
        if _owner() == os.getpid():
            UP_FILE.unlink(missing_ok=True)
        self.group.stop()
        if self.server is not None:
            self.server.stop()

    def __enter__(self) -> Stack:
        """The stack itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all."""
        self.stop()


def _owner() -> int:
    """The process that ``up.json`` speaks of; 0 when there is none."""
    try:
        return int(json.loads(UP_FILE.read_text()).get("pid", 0))
    except (OSError, ValueError):
        return 0


def _in_use() -> bool:
    """Whether another stack was started in this folder and still runs."""
    owner = _owner()
    if not owner or owner == os.getpid():
        return False
    with contextlib.suppress(OSError):
        os.kill(owner, 0)
        return True
    return False


def _alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - our own process
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
