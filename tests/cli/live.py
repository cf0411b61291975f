"""``pointsman up --json`` as a process of its own, in front of two stub model servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.gateway.running import Loop, ModelServer, eventually, lives

STOPS_WITHIN_S = 3.0  # what the product promises
ANY_PORTS = ("--set", "gateway_bind=127.0.0.1:0", "--set", "api_bind=127.0.0.1:0")


def clean_environ(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the product."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("POINTSMAN_") and k != "REDIS_URL"}
    return kept | more


def start(*words: str, folder: Path, **environ: str) -> subprocess.Popen[str]:
    """A command as a process of its own, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "router", *words],
        cwd=folder,
        env=clean_environ(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Models:
    """Two model servers of ours: a control and a treatment."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.control, self.treatment = (ModelServer(self.loop, name) for name in ("control", "treatment"))

    def __enter__(self) -> Models:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.stop()


class Up:
    """A running ``up``; its first line on stdout has been read."""

    def __init__(self, folder: Path, files: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        with (folder / "up.err").open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "router", "up", "--json", *ANY_PORTS, *files],
                cwd=folder,
                env=clean_environ(**(environ or {})),
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        line = self._out.readline()
        if not line:
            self._out.close()
        assert line, self.said()
        self.addresses: dict[str, str] = json.loads(line)

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def said(self) -> str:
        """What it has said beside the first line, and what its processes logged."""
        logs = sorted((self.folder / ".pointsman" / "logs").glob("*.log"))
        return "\n".join(path.read_text() for path in (self.folder / "up.err", *logs))

    def children(self) -> list[int]:
        """The pids of everything it started, workers too."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                below = [int(word) for word in path.read_text().split()]
                found += below
                waiting += below
        return found

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code, once nothing of it lives any more."""
        children = self.children()
        self.process.send_signal(how)
        code = self.process.wait(timeout=10)
        self._out.close()
        eventually(lambda: not any(map(lives, children)), STOPS_WITHIN_S)
        return code

    def __enter__(self) -> Up:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end()
        self._out.close()


def written(folder: Path) -> dict[str, Any]:
    """What ``up`` left for other commands in its folder."""
    found: dict[str, Any] = json.loads((folder / ".pointsman" / "up.json").read_text())
    return found
