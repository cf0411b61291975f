"""Flags as they stand, over HTTP and from the command line: explained, simulated, killed, forced; layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from router.bucketing import bucket
from router.cli import pointsman
from router.flag import Flag
from tests.api.served import served

if TYPE_CHECKING:
    from tests.api.conftest import Desk

WHO = {"actor": "ana", "reason": "because"}
ROUTE = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://127.0.0.1:9001"}, v2: {upstream: "http://127.0.0.1:9002"}, v3: {upstream: "http://127.0.0.1:9003"}}
default: v1
attributes: {country: header:x-country, groups: header-list:x-groups}
rules: [{id: staff, when: [{attribute: groups, op: in, values: [staff]}], serve: v3}]
requires: [{route: pool, arms: [on]}]
---
route: pool
unit: {kind: person, from: [header:x-person]}
arms: {"on": {upstream: "http://127.0.0.1:9001"}}
default: "on"
---
layer: search
unit: person
---
experiment: better
route: web
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
audience: [{attribute: country, op: in, values: [DE]}]
layer: search
layer_share: 50%
ramp: [10%]
"""


@pytest.fixture
def flags(desk: Desk) -> Desk:
    answer = desk.apply(ROUTE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return desk


def live(desk: Desk) -> Flag:
    flag = desk.store.flag("web")
    assert flag is not None
    return flag


def post(desk: Desk, path: str, **body: Any) -> tuple[int, Any]:
    answer = desk.http.post(f"/v1/routes/{path}", json=body)
    return answer.status_code, answer.get_json()


def explain(desk: Desk, query: str) -> Any:
    return desk.http.get(f"/v1/explain?route=web&{query}").get_json()


def test_explain_states_attributes_and_asks_prerequisites(flags: Desk) -> None:
    staff = explain(flags, "unit=ana&attr.groups=guest&attr.groups=staff")
    assert (staff["arm"], staff["reason"], staff["rule"], staff["analysed"]) == ("v3", "rule", "staff", False)
    assert staff["steps"][1]["question"] == "does pool give on?"
    german = explain(flags, "unit=ana&attr.country=DE")
    hashed = {step["question"]: step for step in german["steps"] if step["hash"] is not None}
    layer = hashed["does better own its part of layer search?"]
    assert (layer["bucket"], layer["range"]) == (bucket("layer:search:1", "ana"), "[0, 500000)")
    assert explain(flags, "unit=ana&attr.country=FR")["reason"] == "not_in_audience"


def test_an_attribute_that_nobody_declared_is_an_error_with_the_nearest(flags: Desk) -> None:
    problem = explain(flags, "unit=ana&attr.contry=DE")["error"]["problems"][0]
    assert (problem["path"], problem["hint"]) == ("attributes.contry", "did you mean 'country'?")


def test_a_list_of_units_is_dealt_without_a_trace(flags: Desk) -> None:
    units = [f"u{i}" for i in range(1_000)]
    before = live(flags).revision
    status, answer = post(flags, "web/simulate", units=units, attributes={"country": "DE"})
    assert (status, answer["units"], answer["arms"]) == (200, 1_000, {"v1": {"n": 1_000, "ppm": 1_000_000}})
    owned = sum(bucket("layer:search:1", unit) < 500_000 for unit in units)
    assert answer["reasons"]["not_enrolled"]["n"] == owned
    assert answer["reasons"]["not_in_layer"]["n"] == 1_000 - owned
    assert live(flags).revision == before
    assert post(flags, "web/simulate", units=[])[0] == 422


def test_a_kill_switch_is_a_revision_with_its_reason_and_is_taken_back(flags: Desk) -> None:
    before = live(flags)
    assert post(flags, "web/kill", arm="v2", **WHO) == (
        200,
        {"route": "web", "revision": before.revision + 1, "kill": False, "killed": ["v2"]},
    )
    assert post(flags, "web/kill", arm="v2", **WHO)[1]["revision"] == before.revision + 1  # nothing to do
    assert post(flags, "web/kill", **WHO)[1]["kill"] is True
    assert explain(flags, "unit=ana&attr.groups=staff")["reason"] == "killed"
    entries = flags.http.get("/v1/audit?route=web&count=2").get_json()["entries"]
    assert [(entry["action"], entry["actor"], entry["reason"]) for entry in entries] == [
        ("kill", "ana", "because")
    ] * 2
    post(flags, "web/unkill", **WHO)
    post(flags, "web/unkill", arm="v2", **WHO)
    assert live(flags) == before.with_revision(before.revision + 4)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("web/kill", {"arm": "v9", **WHO}, 404, "no arm of web named 'v9'"),
        ("web/kill", {"arm": "v1", **WHO}, 422, "make another arm the default first, or kill the whole flag"),
        ("web/kill", {"actor": "ana", "reason": ""}, 422, "reason"),
        ("wep/kill", WHO, 404, "did you mean 'web'?"),
        ("web/kil", WHO, 404, "did you mean 'kill'?"),
        ("web/force", {"arm": "v2", "time": "8 d", **WHO}, 422, "at most 7 d"),
        ("web/force", {"arm": "v2", "time": "soon", **WHO}, 422, "a time such as"),
        ("web/force", {"arm": "v9", **WHO}, 404, "no arm of web"),
    ],
)
def test_a_switch_that_cannot_be_thrown_says_why(
    flags: Desk, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    before = live(flags)
    found, answer = post(flags, path, **body)
    assert (found, said in answer["error"]["message"]) == (status, True)
    assert live(flags) == before


def test_a_forced_arm_is_a_word_that_gateways_know(flags: Desk) -> None:
    status, answer = post(flags, "web/force", arm="v2", time="5 min", **WHO)
    now = flags.plane.now()
    assert status == 200
    assert flags.plane.forcing.read(answer["value"], "web", now) == "v2"
    assert flags.plane.forcing.read(answer["value"], "web", answer["until"]) is None
    assert abs(answer["until"] - now - 300_000) < 60_000
    assert flags.http.get("/v1/audit?route=web").get_json()["entries"][0]["action"] == "force"


def test_layers_show_owners_what_is_free_and_who_meets_whom(flags: Desk) -> None:
    answer = flags.http.get("/v1/layers").get_json()
    (row,) = answer["layers"]
    assert (row["layer"], row["unit"], row["free"]) == ("search", "person", [[500_000, 1_000_000]])
    assert row["taken"] == [{"range": [0, 500_000], "run": "better.1", "rests_until": None}]
    assert answer["overlaps"] == []
    flags.http.post("/v1/experiments/better/rollback", json=WHO)
    (row,) = flags.http.get("/v1/layers").get_json()["layers"]
    rests = row["taken"][0]["rests_until"]
    assert 0 < rests - flags.plane.now() <= 7 * 86_400_000


@pytest.fixture
def address(flags: Desk) -> Iterator[str]:
    with served(flags.app) as address:
        yield address


def said(address: str, *words: str, given: str = "") -> str:
    result = CliRunner().invoke(pointsman, [*words, "--api", address], input=given)
    assert result.exception is None, result.output
    return result.output


def test_the_commands_say_the_same(flags: Desk, address: str, tmp_path: Path) -> None:
    assert "unit 'ana' gets arm v3 (rule)" in said(
        address, "explain", "--unit", "ana", "--route", "web", "-a", "groups=staff"
    )
    assert "killed now: v2" in said(address, "kill", "web", "--arm", "v2", "--reason", "x")
    assert live(flags).killed == ("v2",)
    assert "killed now: nothing" in said(address, "unkill", "web", "--arm", "v2", "--reason", "x")
    word = said(address, "force", "web", "v2", "--for", "1 min").removeprefix("Pointsman-Force: ").strip()
    assert flags.plane.forcing.read(word, "web", flags.plane.now()) == "v2"
    layers = said(address, "layers")
    assert "[0, 500000)" in layers
    assert "free" in layers
    dealt = said(address, "simulate-assignment", "web", "-a", "groups=staff", "--json", given="ana\nben\n")
    assert json.loads(dealt)["arms"] == {"v3": {"n": 2, "ppm": 1_000_000}}
    file = tmp_path / "units.txt"
    file.write_text("ana\n")
    assert "v3" in said(address, "simulate-assignment", "web", "--units", str(file), "-a", "groups=staff")


def test_an_earlier_revision_comes_back_as_a_new_one(flags: Desk) -> None:
    route = ROUTE.partition("---")[0]
    flags.http.post("/v1/experiments/better/rollback", json=WHO)
    first = live(flags)
    flags.apply(route.replace("9001", "9011"))
    post(flags, "web/kill", arm="v3", **WHO)
    changed = live(flags)
    status, answer = post(flags, "web/rollback", to=first.revision, **WHO)
    assert (status, answer["revision"], answer["restored"]) == (200, changed.revision + 1, first.revision)
    assert live(flags).arms == first.arms
    assert live(flags).killed == ("v3",)  # a switch that was thrown since stays
    rows = flags.http.get("/v1/routes/web/revisions").get_json()["revisions"]
    assert [row["revision"] for row in rows] == list(range(changed.revision + 1, 0, -1))
    assert rows[0]["digest"] == live(flags).digest()
    assert post(flags, "web/rollback", to=99, **WHO)[0] == 404


def test_a_revision_that_would_disturb_a_run_stays_where_it_is(flags: Desk) -> None:
    before = live(flags)
    status, answer = post(flags, "web/rollback", to=1, **WHO)
    assert status == 200  # as it was before the experiment: nothing that the run compares
    assert live(flags).experiments == before.experiments
    flags.http.post("/v1/experiments/better/rollback", json=WHO)
    flags.apply(ROUTE.partition("---")[0].replace("9002", "9012"))
    flags.apply(ROUTE.rpartition("---")[2].replace("v2\n", "v2\nattempt: 2\n", 1))
    status, answer = post(flags, "web/rollback", to=1, **WHO)
    assert status == 422
    assert "arms.v2: expected what run better.2 compares" in answer["error"]["message"]


def test_fifty_revisions_are_kept(flags: Desk) -> None:
    for _ in range(30):
        post(flags, "web/kill", **WHO)
        post(flags, "web/unkill", **WHO)
    kept = flags.store.revisions("web")
    assert (len(kept), max(kept)) == (50, live(flags).revision)
    assert flags.client.hlen(flags.keys.kept) == 50 + len(flags.store.revisions("pool"))


def test_what_is_exported_is_taken_back_unchanged_and_starts_an_empty_store_alike(
    flags: Desk, desk_of: Callable[..., Desk]
) -> None:
    flags.http.post("/v1/experiments/better/promote", json=WHO)
    flags.apply(
        ROUTE.rpartition("---")[2]
        .replace("better\n", "next\n", 1)
        .replace("control: v1", "control: v2")
        .replace("treatment: v2", "treatment: v3")
    )
    text = flags.http.get("/v1/export").get_json()["text"]
    before = live(flags)
    answer = flags.apply(text).get_json()
    assert (answer["empty"], live(flags)) == (True, before), answer["text"]
    assert "experiment: next" in text
    assert "experiment: better" not in text
    other = desk_of(replace(flags.settings, prefix=flags.settings.prefix + "other:"))
    assert other.apply(text).status_code == 200
    again = live(other)
    assert (again.default, again.rules, again.arms) == ("v2", before.rules, before.arms)
    assert [one.experiment for one in again.experiments] == ["next"]
