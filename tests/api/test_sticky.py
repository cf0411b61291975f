"""Explain over HTTP says when the arm of a unit comes from what a sticky run remembers, and kill and rollback end that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.store.ledger import member

if TYPE_CHECKING:
    from tests.api.conftest import Desk

WHO = {"actor": "ana", "reason": "because"}
FILE = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://127.0.0.1:9001"}, v2: {upstream: "http://127.0.0.1:9002"}}
default: v1
attributes: {country: header:x-country}
---
experiment: better
route: web
kind: ab
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
audience: [{attribute: country, op: in, values: [DE]}]
ramp: [50%]
sticky: true
"""


def explain(desk: Desk, country: str = "FR") -> Any:
    return desk.http.get(f"/v1/explain?route=web&unit=ana&attr.country={country}").get_json()


def remember(desk: Desk) -> None:
    """What a gateway does after it has enrolled the unit."""
    flag = desk.store.flag("web")
    assert flag is not None
    (running,) = flag.experiments
    assert isinstance(running.sticky, int)
    name: Any = member(desk.plane.digest(b"ana"))
    desk.client.zadd(desk.keys.sticky(running.run, running.sticky), {name: 1})


def test_explain_asks_the_store_and_kill_and_rollback_forget(desk: Desk) -> None:
    assert desk.apply(FILE).status_code == 200
    assert explain(desk)["reason"] == "not_in_audience"
    remember(desk)
    found = explain(desk)
    assert (found["reason"], found["analysed"]) == ("sticky", True)
    assert found["steps"][-2]["answer"] == "yes, run better.1 remembers its unit: it stays, and is analysed"
    for act in ("kill", "unkill"):
        assert desk.http.post(f"/v1/routes/web/{act}", json={**WHO, "arm": "v2"}).status_code == 200
        assert explain(desk)["reason"] == "not_in_audience"
    remember(desk)
    assert explain(desk)["reason"] == "sticky"
    revision = explain(desk)["revision"]
    answer = desk.http.post("/v1/routes/web/rollback", json={**WHO, "to": revision - 1})
    assert answer.status_code == 200, answer.get_json()
    assert explain(desk)["reason"] == "not_in_audience"


def test_applying_the_file_again_forgets_nobody(desk: Desk) -> None:
    desk.apply(FILE)
    remember(desk)
    desk.apply(FILE)
    desk.apply(FILE.replace("ramp: [50%]", "ramp: [10%, 50%]"))
    assert explain(desk)["reason"] == "sticky"
