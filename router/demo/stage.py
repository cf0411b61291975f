"""The demo's processes: the stack of ``pointsman up``, three model servers, and the people."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from router.demo.digits import SCANS_FILE
from router.demo.story import CANARIES, MODEL_PATH, Scenario
from router.errors import StoreUnavailable
from router.local.processes import listening
from router.local.redis_server import forget
from router.local.stack import NotReady, Stack
from router.settings import Settings

MODELS_PREFERRED = {"v1": 9001, "v2": 9002, "v3": 9003}
MODELS_WITHIN_S = 30.0


class Stage:
    """Everything of the demo that is a process or a file."""

    def __init__(self, settings: Settings, scenario: Scenario, folder: Path) -> None:
        self._lock, folder = _own(folder)
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        settings = replace(settings, demo_folder=str(folder.resolve()), data_dir=str(folder))
        self.scenario = scenario
        self.stack = Stack(settings, folder)
        self.token = settings.token
        # Listened at from here on: of two demos that start at once none finds a port of its own taken.
        self._listeners = {name: listening(port) for name, port in MODELS_PREFERRED.items()}
        self.model_ports = {name: int(one.getsockname()[1]) for name, one in self._listeners.items()}
        self.notes = list(self.stack.notes)
        if not self.leads:
            self.notes.append(f"another demo runs in this folder: this one writes to {folder}")
        self.notes += [
            f"port {MODELS_PREFERRED[name]} is busy: model {name} takes {port}"
            for name, port in self.model_ports.items()
            if port != MODELS_PREFERRED[name]
        ]

    @property
    def leads(self) -> bool:
        """Whether commands started in this folder find this demo, and not another one."""
        return self._lock is not None

    @property
    def gateway_url(self) -> str:
        """Where the people go."""
        return self.stack.gateway_url

    @property
    def api_url(self) -> str:
        """Where the dashboard is."""
        return self.stack.api_url

    @property
    def redis_pid(self) -> int:
        """The Redis of the demo, for those who want to kill it."""
        return self.stack.server.pid if self.stack.server is not None else 0

    def start(self) -> None:
        """Start all processes and wait until they answer."""
        files = {name: one.fileno() for name, one in self._listeners.items()}
        listeners = [f"{name}={number}" for name, number in files.items()]
        command = [sys.executable, "-m", "router.demo.models", str(self.folder), *listeners]
        self.stack.group.start("models", command, {}, files=tuple(files.values()))
        for one in self._listeners.values():
            one.close()
        routes = {cast.app: cast.route for cast in CANARIES}
        paths = {cast.app: f"/{cast.app}{MODEL_PATH}/infer" for cast in CANARIES}
        document = {"routes": routes, "paths": paths, "gateway_url": self.gateway_url}
        (self.folder / "demo.json").write_text(json.dumps(document))
        self.stack.start("router.demo.lossy" if self.scenario.lose_exposures else "")
        self.stack.wait()
        self._wait_for_scans()

    def _wait_for_scans(self) -> None:
        deadline = time.monotonic() + MODELS_WITHIN_S
        while not (self.folder / SCANS_FILE).exists():
            if time.monotonic() > deadline or "models" in self.stack.group.ended():
                log = self.stack.group.log("models").read_text(errors="replace")[-2000:]
                raise NotReady(f"the model servers did not come up:\n{log}")
            time.sleep(0.02)

    def start_people(self, document: dict[str, Any]) -> subprocess.Popen[str]:
        """Let the people in; what they tell comes line by line on their stdout."""
        command = [sys.executable, "-m", "router.demo.people", json.dumps(document)]
        environ = {"POINTSMAN_TOKEN": self.token} if self.token else {}
        return self.stack.group.start("people", command, environ, stdout=subprocess.PIPE)

    def kill_redis(self) -> None:
        """As a crash would."""
        if self.stack.server is not None:
            self.stack.server.kill()

    def mend(self, say: Callable[[str], None], *, restart_redis: bool) -> None:
        """Start what may be started again; a process that ended by itself ends the demo.

        Raises:
            NotReady: a process ended by itself.
        """
        if restart_redis and self.stack.mend_redis():
            say(f"Redis was killed; it is started again on its own data (pid {self.redis_pid})")
        for name, code in self.stack.group.ended().items():
            log = self.stack.group.log(name).read_text(errors="replace")[-2000:]
            raise NotReady(f"{name} ended with {code}:\n{log}")

    def __enter__(self) -> Stage:
        """The stage itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything; a Redis that was given to us keeps nothing of ours."""
        self.stack.stop()
        for one in self._listeners.values():
            one.close()
        if self.stack.server is None:
            with contextlib.suppress(StoreUnavailable):
                forget(self.stack.settings.redis_url, self.stack.settings.prefix)
        if self._lock is not None:
            self._lock.close()


def _own(folder: Path) -> tuple[TextIO | None, Path]:
    """The folder, and the lock that makes it ours; another folder when a demo runs in this one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = (folder.parent / f"{folder.name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None, folder.parent / f"{folder.name}-{os.getpid()}"
    return lock, folder
