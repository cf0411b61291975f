"""The launcher: what it installs and when, and that it becomes the command; nothing is downloaded here."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

RUN = Path(__file__).parent.parent / "run"
NAMED = '#!/bin/sh\necho "[$POINTSMAN_RUN]" "$@"\n'


def launcher_lists() -> list[str]:
    """The names of all lists of requirements."""
    return [path.stem for path in (RUN.parent / "deploy" / "locks").glob("*.txt")]


@pytest.fixture
def launcher(tmp_path: Path) -> ModuleType:
    """The launcher in a folder of its own, whose .venv holds a Python that only says what it was asked."""
    (tmp_path / "run").write_text(RUN.read_text())
    (tmp_path / "deploy" / "locks").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[project]")
    for name in launcher_lists():
        (tmp_path / "deploy" / "locks" / f"{name}.txt").write_text(name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(NAMED)
    python.chmod(0o755)
    loader = SourceFileLoader("launcher", str(tmp_path / "run"))
    spec = spec_from_loader("launcher", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def stamp(launcher: ModuleType, name: str) -> None:
    Path(launcher.STAMP).write_text(launcher.stamp_of(name))


def run(launcher: ModuleType, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(RUN.name), *words], capture_output=True, text=True, timeout=20, check=False,
        env={"PATH": os.environ["PATH"]}, cwd=launcher.HERE,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_it_reads_on_an_older_python_and_says_what_is_needed(launcher: ModuleType) -> None:
    ast.parse(RUN.read_text(), feature_version=(3, 6))
    assert (
        launcher.too_old((3, 10, 4))
        == "Pointsman needs Python 3.11 or later, this is 3.10: try python3.11 ./run"
    )
    assert launcher.too_old((3, 11, 0)) is None


def test_a_larger_list_holds_the_smaller_ones_and_a_changed_one_nothing(launcher: ModuleType) -> None:
    assert not launcher.installed("product")
    stamp(launcher, "demo")
    assert [launcher.installed(name) for name in launcher.LISTS] == [True, True, False, False]
    lock = Path(launcher.HERE) / "deploy" / "locks" / "demo.txt"
    lock.write_text("demo, changed")
    assert not launcher.installed("product")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("status", "--json"), "-P -m router status --json"),
        (("demo", "--headless"), "-P -m router demo --headless"),
        ((), "-P -m router"),
        (("slow", "-x"), "-m pytest -m slow"),
        (("bench", "fold"), "run.py fold"),
        (("compile", "folder"), "compile.py folder"),
    ],
)
def test_it_becomes_the_command_without_installing_again(
    launcher: ModuleType, words: tuple[str, ...], asked: str
) -> None:
    stamp(launcher, launcher.LISTS[-1])
    code, said = run(launcher, *words)
    assert (code, said.startswith("[./run] "), asked in said) == (0, True, True), said
    assert "installing" not in said


def test_every_step_of_the_tests_is_run_and_any_failure_fails(launcher: ModuleType) -> None:
    stamp(launcher, "dev")
    Path(launcher.PYTHON).write_text(NAMED + 'test "$2" != mypy\n')
    code, said = run(launcher, "test", "-q")
    assert (code, "failed: mypy" in said) == (1, True), said
    assert [
        word for word in ("ruff check", "ruff format", "mypy", "pytest -n auto") if word not in said
    ] == []
    assert "--dist worksteal -q\n" in said  # what is asked for comes last, and so wins
