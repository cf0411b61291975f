"""The report of the simulations: what the README says is what was measured, and a missed promise is seen."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.simulate import pictures, report
from tests.simulate.peers import given, shown
from tests.simulate.results import Result, Row, load
from tests.simulate.run import STUDIES


def test_the_readme_says_what_was_measured() -> None:
    kept = load(STUDIES)
    assert [result.name for result in kept] == list(STUDIES)
    text = (report.STATS / "README.md").read_text()
    assert report.sections(kept, pictures.draw(kept)) in text
    assert report.table_of_methods(kept) in text


def test_every_picture_is_the_one_that_the_results_give() -> None:
    for drawn in pictures.draw(load(STUDIES)).values():
        for name, svg in drawn.items():
            assert (report.STATS / "pictures" / f"{name}.svg").read_text() == svg + "\n"
            root = ElementTree.fromstring(svg)
            tags = [element.tag.rpartition("}")[2] for element in root]
            assert tags[:2] == ["title", "desc"]
            assert "nan" not in svg
            assert "inf" not in svg


@pytest.mark.parametrize(
    ("measured", "side", "missed"),
    [(0.064, "most", False), (0.066, "most", True), (0.036, "least", False), (0.034, "least", True)],
)
def test_a_promise_is_missed_beyond_three_standard_errors(measured: float, side: str, missed: bool) -> None:
    row = Row("x", measured, 0.005, 0.05, side)  # type: ignore[arg-type]
    assert row.missed is missed
    table = report.table(Result("x", "X", "", 10, 1, [row]))
    assert ("missed" in table) is missed


def test_a_number_that_is_only_shown_misses_nothing() -> None:
    assert not Row("x", 9.0, 0.0).missed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0312, ".031"), (0.0008, ".0008"), (1.057, "1.057"), (1981.2, "1,981"), (0.0, ".0000")],
)
def test_measured_numbers_are_shown_with_what_matters(value: float, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, ".05"), (1.06, "1.06"), (0.94, ".94"), (6237, "6,237"), (1.0, "1"), (45_000, "45,000")],
)
def test_numbers_of_others_keep_their_digits(value: float, text: str) -> None:
    assert given(value) == text
