"""The commands that begin with a file: what `init` writes is valid, what `validate` reads is all that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.cli.exits import NO, TROUBLE, YES
from tests.cli.conftest import Ask

CONFIG = Path(__file__).parent.parent.parent / "config"
CONTROL = "http://127.0.0.1:9001"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (CONTROL, "model"),
        ("https://models.example/v2/a,b", "model"),
        ("http://h/{x}", "m-1.10_x"),
        ("http://[::1]:9001/a:b", "on"),
        ("http://h/a%20b&c='d'", "12"),
    ],
)
def test_what_init_writes_is_valid(ask: Ask, url: str, name: str) -> None:
    assert ask("init", "--control", CONTROL, "--treatment", url, "--name", name).code == YES
    said = ask("validate", ".")
    assert (said.code, said.out) == (YES, "valid: 1 route, 1 experiment\n"), said


@pytest.mark.parametrize(
    ("url", "name", "text"),
    [
        (CONTROL, "my model", "routes.my model.route: expected a name"),
        (CONTROL, "null", "route"),
        (CONTROL, "a\nb", "expected a name"),
        ("http://h/#x", "model", "--treatment: expected a URL"),
        ("http://h/a b", "model", "--treatment: expected a URL"),
        ("http://u:p@h", "model", "--treatment: expected a URL"),
        ("here", "model", "--treatment: expected a URL"),
    ],
)
def test_init_writes_nothing_that_is_not_valid(
    ask: Ask, tmp_path: Path, url: str, name: str, text: str
) -> None:
    said = ask("init", "--control", CONTROL, "--treatment", url, "--name", name)
    assert (said.code, text in said.err) == (TROUBLE, True), said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stands_for_its_routes_and_experiments(ask: Ask) -> None:
    said = ask("validate", str(CONFIG))
    assert (said.code, said.out) == (YES, "valid: 1 route, 1 experiment\n")
    assert "settings.yaml: settings, not a route or an experiment; passed over" in said.err


def test_a_file_of_settings_by_name_and_a_broken_one_are_not_passed_over(ask: Ask, tmp_path: Path) -> None:
    assert ask("validate", str(CONFIG / "settings.yaml")).code == NO
    (tmp_path / "a.yaml").write_text("route: [")
    said = ask("validate", str(tmp_path))
    assert (said.code, "a.yaml:1:9" in said.out) == (NO, True), said


# What YAML would make of a word, and what it is here: refused where it is no such thing, else the text itself.
QUIRKS = [
    ("window: 12:30", "window: expected a time such as '300 ms'"),
    ("window: 1.10", "window: expected a time"),
    ("window: 750", "window: expected a time"),
    ("value: on", "found 'on'"),
    ("better: yes", "found 'yes'"),
    ("mde: 0.02", "mde: percentage points such as '2 pp'"),
    ("margin: 2 pp, margin: 3 pp", "expected each key once, found 'margin' twice"),
]


@pytest.mark.parametrize(("words", "text"), QUIRKS)
def test_no_word_of_a_file_becomes_another_value(ask: Ask, tmp_path: Path, words: str, text: str) -> None:
    experiment = (CONFIG / "experiment.yaml").read_text()
    key = words.partition(":")[0]
    kept = [part for part in GOAL.split(", ") if not part.startswith(f"{key}:")]
    (tmp_path / "e.yaml").write_text(experiment.replace(GOAL, ", ".join([*kept, words])))
    said = ask("validate", str(CONFIG / "route.yaml"), "e.yaml")
    assert (said.code, text in said.out) == (NO, True), said
    assert "e.yaml:" in said.out


GOAL = "metric: corrected, kind: proportion, better: lower, mde: 2 pp, window: 1 h, grace: 1 min, absent: missing"


def test_a_name_stays_the_text_it_is(ask: Ask, tmp_path: Path) -> None:
    route = (
        "route: 1.10\nunit: {kind: on, from: [request]}\narms: {12:30: {upstream: http://h}}\ndefault: v1\n"
    )
    (tmp_path / "r.yaml").write_text(route.replace("12:30", "'12:30'"))
    said = ask("validate", "r.yaml")
    assert "routes.1.10" in said.out  # not 1.1
    assert "found '12:30'" in said.out  # not 750
    (tmp_path / "r.yaml").write_text(route.replace("12:30", "off").replace("default: v1", "default: off"))
    assert ask("validate", "r.yaml").code == YES


@pytest.mark.parametrize("key", ["route", "arms", "default"])
def test_a_key_twice_is_refused_in_a_route_too(ask: Ask, tmp_path: Path, key: str) -> None:
    route = (CONFIG / "route.yaml").read_text()
    line = next(line for line in route.splitlines() if line.startswith(f"{key}:"))
    again = "arms: {}" if key == "arms" else line
    (tmp_path / "r.yaml").write_text(route + again + "\n")
    said = ask("validate", "r.yaml")
    assert (said.code, f"expected each key once, found '{key}' twice" in said.out) == (NO, True), said
