"""Exposures by those who route themselves: computed here, written once, and outcomes by their decision ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.bucketing import bucket
from router.event_rows import ARM_MASK, BUCKET_BITS, BUCKET_MASK, EXPOSURE, FACTS_SHIFT
from router.events import Entry, decode
from router.store.flags import Change
from tests.api.test_ofrep import ROUTES

if TYPE_CHECKING:
    from tests.api.conftest import Desk


@pytest.fixture
def live(desk: Desk) -> Desk:
    assert desk.apply(ROUTES.replace("ramp: [50%]", "ramp: [25%, 50%]")).status_code == 200
    flag = desk.store.flag("model")
    assert flag is not None
    desk.store.commit(Change({}, flag.with_coverage("better.1", 500_000).with_revision(3)))
    return desk


def post(desk: Desk, body: object) -> tuple[int, Any]:
    answer = desk.http.post("/v1/exposures", json=body)
    return answer.status_code, answer.get_json()


def entries(desk: Desk) -> list[Entry]:
    rows: Any = desk.client.xrange(desk.keys.run("better.1").events)
    return [decode(fields) for _, fields in rows]


def test_enrolled_units_are_written_with_their_bucket_and_arm_and_nobody_else(live: Desk) -> None:
    units = [f"u{i}" for i in range(60)]
    begun = live.plane.now()
    status, answer = post(live, {"exposures": [{"route": "model", "unit": unit} for unit in units]})
    ended = live.plane.now()
    assert status == 202
    wanted = {}
    for unit in units:
        where = bucket("model:1#arm", unit)
        if where < 250_000 or 500_000 <= where < 750_000:
            wanted[live.plane.digest(unit.encode())] = (where, int(where < 500_000))
    written = {}
    for entry in entries(live):
        for digest, where in zip(entry.requests.unit, entry.requests.where, strict=True):
            assert where >> FACTS_SHIFT == EXPOSURE
            assert begun <= entry.base <= ended
            written[digest] = (where & BUCKET_MASK, where >> BUCKET_BITS & ARM_MASK)
    assert written == wanted
    assert answer["analysed"] == len(wanted)
    assert [row["analysed"] for row in answer["exposures"]] == [
        live.plane.digest(unit.encode()) in wanted for unit in units
    ]


def test_an_outcome_may_name_the_decision_that_came_back(live: Desk) -> None:
    unit = next(f"u{i}" for i in range(100) if bucket("model:1#arm", f"u{i}") < 250_000)
    _, answer = post(live, {"route": "model", "unit": unit, "arm": "v2"})
    decision = live.plane.signer.read(answer["exposures"][0]["decision"])
    assert (decision.run, decision.arm_index, decision.analysed, decision.revision) == (
        "better.1",
        1,
        True,
        3,
    )
    outcome = {"decision": answer["exposures"][0]["decision"], "metric": "corrected", "value": 1}
    assert live.http.post("/v1/outcomes", json=outcome).get_json()["accepted"] == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"route": "modle", "unit": "a"}, "did you mean 'model'?"),
        ({"route": "model", "unit": ""}, "exposures[0].unit"),
        ({"route": "model"}, "exposures[0].unit: expected this key"),
        ({"route": "model", "unit": "a", "when": 1}, "expected a known key, found 'when'"),
        ({"route": "banner", "unit": "a", "arm": "on"}, "the flag gives this unit off, on was served"),
    ],
)
def test_what_is_refused_says_why_and_leaves_the_others(
    live: Desk, document: dict[str, str], said: str
) -> None:
    status, answer = post(live, [document, {"route": "banner", "unit": "a"}])
    refused, taken = answer["exposures"]
    assert (status, answer["refused"]) == (202, 1)
    assert said in refused["error"]["message"]
    assert taken == {"route": "banner", "arm": "off", "reason": "no_experiment", "analysed": False}
    assert entries(live) == []
