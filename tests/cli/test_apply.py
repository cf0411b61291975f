"""Two people apply: what the second has not seen he does not overwrite."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.cli.exits import NO, YES
from tests.cli.conftest import Ask
from tests.cli.live import Up
from tests.cli.test_exit_codes import ROUTE


@pytest.fixture
def shared(
    up: Up, ask: Ask, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Path, str]:
    """A route that is live, as its file; the name is the test's own."""
    monkeypatch.chdir(up.folder)
    name = str(request.node.name)[:40]
    file = up.folder / f"{name}.yaml"
    file.write_text(ROUTE.replace("route: r\n", f"route: {name}\nmatch: {{path: /{name}}}\n"))
    assert ask("apply", file.name).code == YES
    return file, name


def test_an_older_file_is_refused_with_both_revisions_and_the_difference(
    ask: Ask, shared: tuple[Path, str]
) -> None:
    file, name = shared
    older = file.read_text()
    file.write_text(older.replace("127.0.0.1:1", "127.0.0.1:11"))
    assert f"pointsman apply --expect {name}=1 FILES" in ask("plan", file.name).out
    assert ask("apply", file.name, "--expect", f"{name}=1").code == YES
    file.write_text(older)
    said = ask("apply", file.name, "--expect", f"{name}=1")
    assert said.code == NO
    assert f"flag {name}: expected revision 1, found 2" in said.err
    assert "127.0.0.1:11" in said.err


def test_on_a_terminal_the_plan_is_shown_and_asked_about(ask: Ask, shared: tuple[Path, str]) -> None:
    file, name = shared
    file.write_text(file.read_text().replace("127.0.0.1:1", "127.0.0.1:12"))
    said = ask("apply", file.name, typed="n\n", terminal=True)
    assert (said.code, "arm v1: http://127.0.0.1:1 -> http://127.0.0.1:12" in said.err) == (NO, True), said
    assert "change" in ask("plan", file.name).out
    said = ask("apply", file.name, typed="y\n", terminal=True)
    assert (said.code, f"route {name}: change" in said.out) == (YES, True), said
    assert ask("apply", file.name, terminal=True).code == YES  # nothing to do, nothing to ask
