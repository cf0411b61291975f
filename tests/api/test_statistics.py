"""What statisticians read of a verdict: as JSON, in words and on the page, the same numbers everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from router import notes
from router.cli import render
from tests.api.test_pages import page
from tests.router.looks import CORRECTED, ERRORS, feedback, look, metric, moments
from tests.router.test_methods import HORIZON, PLANNED, SPRT, WATCHED, run_with

if TYPE_CHECKING:
    from tests.api.conftest import Desk


def answer_of(told: Desk) -> dict[str, Any]:
    found: dict[str, Any] = told.http.get("/v1/experiments/digits-v2/verdict").get_json()
    return found


def test_the_verdict_as_json_says_why_and_by_which_method(told: Desk) -> None:
    evidence = answer_of(told)["evidence"]
    assert evidence["ground"] == "a goal is shown to be better, every guardrail within its margin"
    assert evidence["method"] == {"name": "open_ended", "alpha": 0.05, "time": None, "horizon": None}
    row = evidence["metrics"]["corrected"]
    assert row["anytime_p"]["superiority"] <= 0.05
    assert row["stopped"]["biased"] < row["stopped"]["shrunken"] < 0
    assert row["beside"]["belief"]["beats"] > 0.99
    assert row["beside"]["manski"][0] < row["beside"]["lee"][0] <= row["estimate"]


def test_words_and_page_show_what_the_document_holds(told: Desk) -> None:
    answer, text = answer_of(told), page(told, "/experiments/digits-v2")
    written = render.verdict(answer)
    for row in answer["evidence"]["metrics"].values():
        for test in notes.tests(row):
            for part in ("claim", "highest", "needed"):
                assert test[part] in written
                assert test[part] in text.replace("−", "-")
        for note in notes.notes(row):
            assert note in written
            assert note.partition("&")[0].partition("'")[0][:20] in text
    assert "never a trigger" in text
    assert text.index("For statisticians") > text.index("Timeline")


@pytest.mark.parametrize(
    ("method", "words"),
    [(HORIZON, "50% of the planned units"), (PLANNED, "bound"), (SPRT, "gives up at -1.56, shown at 2.77")],
)
def test_each_method_says_where_it_stands(method: dict[str, Any], words: str) -> None:
    found = look(run_with(method), moments((15_000, 5000)))
    lines = notes.notes(json.loads(json.dumps(found.document))["metrics"]["corrected"])
    assert any(words in line for line in lines), lines


def test_an_observed_metric_and_its_segments_say_whether_the_arms_differ() -> None:
    run = run_with(
        {"segments": {"from": ["header", "x"], "values": ["de"]}}, metrics=(CORRECTED, ERRORS, WATCHED)
    )
    values = moments(stratum="1/de") | feedback("watched", (3000, 1000), (300, 290), stratum="1/de")
    rows = look(run, values).document["metrics"]
    assert "only observed: the arms differ (e-BH at 5 %)" in notes.notes(rows["watched"])
    assert "segment de: +19.00 pp, differs" in notes.notes(rows["watched"])


def test_a_metric_without_data_has_no_numbers_to_read() -> None:
    latency = metric("latency", "guardrail", "mean", 50.0, tolerance=50.0)
    row = look(run_with({}, metrics=(CORRECTED, latency)), {}).document["metrics"]["latency"]
    assert notes.notes(row) == []
    assert [test["p"] for test in notes.tests(row)] == ["1.0000", "1.0000"]
