"""OFREP: every answer and every refusal in the form that clients in the field need; asking leaves no trace."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from router.api.flag_book import FlagBook
from router.api.ofrep import REASONS
from router.api.plane import EXTENSION
from router.assignment import Reason
from router.bucketing import bucket
from router.store.flags import Change

if TYPE_CHECKING:
    from tests.api.conftest import Desk

ROUTES = """
route: banner
unit: {kind: person, from: [header:x-person]}
type: boolean
arms: {"off": {value: false}, "on": {value: true}}
default: "off"
attributes: {country: header:x-country}
rules: [{id: german, when: [{attribute: country, op: in, values: [DE]}], serve: "on"}]
---
route: limit
unit: {kind: person, from: [header:x-person]}
type: float
arms: {low: {value: 1}, high: {value: 2.5}}
default: low
---
route: model
unit: {kind: person, from: [header:x-person], on_missing: error}
arms: {v1: {}, v2: {}}
default: v1
---
experiment: better
route: model
kind: ab
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
ramp: [50%]
"""
PATH = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def asked(desk: Desk) -> FlaskClient:
    answer = desk.apply(ROUTES)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    flag = desk.store.flag("model")
    assert flag is not None
    desk.store.commit(Change({}, flag.with_coverage("better.1", 1_000_000).with_revision(3)))
    return desk.http


def ask(http: FlaskClient, key: str, **context: Any) -> tuple[int, Any]:
    answer = http.post(f"{PATH}/{key}", json={"context": context})
    assert answer.content_type == "application/json"
    return answer.status_code, answer.get_json()


def test_every_reason_has_a_word_of_the_protocol() -> None:
    assert set(REASONS) == set(Reason)
    assert set(REASONS.values()) <= {"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"}


@pytest.mark.parametrize(
    ("key", "context", "value", "variant", "reason"),
    [
        ("banner", {}, False, "off", "DEFAULT"),
        ("banner", {"country": "DE"}, True, "on", "TARGETING_MATCH"),
        ("banner", {"country": ["IT", "DE"]}, True, "on", "TARGETING_MATCH"),
        ("banner", {"country": {"name": "DE"}}, False, "off", "DEFAULT"),
        ("limit", {"targetingKey": "ana"}, 1.0, "low", "STATIC"),
    ],
)
def test_one_flag_for_one_context(
    asked: FlaskClient, key: str, context: dict[str, Any], value: object, variant: str, reason: str
) -> None:
    status, answer = ask(asked, key, **context)
    assert (status, answer["key"], answer["value"], answer["variant"], answer["reason"]) == (
        200,
        key,
        value,
        variant,
        reason,
    )
    assert all(isinstance(one, str | bool) for one in answer["metadata"].values())
    assert answer["metadata"]["version"] == "1"


def test_a_float_has_its_decimal_point(asked: FlaskClient) -> None:
    assert '"value": 1.0' in asked.post(f"{PATH}/limit", json={}).get_data(as_text=True)


def test_units_are_dealt_as_the_gateway_deals_them_and_a_whole_number_is_its_digits(
    asked: FlaskClient,
) -> None:
    for unit in [f"u{i}" for i in range(40)] + [7, 12345678901234567890]:
        _, answer = ask(asked, "model", targetingKey=unit)
        wanted = "v2" if bucket("model:1#arm", str(unit)) < 500_000 else "v1"
        assert (answer["value"], answer["reason"]) == (wanted, "SPLIT")
        assert answer["metadata"] == {
            "version": "3", "flagSetId": answer["metadata"]["flagSetId"], "contextId": str(unit), "why": "enrolled",
            "run": "better.1", "analysed": True,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("nope", b"{}", 404, "FLAG_NOT_FOUND"),
        ("model", b'{"context": {}}', 400, "TARGETING_KEY_MISSING"),
        ("model", b'{"context": {"targetingKey": ""}}', 400, "TARGETING_KEY_MISSING"),
        ("model", b'{"context": {"targetingKey": true}}', 400, "TARGETING_KEY_MISSING"),
        ("model", b'{"context": {"targetingKey": {}}}', 400, "TARGETING_KEY_MISSING"),
        ("model", b'{"context": []}', 400, "INVALID_CONTEXT"),
        ("model", b"[]", 400, "PARSE_ERROR"),
        ("model", b'{"context"', 400, "PARSE_ERROR"),
        ("model", b'{"context": {"a": NaN}}', 400, "PARSE_ERROR"),
    ],
)
def test_a_refusal_has_key_code_and_details(
    asked: FlaskClient, key: str, body: bytes, status: int, code: str
) -> None:
    answer = asked.post(f"{PATH}/{key}", data=body)
    document = answer.get_json()
    assert (answer.status_code, document["key"], document["errorCode"]) == (status, key, code)
    assert document["errorDetails"]


def test_a_flag_that_is_off_answers_with_its_default_value(asked: FlaskClient) -> None:
    asked.post("/v1/routes/banner/kill", json={"actor": "ana", "reason": "x"})
    desk_flags = ask(asked, "banner", country="DE")
    while desk_flags[1]["reason"] != "DISABLED":  # flags are a quarter of a second old at most
        desk_flags = ask(asked, "banner", country="DE")
    assert (desk_flags[1]["value"], desk_flags[1]["variant"]) == (False, "off")


def bulk(http: FlaskClient, context: dict[str, Any], tag: str | None = None) -> TestResponse:
    headers = {} if tag is None else {"If-None-Match": tag}
    return http.post(PATH, json={"context": context}, headers=headers)


def test_all_flags_come_sorted_and_one_without_its_unit_does_not_spoil_the_others(asked: FlaskClient) -> None:
    rows = bulk(asked, {"country": "DE"}).get_json()["flags"]
    assert [row["key"] for row in rows] == ["banner", "limit", "model"]
    assert rows[0]["value"] is True
    assert rows[2]["errorCode"] == "TARGETING_KEY_MISSING"
    assert asked.post(PATH + "/", json={}).status_code == 200


def test_a_flag_that_cannot_be_read_spoils_no_other(desk: Desk, asked: FlaskClient) -> None:
    assert len(bulk(asked, {"targetingKey": "ana"}).get_json()["flags"]) == 3
    desk.client.hset(desk.keys.flags, "limit", "no flag")
    change: Any = desk.client.hincrby(desk.keys.meta, "changes", 1)
    desk.client.zadd(desk.keys.changes, {"limit": change})
    for fresh in (False, True):
        if fresh:  # as a process that starts now
            desk.app.extensions[EXTENSION] = replace(desk.plane, flags=FlagBook(desk.store))
        desk.plane.flags._read_at = float("-inf")
        rows = bulk(asked, {"targetingKey": f"ana {fresh}"}).get_json()["flags"]
        good = ["banner", "model"] if fresh else ["banner", "limit", "model"]  # its last good version stays
        assert [row["key"] for row in rows if "value" in row] == good


def test_the_tag_covers_the_whole_context(asked: FlaskClient) -> None:
    first = bulk(asked, {"targetingKey": "ana", "country": "DE"})
    tag = first.headers["ETag"]
    bare = tag.strip('"')
    for given in (tag, f"W/{tag}", bare, f'"other", {tag}', "*"):
        again = bulk(asked, {"targetingKey": "ana", "country": "DE"}, given)
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", tag)
    other = bulk(asked, {"targetingKey": "ana", "country": "IT"}, tag)
    assert other.status_code == 200
    assert other.headers["ETag"] != tag
    assert (first.headers["Cache-Control"], first.headers["Vary"]) == ("private, no-cache", "Authorization")


def test_asking_is_no_exposure(desk: Desk, asked: FlaskClient) -> None:
    rows = [bulk(asked, {"targetingKey": f"u{unit}"}).get_json()["flags"][2] for unit in range(20)]
    assert all(row["metadata"]["analysed"] for row in rows)  # each of them would be one
    assert desk.client.xlen(desk.keys.run("better.1").events) == 0


@pytest.mark.parametrize(("name", "value"), [("Authorization", "Bearer t0ken"), ("X-API-Key", "t0ken")])
def test_a_token_is_taken_in_both_ways_of_the_protocol(
    settings_with_token: Any, desk_of: Any, name: str, value: str
) -> None:
    http = desk_of(settings_with_token).http
    assert http.post(PATH, json={}).status_code == 401
    assert http.post(PATH, json={}, headers={name: value}).status_code == 200
    assert http.post("/v1/apply", json={}, headers={"X-API-Key": "t0ken"}).status_code == 401


@pytest.fixture
def settings_with_token(settings: Any) -> Any:
    from dataclasses import replace

    return replace(settings, token="t0ken")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{value: false}", "{value: maybe}", "arms.off.value: expected true or false, yes or no, found 'maybe'"),
        ("{value: 2.5}", "{value: NaN}", "arms.high.value: expected a number such as '0.5', found 'NaN'"),
        ("{value: 2.5}", "{}", "arms.high: expected a value, since the type is float, found none"),
        ("arms: {v1: {}, v2: {}}", 'arms: {v1: {}, v2: {upstream: "http://h:1"}}', "arms.v1: expected an upstream, as the other arms have"),
        ("arms: {v1: {}, v2: {}}", "match: {path: /x}\narms: {v1: {}, v2: {}}", "match: expected no match on a route whose arms have no upstream"),
    ],
)  # fmt: skip
def test_values_and_upstreams_that_do_not_fit_are_refused(desk: Desk, old: str, new: str, said: str) -> None:
    answer = desk.apply(ROUTES.replace(old, new))
    assert answer.status_code == 422
    assert said in json.loads(answer.get_data())["error"]["message"]
