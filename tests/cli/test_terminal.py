"""What a terminal shows fits it and loses no word; what goes to a pipe is whole."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from router.cli import render
from router.cli.terminal import GAP, fitted, folded

WORDS = st.text(st.characters(codec="ascii", categories=("Lu", "Nd")), min_size=1, max_size=12)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
TABLES = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=5)
)


@given(TABLES, st.integers(1, 100))
def test_a_table_is_as_wide_as_it_may_be_or_as_its_longest_words(
    cells: list[list[str]], columns: int
) -> None:
    rows = fitted(cells, columns)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    longest = [
        max(len(word) for cell in column for word in [*cell.split(), ""])
        for column in zip(*cells, strict=True)
    ]
    gaps = len(GAP) * (len(widths) - 1)
    assert sum(widths) + gaps <= max(columns, sum(longest) + gaps)
    for before, after in zip(zip(*cells, strict=True), zip(*rows, strict=True), strict=True):
        assert " ".join(before).split() == " ".join(after).split()


@given(TEXTS, st.integers(20, 100))
def test_a_folded_line_keeps_its_words_and_hangs(text: str, columns: int) -> None:
    lines = folded(f"  {text}", columns).splitlines()
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= columns for line in lines)
    assert all(line.startswith(" " * 6) for line in lines[1:])


def test_what_fits_stays_as_it_is() -> None:
    assert fitted([["a", "b b"], ["c", "d"]], 6) == [["a", "b b"], ["c", "d"]]
    assert folded("a  b\n\n  c", 4) == "a  b\n\n  c"


def test_a_number_keeps_its_unit() -> None:
    assert fitted([["[-45.6 pp, -27.5 pp]"]], 12) == [["[-45.6 pp,"], ["-27.5 pp]"]]
    assert folded("margin +10.0 pp", 12).splitlines() == ["margin", "    +10.0 pp"]


def on_a_terminal(columns: int, *words: str) -> list[str]:
    """What a command prints on a terminal of that width."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "router", *words],
        stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.DEVNULL, env=os.environ | {"COLUMNS": str(columns)},
    ):  # fmt: skip
        os.close(its)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # a terminal whose last writer has gone
            pass
    os.close(ours)
    return said.decode().split("\r\n")


FORECAST = ("estimate", "config/experiment.yaml", "--units-per-hour", "1000", "--rate", "corrected=10%")


def test_a_forecast_fits_the_terminal_and_is_whole_in_a_pipe() -> None:
    piped = subprocess.run(
        [sys.executable, "-m", "router", *FORECAST], capture_output=True, text=True, check=True
    )
    for columns in (60, 80):
        lines = on_a_terminal(columns, *FORECAST)
        assert max(map(len, lines)) <= columns < max(map(len, piped.stdout.splitlines()))
        assert sorted(" ".join(lines).split()) == sorted(piped.stdout.split())


def test_a_table_that_is_given_no_width_is_not_touched() -> None:
    wide = "word " * 100
    assert render.table(("a", "b"), [(wide, "c")]).count("\n") == 1
