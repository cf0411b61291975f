"""Flags whose values are objects: written as mappings, answered as JSON, read by a real client, and refused where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from router.arm import LARGEST_OBJECT
from router.flag import Flag
from tests.api.served import served

if TYPE_CHECKING:
    from tests.api.conftest import Desk

PATH = "/ofrep/v1/evaluate/flags"
ROUTE = """
route: model
unit: {kind: person, from: [header:x-person]}
type: object
arms:
  old: {value: {model: fraud, version: '"7"', limits: {most: 5, share: 0.25}, tags: [a, true, null]}}
  new: {value: {model: fraud, version: 8, odd: NaN, far: 1e999}}
  bare: {value: {}}
default: old
units: {new: [ana], bare: [ben]}
"""
VALUES: dict[str, Any] = {
    "cy": {"model": "fraud", "version": "7", "limits": {"most": 5, "share": 0.25}, "tags": ["a", True, None]},
    "ana": {"model": "fraud", "version": 8, "odd": "NaN", "far": "1e999"},  # JSON has no such numbers
    "ben": {},
}


@pytest.fixture
def asked(desk: Desk) -> Desk:
    answer = desk.apply(ROUTE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return desk


@pytest.mark.parametrize("unit", VALUES)
def test_single_and_bulk_answer_with_the_object(asked: Desk, unit: str) -> None:
    body = {"context": {"targetingKey": unit}}
    one = asked.http.post(f"{PATH}/model", json=body).get_json()
    assert one["value"] == VALUES[unit]
    assert asked.http.post(PATH, json=body).get_json()["flags"] == [one]


def test_a_real_client_reads_it_and_sees_another_type_for_what_it_is(asked: Desk) -> None:
    with served(asked.app) as address:
        api.set_provider(OFREPProvider(address))
        client = api.get_client()
        for unit, value in VALUES.items():
            found = client.get_object_details("model", {"mine": True}, EvaluationContext(unit))
            assert (found.value, found.error_code) == (value, None)
        text = client.get_string_details("model", "mine", EvaluationContext("ana"))
        assert (text.value, text.error_code) == ("mine", ErrorCode.TYPE_MISMATCH)


def test_the_stored_flag_and_the_exported_file_say_the_same(asked: Desk) -> None:
    flag = asked.store.flag("model")
    assert flag is not None
    assert Flag.parse(flag.encode()) == flag
    assert flag.arm("old").value == VALUES["cy"]
    assert asked.apply(ROUTE).get_json()["empty"]
    assert asked.apply(asked.http.get("/v1/export").get_json()["text"]).get_json()["empty"]
    order = ROUTE.replace("{model: fraud, version: 8, odd: NaN,", "{version: 8, odd: NaN, model: fraud,")
    asked.apply(order)
    again = asked.store.flag("model")
    assert again is not None
    assert again.arm("new").identity == flag.arm("new").identity  # the same object in another order


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{value: {}}", "{value: text}", "arms.bare.value: expected a mapping, since the type is object, found 'text'"),
        ("{value: {}}", "{value: [a]}", "arms.bare.value"),
        ("{value: {}}", "{}", "arms.bare: expected a value, since the type is object, found none"),
        ("{value: {}}", "{value: {long: " + "x" * LARGEST_OBJECT + "}}", "expected a mapping of at most 16,384 octets of JSON"),
        ("type: object", "type: string", "arms.old.value: expected a text"),
        ("type: object", "type: boolean", "arms.old.value: expected true or false"),
        ("type: object", "type: integer", "arms.old.value: expected a whole number"),
        ("type: object", "type: float", "arms.old.value: expected a number"),
        ("type: object", "type: objekt", "route"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(desk: Desk, old: str, new: str, said: str) -> None:
    answer = desk.apply(ROUTE.replace(old, new))
    assert answer.status_code == 422
    message = answer.get_json()["error"]["message"]
    assert said in message
    assert len(message) < 1_000
