"""POST /v1/outcomes: a value must be one that its metric's kind can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.test_outcomes import GOAL, entries, post

if TYPE_CHECKING:
    from tests.api.conftest import Desk


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2, "proportion"),
        (0.5, "proportion"),
        (-1, "proportion"),
        ("1", "proportion"),
        (None, "proportion"),
        ([], "proportion"),
    ],
)
def test_a_value_that_is_no_proportion_is_refused(started: Desk, value: object, kind: str) -> None:
    answer = post(started, {"decision": started.sign("digits-v2"), "metric": GOAL, "value": value})
    assert answer.status_code == 422
    assert answer.json["error"]["problems"][0]["path"].startswith("value")
    assert entries(started) == []


OTHERS = {
    "stars": "kind: rating, better: higher, margin: '0.5', scale: '7'",
    "edits": "kind: edit_rate, better: lower, margin: 5 pp",
    "retries": "kind: rate, better: lower, margin: 50 %",
    "label": "kind: proportion, better: lower, margin: 5 pp, sampled: 'true'",
}
LINES = "".join(f"\n  - {{metric: {name}, {line}}}" for name, line in OTHERS.items())


@pytest.mark.parametrize(
    ("metric", "rest", "expected"),
    [
        ("stars", {"value": 8}, "a whole number from 1 to 7 (the metric is a rating)"),
        ("stars", {"value": 2.5}, "a whole number from 1 to 7"),
        ("stars", {"value": True}, "a whole number from 1 to 7"),
        ("edits", {"value": 1.5}, "a number from 0 to 1"),
        ("retries", {"value": -1}, "a whole number of at least 0"),
        ("retries", {"value": 1.0000000001}, "a whole number of at least 0"),
        ("label", {"value": 1}, "the chance with which this label was asked for"),
        ("label", {"value": 1, "probability": 0}, "the chance with which this label was asked for"),
        ("label", {"value": 1, "probability": 1.5}, "the chance with which this label was asked for"),
        ("edits", {"value": 1, "probability": 0.5}, "none (the metric has no 'sampled: true')"),
    ],
)
def test_a_value_must_be_one_that_its_kind_can_read(
    desk: Desk, metric: str, rest: dict[str, Any], expected: str
) -> None:
    assert desk.apply(desk.route, desk.file.replace("guardrails:", f"guardrails:{LINES}")).status_code == 200
    answer = post(desk, {"decision": desk.sign("digits-v2"), "metric": metric, **rest})
    assert answer.status_code == 422
    assert answer.json["error"]["problems"][0]["expected"].startswith(expected)
    assert entries(desk) == []


def test_a_sampled_label_is_stored_with_its_probability(desk: Desk) -> None:
    desk.apply(desk.route, desk.file.replace("guardrails:", f"guardrails:{LINES}"))
    decision = desk.sign("digits-v2")
    bodies = [
        {"decision": decision, "metric": "stars", "value": 7},
        {"decision": decision, "metric": "label", "value": 1, "probability": 0.25},
    ]
    assert post(desk, bodies).json["accepted"] == 2
    rows = entries(desk)[0].outcomes
    assert list(rows.value) == [7_000_000, 1_000_000]
    assert list(rows.probability) == [0, 250_000]


TOKENS = "guardrails:\n  - {metric: tokens, kind: mean, better: lower, margin: '5'}"


@pytest.mark.parametrize("text", ["1e13", "NaN", "Infinity", "true", "-1e400"])
def test_a_value_that_is_no_finite_number_is_refused(desk: Desk, text: str) -> None:
    assert desk.apply(desk.route, desk.file.replace("guardrails:", TOKENS)).status_code == 200
    body = f'{{"decision": "{desk.sign("digits-v2")}", "metric": "tokens", "value": {text}}}'
    assert desk.http.post("/v1/outcomes", data=body).status_code == 422
    assert entries(desk) == []


def test_a_mean_is_kept_in_millionths(desk: Desk) -> None:
    desk.apply(desk.route, desk.file.replace("guardrails:", TOKENS))
    assert (
        post(desk, {"decision": desk.sign("digits-v2"), "metric": "tokens", "value": -12.5}).status_code
        == 202
    )
    assert list(entries(desk)[0].outcomes.value) == [-12_500_000]
