"""The gateway as a process: gunicorn's master, which forks workers and books what a dead one left behind.

The master serves nothing. It makes the shared counters before the first fork, gives each worker a row, and settles the
row when the worker has ended. gunicorn is started from here, with settings of ours only.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from router.gateway import losses
from router.gateway.counters import Counters
from router.gateway.worker import GatewayWorker
from router.local.parent import die_with_parent
from router.settings import Settings, require_redis, require_token
from router.store.secrets import Secrets, load_secrets

COUNTERS = "counters-"
MASTER_GRACE_S = 5  # the master waits so much longer than its workers


class GatewayApplication(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn, configured by our settings."""

    def __init__(self, settings: Settings, secrets: Secrets, counters: Counters) -> None:
        self.settings = settings
        self.secrets = secrets
        self.counters = counters
        super().__init__()

    def load_config(self) -> None:
        """Our settings in gunicorn's words."""
        settings = self.settings
        values: dict[str, Any] = {
            "bind": [settings.gateway_bind],
            "workers": settings.gateway_workers,
            "reuse_port": bool(settings.gateway_port_shared),
            "worker_class": GatewayWorker,
            "timeout": max(1, settings.worker_timeout_ms // 1000),
            "graceful_timeout": settings.graceful_timeout_ms // 1000 + MASTER_GRACE_S,
            "loglevel": settings.log_level,
            "proc_name": "pointsman-gateway",
            "backlog": 2048,
            "certfile": settings.gateway_certfile or None,
            "keyfile": settings.gateway_keyfile or None,
            "control_socket_disable": True,
            "on_starting": self._on_starting,
            "pre_fork": self._pre_fork,
            "child_exit": self._child_exit,
            "on_exit": self._on_exit,
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> object:
        """There is no WSGI application."""
        return None

    def _on_starting(self, server: Any) -> None:
        """Book what masters that were killed left behind."""
        data_dir = Path(self.settings.data_dir)
        for path in data_dir.glob(f"{COUNTERS}*"):
            pid = path.name.removeprefix(COUNTERS)
            if path != self.counters.path and pid.isdigit() and not _lives(int(pid)):
                left = Counters(path)
                for number in left.written():
                    self._settle(left, number, server.log)
                left.close()

    def _pre_fork(self, server: Any, worker: GatewayWorker) -> None:
        worker.row_number = self.counters.reserve()

    def _child_exit(self, server: Any, worker: GatewayWorker) -> None:
        self._settle(self.counters, worker.row_number, server.log)

    def _on_exit(self, server: Any) -> None:
        self.counters.close()

    def _settle(self, counters: Counters, number: int, log: logging.Logger) -> None:
        try:
            lost = losses.book(Path(self.settings.data_dir), counters, number)
        except OSError as problem:
            log.error("losses of a worker could not be written down: %s", problem)
            return
        if lost:
            log.warning(
                "a worker ended with %d rows that Redis had not acknowledged; they are counted as dropped",
                lost,
            )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def shared_counters(data_dir: Path) -> Counters:
    """Counters in a file, so that they outlive the master too; in memory where the folder cannot be written."""
    try:
        path = data_dir / f"{COUNTERS}{os.getpid()}"
        path.unlink(missing_ok=True)
        return Counters(path)
    except OSError:
        return Counters(None)


def serve(settings: Settings) -> None:
    """Run the gateway until it is told to stop.

    Raises:
        StoreUnavailable: there is no address of Redis.
        SpecError: it would listen to the world without a token, or a secret is malformed.
    """
    require_token("gateway_bind", settings.gateway_bind, settings.token)
    require_redis(settings)
    if os.environ.get("POINTSMAN_PARENT"):
        die_with_parent()
    sys.argv = sys.argv[:1]  # gunicorn would read our arguments as its own on a reload
    counters = shared_counters(Path(settings.data_dir))
    GatewayApplication(settings, load_secrets(settings), counters).run()
