"""The API as a process of its own: gunicorn, its threads, its end; and what is stored survives it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from router.errors import SpecError
from router.events import decode
from router.settings import Settings
from tests.conftest import eventually

if TYPE_CHECKING:
    from tests.api.conftest import Desk


def ask(url: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, problem.read()


@pytest.fixture
def process(desk: Desk) -> Iterator[tuple[Desk, str, subprocess.Popen[bytes]]]:
    """A desk, and the address and process of an API on the same store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert desk.apply(desk.route, desk.file).status_code == 200
    child = started_api(desk, port)
    yield desk, f"http://127.0.0.1:{port}", child
    if child.poll() is None:
        child.kill()
        child.wait()


def started_api(desk: Desk, port: int) -> subprocess.Popen[bytes]:
    settings = replace(desk.settings, api_bind=f"127.0.0.1:{port}", api_threads=32)
    command = [sys.executable, "-m", "router", "api"]
    return subprocess.Popen(command, env={**os.environ, **settings.as_environ()})


def alive(url: str) -> bool:
    try:
        return ask(f"{url}/livez")[0] == 200
    except OSError:
        return False


def test_it_answers_stores_from_many_threads_and_ends_when_asked(
    process: tuple[Desk, str, subprocess.Popen[bytes]],
) -> None:
    desk, url, child = process
    eventually(lambda: alive(url))
    assert ask(f"{url}/readyz")[0] == 200
    decisions = [desk.sign("digits-v2", unit=b"u%d" % i) for i in range(96)]
    answers: list[int] = []

    def report(mine: list[str]) -> None:
        body = [{"decision": decision, "metric": "corrected", "value": 1} for decision in mine]
        answers.append(ask(f"{url}/v1/outcomes", body)[0])

    threads = [threading.Thread(target=report, args=(decisions[i::24],)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 24
    # Killed the hard way right after the last answer: what was acknowledged is there.
    child.send_signal(signal.SIGKILL)
    child.wait()
    rows: Any = desk.client.xrange(desk.keys.run(desk.run("digits-v2")["run"]).events)
    entries = [decode(fields) for _, fields in rows]
    theirs = [entry for entry in entries if entry.writer != desk.plane.outcomes.writer]
    assert len({unit for entry in theirs for unit in entry.outcomes.unit}) == 96
    assert [entry.seq for entry in theirs] == list(range(1, len(theirs) + 1))
    eventually(lambda: not alive(url))


def outcomes_of(desk: Desk) -> list[tuple[int, int]]:
    """Unit and key of all that stands in the run's log."""
    rows: Any = desk.client.xrange(desk.keys.run(desk.run("digits-v2")["run"]).events)
    entries = [decode(fields) for _, fields in rows]
    return [pair for e in entries for pair in zip(e.outcomes.unit, e.outcomes.key, strict=True)]


def test_killed_under_load_nothing_acknowledged_is_lost_and_what_is_repeated_has_its_old_key(
    process: tuple[Desk, str, subprocess.Popen[bytes]],
) -> None:
    desk, url, child = process
    eventually(lambda: alive(url))
    sent: dict[bytes, dict[str, object]] = {}
    acknowledged: set[bytes] = set()

    def report(number: int) -> None:
        """Outcomes one after the other, until nobody answers."""
        for i in range(10_000):
            unit = b"u%d-%d" % (number, i)
            sent[unit] = {"decision": desk.sign("digits-v2", unit=unit), "metric": "corrected", "value": 1}
            try:
                status = ask(f"{url}/v1/outcomes", sent[unit])[0]
            except (OSError, http.client.HTTPException):
                return
            if status == 202:
                acknowledged.add(unit)

    threads = [threading.Thread(target=report, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(acknowledged) >= 50)
    child.send_signal(signal.SIGKILL)  # while eight clients wait for their answers
    child.wait()
    for thread in threads:
        thread.join()
    digest = desk.plane.digest
    assert {digest(unit) for unit in acknowledged} <= {unit for unit, _ in outcomes_of(desk)}
    assert len(acknowledged) < len(sent)
    eventually(lambda: not alive(url))
    again = started_api(desk, int(url.rpartition(":")[2]))
    try:
        eventually(lambda: alive(url))
        assert ask(f"{url}/v1/outcomes", list(sent.values()))[0] == 202
    finally:
        again.kill()
        again.wait()
    found = outcomes_of(desk)
    assert {unit for unit, _ in found} == {digest(unit) for unit in sent}
    # Stored twice perhaps, but under one key: the fold counts it once.
    assert len(found) > len(sent) == len(set(found))


def test_sigterm_ends_it_cleanly(process: tuple[Desk, str, subprocess.Popen[bytes]]) -> None:
    _, url, child = process
    eventually(lambda: alive(url))
    child.terminate()
    assert child.wait(timeout=30) == 0
    assert not alive(url)


def test_it_refuses_to_listen_to_the_world_without_a_token(settings: Settings) -> None:
    from router.api.app import serve

    with pytest.raises(SpecError, match="POINTSMAN_TOKEN"):
        serve(replace(settings, api_bind="0.0.0.0:0"))
