"""Children never outlive their parent, however it ends; and a busy port is not waited for."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from router.local.processes import ProcessGroup, free_port, listening
from tests.gateway.running import eventually, lives

# A parent that starts a child which starts one of its own, and tells their pids.
PARENT = """
import subprocess, sys, time
from pathlib import Path
from router.local.processes import ProcessGroup
child = "import subprocess, sys, time; from router.local.processes import die_with_me; " \\
    "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], preexec_fn=die_with_me()); " \\
    "print(inner.pid, flush=True); time.sleep(60)"
started = ProcessGroup(Path(sys.argv[1])).start("child", [sys.executable, "-c", child], {}, stdout=subprocess.PIPE)
print(started.pid, started.stdout.readline(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_its_parent(tmp_path: Path, how: int) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(lives, pids))
        parent.send_signal(how)
    eventually(lambda: not any(map(lives, pids)), within_s=3.0)


def test_a_group_ends_what_does_not_want_to_end(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with ProcessGroup(tmp_path) as group:
        child = group.start("deaf", [sys.executable, "-c", deaf], {}, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        group.stop(within_s=0.1)
    assert child.returncode == -signal.SIGKILL


def test_a_group_tells_who_ended_by_itself(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        group.start("short", [sys.executable, "-c", "import sys; print('why'); sys.exit(7)"], {})
        eventually(lambda: group.ended() == {"short": 7})
        assert group.log("short").read_text() == "why\n"


def test_a_busy_port_gives_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        assert free_port(busy) not in (0, busy)
    assert free_port(busy) == busy


def test_who_asks_for_the_same_port_at_once_gets_another_and_a_child_inherits_it(tmp_path: Path) -> None:
    wanted = free_port()
    with listening(wanted) as first, listening(wanted) as second, ProcessGroup(tmp_path) as group:
        ports = [one.getsockname()[1] for one in (first, second)]
        assert ports[0] == wanted != ports[1]
        says = f"import socket; print(socket.socket(fileno={first.fileno()}).getsockname()[1])"
        child = group.start(
            "child", [sys.executable, "-c", says], {}, stdout=subprocess.PIPE, files=(first.fileno(),)
        )
        assert child.communicate(timeout=20)[0].strip() == str(wanted)


def test_a_child_runs_what_its_parent_runs_wherever_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "router").mkdir()
    (tmp_path / "router" / "__init__.py").write_text("raise SystemExit('of this folder')")
    monkeypatch.chdir(tmp_path)
    with ProcessGroup(tmp_path / "logs") as group:
        child = group.start("child", [sys.executable, "-m", "router", "version"], {})
        assert (child.wait(timeout=20), "of this folder" in group.log("child").read_text()) == (0, False)
