"""Child processes with names, logs and one end: when the group stops or its parent dies, they are gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from router.local.parent import die_with_parent

STOP_WITHIN_S = 2.5


def die_with_me(signum: int = signal.SIGTERM) -> Callable[[], None]:
    """A ``preexec_fn``: the child asks the kernel for ``signum`` when this process ends."""

    def ask() -> None:
        os.setpgrp()
        die_with_parent(signum)

    return ask


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """``preferred`` when it is free, else another that is."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {host}")


def listening(preferred: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket that listens at ``preferred`` or, where somebody else does, at another port; nobody else can take it."""
    for port in (preferred, 0):
        try:
            return socket.create_server((host, port), backlog=256)
        except OSError:
            continue
    raise OSError(f"no free port on {host}")


class ProcessGroup:
    """The children of this process. Start them from the main thread: the kernel watches the thread that forked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[str, subprocess.Popen[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdout: int | None = None,
        files: Sequence[int] = (),
    ) -> subprocess.Popen[str]:
        """Start a child; its output goes to ``<name>.log`` unless ``stdout`` is ``subprocess.PIPE``.

        ``files`` are descriptors that it gets under their numbers. A Python among them takes no package from the folder
        that it happens to start in: it runs what this process runs.
        """
        with self.log(name).open("a") as log:
            child = subprocess.Popen(
                list(command),
                env={
                    **os.environ,
                    **environ,
                    "POINTSMAN_PARENT": str(os.getpid()),
                    "PYTHONSAFEPATH": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                text=True,
                pass_fds=files,
                preexec_fn=die_with_me(signal.SIGKILL),  # a role that has something to put away asks for TERM
            )
        self.children[name] = child
        return child

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self.folder / f"{name}.log"

    def ended(self) -> dict[str, int]:
        """The children that ended by themselves, with their exit codes."""
        return {name: code for name, child in self.children.items() if (code := child.poll()) is not None}

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """TERM to all, then KILL to those that are still there, with everything they started."""
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + within_s
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
            _kill_group(child.pid)
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        self.children.clear()

    def __enter__(self) -> ProcessGroup:
        """The group itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all."""
        self.stop()


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
