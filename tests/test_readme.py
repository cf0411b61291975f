"""What the documentation tells people to type: every command exists, and the five minutes are played."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from router.cli import COMMANDS, pointsman
from router.cli.exits import NOT_DECIDED, YES
from tests.cli.live import Models, Up, start
from tests.gateway.running import eventually

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "config/README.md", "deploy/README.md", "router/api/README.md")
EVERY_PAGE = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "config/*.md", "deploy/*.md", "router/**/*.md", "stats/*.md")
    for path in ROOT.glob(pattern)
)
FOLDERS = ("router/api", "router/controller", "router/gateway", "router/store", "stats")
WRITTEN_LATER = {"override.json"}  # by who runs it
OF_THE_LAUNCHER = {"test", "slow", "bench", "simulate", "clients", "compile"}


def blocks(page: str) -> list[list[str]]:
    """The fenced and the indented blocks of a page without a language, as lines."""
    text = (ROOT / page).read_text()
    fenced = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in (*fenced, *indented)]


def commands(page: str) -> Iterator[list[str]]:
    """Each line that calls us, as words after the program's name; comments and variables before it left out."""
    for line in (line for block in blocks(page) for line in block):
        called = re.fullmatch(r"(?:[A-Z_]+=\S* )*(?:\./run|pointsman) (.*)", line)
        if called:
            yield shlex.split(called[1], comments=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_exists(page: str) -> None:
    found = list(commands(page))
    assert found
    for words in found:
        if words[0] in OF_THE_LAUNCHER:
            continue
        assert words[0] in COMMANDS, words
        command = pointsman.get_command(click.Context(pointsman), words[0])
        assert command is not None
        with command.make_context(words[0], words[1:]):
            pass


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_command_named_in_a_sentence_exists_with_its_options(page: str) -> None:
    said = re.findall(r"`(?:\./run|pointsman) ([a-z-]+)([^`]*)`", (ROOT / page).read_text())
    for name, rest in said:
        if name in OF_THE_LAUNCHER:
            continue
        command = pointsman.get_command(click.Context(pointsman), name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_file_that_is_named_exists(page: str) -> None:
    text, here = (ROOT / page).read_text(), (ROOT / page).parent
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (here / link).exists()] == []
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|yaml|conf|lua|json|txt))`", text)) - WRITTEN_LATER
    named |= set(re.findall(r"(?:^    |  )([a-z_]+\.py)", text, re.MULTILINE))
    places = (here, ROOT, ROOT / "router", ROOT / "config")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_told_of_in_its_folder(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text()
    files = [path for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".lua")]
    assert files
    told = set(re.findall(r"\w+\.(?:py|lua)", text)) | {
        f"{name}.py" for name in re.findall(r"`(\w+)\.", text)
    }
    untold = [path.name for path in files if path.name not in told]
    assert sorted(untold) == ["__init__.py"]


def test_every_command_is_told_of() -> None:
    told = "\n".join((ROOT / page).read_text() for page in (*PAGES, "router/README.md", "CHANGELOG.md"))
    assert [name for name in COMMANDS if not re.search(rf"`{name}`|(pointsman|\./run) {name}\b", told)] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands call curl")
def test_your_own_models_in_five_minutes(tmp_path: Path) -> None:
    (lines,) = [block for block in blocks("README.md") if block[0].startswith("./run init")]
    init, up, ask, report, verdict = lines
    with Models() as models:
        assert "http://127.0.0.1:9001" in init
        init = init.replace("http://127.0.0.1:9001", models.control.url)
        init = init.replace("http://127.0.0.1:9002", models.treatment.url)
        made = start(*shlex.split(init)[1:], folder=tmp_path)
        assert (made.communicate(timeout=20)[1], made.returncode) == ("", YES)
        _, _, *files = shlex.split(up)
        with Up(tmp_path, files) as running:

            def curl(line: str) -> str:
                for default, name in (("http://127.0.0.1:8320", "gateway"), ("http://127.0.0.1:8321", "api")):
                    line = line.replace(default, running.addresses[name])
                words = shlex.split(line)
                assert words[0] == "curl"
                return subprocess.run(
                    [*words, "-s"], capture_output=True, text=True, timeout=10, check=True
                ).stdout

            answer = curl(ask)
            found = re.search(r"^Pointsman-Decision: (\S+)", answer, re.MULTILINE | re.IGNORECASE)
            assert found, answer
            assert '"accepted":1' in curl(report.replace("ID", found[1])).replace(" ", "")

            def concluded() -> bool:
                said = start(*shlex.split(verdict)[1:], folder=tmp_path)
                out, err = said.communicate(timeout=20)
                assert (said.returncode, err) == (NOT_DECIDED, "")
                return "goal corrected" in out

            eventually(concluded)
