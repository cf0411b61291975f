"""What the bench makes of its rounds, and where it writes them; nothing here measures time."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.gateway import measure
from tests.bench.hop import page
from tests.bench.hop.loads import Sample
from tests.bench.hop.proxies import program
from tests.bench.hop.rounds import Figure, full, ratio, turned
from tests.bench.hop.rows import ROWS

NAMES = ("gateway", "nginx")


def a_round(ours: float, theirs: float, *, busy: float = 1.0, wrong: int = 0) -> dict[str, Sample]:
    return {"gateway": Sample(ours, busy, 1e4, wrong), "nginx": Sample(theirs, 1.0, 1e4, 0)}


def test_a_ratio_is_taken_inside_a_round() -> None:
    figure = ratio([a_round(20, 10), a_round(60, 20), a_round(40, 10)], *NAMES)
    assert (figure.value, figure.low, figure.high, figure.rounds) == (3.0, 2.0, 4.0, "3 of 3")


def test_a_wrong_answer_voids_its_round() -> None:
    rows = [a_round(20, 10), a_round(1, 10, wrong=1)]
    assert ratio(rows, *NAMES).value == 2.0
    nothing = ratio(rows[1:], *NAMES)
    assert (nothing.value, nothing.rounds) == (None, "0 of 1")


def test_rounds_of_idle_cores_count_only_when_there_are_no_others() -> None:
    idle = a_round(50, 10, busy=0.5)
    assert full([idle, a_round(20, 10)], NAMES)[1] == "1 of 2"
    assert full([idle, idle], NAMES) == ([idle, idle], "2 of 2, none full")


@given(st.lists(st.text(), min_size=1, max_size=6, unique=True))
def test_everyone_is_first_as_often_as_the_others(names: list[str]) -> None:
    orders = [turned(names, number) for number in range(2 * len(names))]
    assert sorted(order[0] for order in orders) == sorted(names * 2)
    assert all(sorted(order) == sorted(names) for order in orders)


def test_what_is_not_installed_is_skipped_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    def missing(stage: object) -> list[Figure]:
        program("no-such-proxy", "apt-get install no-such-proxy")
        raise AssertionError("it is not installed")

    row = replace(ROWS[0], measure=missing)
    (figure,) = measure(None, row, "here")["figures"]  # type: ignore[arg-type]  # nothing is started
    word = "skipped: no-such-proxy is not installed (apt-get install no-such-proxy)"
    assert (figure["value"], figure["note"]) == (None, word)
    assert word in capsys.readouterr().out


def kept(value: float | None, note: str = "") -> dict[str, Any]:
    figure = asdict(Figure(value, value, value, "3 of 3", note))
    return {row.name: {"figures": [figure] * len(row.lines), "where": "here"} for row in ROWS}


def test_every_line_is_shown_beside_its_bar_and_one_without_a_value_is_never_met() -> None:
    lines = [line for row in ROWS for line in row.lines]
    cells = list(page.cells(kept(0.5)))
    assert [cell[0] for cell in cells] == [line.what for line in lines]
    assert all(cell[4] == ("yes" if line.bar >= 0.5 else "no") for cell, line in zip(cells, lines, strict=True)
               if isinstance(line.bar, float))  # fmt: skip
    assert {(cell[1], cell[4]) for cell in page.cells(kept(None, "skipped: not here"))} == {("–", "")}


def test_only_what_stands_between_the_marks_is_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.README.read_text()
    monkeypatch.setattr(page, "README", tmp_path / "README.md")
    page.README.write_text(text)
    page.write(kept(0.5))
    once = page.README.read_text()
    page.write(kept(0.5))
    assert page.README.read_text() == once
    assert all(line.what in once for row in ROWS for line in row.lines)
    assert once.partition(page.BEGIN)[0] == text.partition(page.BEGIN)[0]
    assert once.partition(page.END)[2] == text.partition(page.END)[2]
