"""The API as a process: gunicorn with threads.

One worker process with many threads: the outcome log of a process is one writer of the event log, and what blocks
here is waiting for Redis.
"""

from __future__ import annotations

import signal
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from router.api.factory import create_app
from router.api.plane import EXTENSION
from router.local.parent import die_with_parent
from router.settings import Settings, require_redis, require_token
from router.store.connect import connect
from router.store.secrets import load_secrets

GRACEFUL_S = 2
WORKER_TIMEOUT_S = 60


class ApiApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, told everything by settings; it reads neither its own files nor the command line."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app: Flask | None = None
        super().__init__()

    def load_config(self) -> None:
        """Settings in gunicorn's words."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def _options(self) -> dict[str, Any]:
        return {
            "bind": [self.settings.api_bind],
            "workers": 1,
            "worker_class": "gthread",
            "threads": self.settings.api_threads,
            "graceful_timeout": GRACEFUL_S,
            "timeout": WORKER_TIMEOUT_S,
            "keepalive": 5,
            "loglevel": self.settings.log_level,
            "proc_name": "pointsman-api",
            "control_socket_disable": True,
            # What was acknowledged is stored, so a worker whose master was killed has nothing to wait for.
            "post_fork": lambda arbiter, worker: die_with_parent(signal.SIGKILL),
            "worker_exit": lambda arbiter, worker: self.close(),
        }

    def load(self) -> Flask:
        """Make the application; called in the worker, so its thread and its connections belong to it."""
        settings = self.settings
        self.app = create_app(settings, connect(settings.redis_url, settings.store_timeout_ms))
        # A writer that is alive says so from the start, not with its first outcome.
        self.app.extensions[EXTENSION].outcomes.start()
        return self.app

    def close(self) -> None:
        """Let the outcome log finish."""
        if self.app is not None:
            self.app.extensions[EXTENSION].close()


def serve(settings: Settings) -> None:
    """Answer until SIGTERM.

    Raises:
        SpecError: it would listen to the world without a token.
        StoreUnavailable: there is no address of Redis.
    """
    require_token("api_bind", settings.api_bind, settings.token)
    require_redis(settings)
    load_secrets(settings)  # made before the fork: every process of this installation reads the same
    ApiApplication(settings).run()
