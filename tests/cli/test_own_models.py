"""Your own models: two files from `init`, `up`, a request, an outcome with the id it returned, a verdict."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

from router.cli.exits import NO, NOT_DECIDED, TROUBLE, YES
from tests.cli.conftest import Ask
from tests.cli.live import STOPS_WITHIN_S, Models, Up, start, written
from tests.gateway.running import eventually, lives


def http(url: str, body: object = None, **fields: str) -> tuple[dict[str, str], Any]:
    """One request with JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    with urllib.request.urlopen(urllib.request.Request(url, data, names), timeout=5) as answer:
        return dict(answer.headers), json.loads(answer.read())


def closed(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_from_nothing_to_a_verdict(ask: Ask, models: Models, tmp_path: Path) -> None:
    said = ask("init", "--control", models.control.url, "--treatment", models.treatment.url)
    assert said.code == YES
    assert said.out.endswith("next: pointsman up route.yaml experiment.yaml\n")
    with Up(tmp_path, ("route.yaml", "experiment.yaml")) as running:
        assert written(tmp_path).items() >= running.addresses.items()
        gateway, api = running.addresses["gateway"], running.addresses["api"]
        # The very first request is analysed: `up` has waited for the treatment, and everyone is enrolled.
        fields, body = http(f"{gateway}/your/path", {"your": "request"}, X_Person="anna")
        arm = fields["Pointsman-Arm"]
        assert (fields["Pointsman-Experiment"], body["arm"]) == ("model-treatment", arm)
        assert body["line"].startswith("POST /your/path")
        report = {"decision": fields["Pointsman-Decision"], "metric": "corrected", "value": 0}
        _, answer = http(f"{api}/v1/outcomes", report, Content_Type="application/json")
        assert answer == {"accepted": 1, "not_analysed": 0, "refused": []}

        def seen() -> dict[str, Any]:
            said = ask("verdict", "model-treatment", "--json")
            assert said.code == NOT_DECIDED
            found: dict[str, Any] = json.loads(said.out)
            units = (found["evidence"] or {"units": {arm: {"exposed": 0}}})["units"]
            return found if units[arm]["exposed"] == 1 else {}

        found = eventually(seen)
        assert (found["state"], found["verdict"]) == ("running", "inconclusive")
        assert "goal corrected" in ask("verdict", "model-treatment").out
        assert f"gets arm {arm}" in ask("explain", "--unit", "anna").out
        with urllib.request.urlopen(running.addresses["dashboard"], timeout=5) as page:
            assert b"model-treatment" in page.read()


def test_a_killed_up_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    with Up(tmp_path, ()) as running:
        assert len(running.children()) >= 5  # Redis, API and its worker, controller, gateway and its workers
        ports = [int(running.addresses[name].rpartition(":")[2]) for name in ("gateway", "api")]
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: all(map(closed, ports)), STOPS_WITHIN_S)


def test_a_child_that_ends_by_itself_ends_everything_with_trouble(tmp_path: Path) -> None:
    with Up(tmp_path, ()) as running:
        children = running.children()
        os.kill(next(pid for pid in children if b"controller" in command_of(pid)), signal.SIGKILL)
        assert running.process.wait(timeout=10) == TROUBLE
        assert "controller ended by itself" in running.said()
        eventually(lambda: not any(map(lives, children)), STOPS_WITHIN_S)
    assert not (tmp_path / ".pointsman" / "up.json").exists()


def command_of(pid: int) -> bytes:
    """What a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_busy_port_is_said_and_bad_files_are_a_no(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("route: r\ncolour: red\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        binds = ("--set", f"gateway_bind=127.0.0.1:{port}", "--set", f"api_bind=127.0.0.1:{port}")
        running = start("up", "bad.yaml", *binds, folder=tmp_path)
        _, err = running.communicate(timeout=30)
    assert running.returncode == NO, err
    assert "bad.yaml:2:1" in err
    assert f"port {port} is busy: gateway takes" in err
