"""The command line called in this process, with an environment and a folder of its own; and one running ``up``."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from router.cli import main
from router.cli.exits import YES
from tests.cli.live import Models, Up


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Ask = Callable[..., Said]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    """Calls a command; ``typed`` is what a person answers, ``environ`` what is set beside."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("POINTSMAN_") or name == "REDIS_URL":
            monkeypatch.delenv(name)

    def call(
        *words: str, typed: str = "", environ: dict[str, str] | None = None, terminal: bool = False
    ) -> Said:
        with monkeypatch.context() as patch:
            keyboard = io.StringIO(typed)
            patch.setattr(keyboard, "isatty", lambda: terminal)
            patch.setattr(sys, "stdin", keyboard)
            for name, value in (environ or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(list(words))
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, out, err)

    return call


@pytest.fixture(scope="package")
def models() -> Iterator[Models]:
    """Two stub model servers."""
    with Models() as made:
        yield made


@pytest.fixture(scope="package")
def up(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running ``up`` with three routes and their experiments: to be promoted, rolled back, left alone."""
    folder = tmp_path_factory.mktemp("up")
    urls = ("--control", models.control.url, "--treatment", models.treatment.url)
    for name in ("good", "bad", "open"):
        with pytest.raises(SystemExit, match="0"):
            main(["init", *urls, "--name", name, "--folder", str(folder / name)])
        route = folder / name / "route.yaml"
        route.write_text(route.read_text().replace("{path: /}", f"{{path: /{name}}}"))
    with Up(folder, ("good", "bad", "open")) as running:
        yield running
        assert running.end(signal.SIGINT) == YES, running.said()
    assert not (folder / ".pointsman" / "up.json").exists()
