"""POST /v1/apply: the plan is shown, done by compare-and-set, and done once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.flag import Flag
from router.store.flags import Change, FlagStore

if TYPE_CHECKING:
    from tests.api.conftest import Desk


def test_files_become_a_flag_a_run_and_audit_entries(desk: Desk) -> None:
    answer = desk.apply(desk.route, desk.file).json
    assert [(c["kind"], c["name"], c["action"]) for c in answer["changes"]] == [
        ("route", "digits-web", "create"),
        ("experiment", "digits-v2", "start"),
    ]
    assert (answer["applied"], answer["revisions"]) == (True, {"digits-web": 2})
    assert "+ experiment digits-v2: start" in answer["text"]
    assert desk.run("digits-v2")["state"] == "held"
    entries = desk.http.get("/v1/experiments/digits-v2/history").get_json()["entries"]
    assert [(e["actor"], e["action"], e["reason"], e["revision"]) for e in entries] == [
        ("ana", "start", "a test", 2)
    ]
    assert entries[0]["old"]["revision"] == 1
    assert entries[0]["new"]["experiments"][0]["run"] == "digits-v2.1"


def test_a_dry_run_shows_the_same_plan_and_changes_nothing(desk: Desk) -> None:
    files = [{"name": "a.yaml", "text": desk.route + "---\n" + desk.file}]
    answer = desk.http.post("/v1/apply?dry_run=1", json={"files": files}).get_json()
    assert answer["applied"] is False
    assert len(answer["changes"]) == 2
    assert desk.http.get("/v1/routes").get_json()["routes"] == []


def test_applying_twice_is_a_no_op(started: Desk) -> None:
    before = started.store.live()
    answer = started.apply(started.route, started.file).json
    assert (answer["applied"], answer["empty"], answer["revisions"]) == (False, True, {})
    after = started.store.live()
    assert (after.flags, after.runs, after.files) == (before.flags, before.runs, before.files)


def test_a_live_run_may_get_another_ramp_while_the_controller_writes_it(started: Desk) -> None:
    changed = started.file.replace("traffic: 5%", "traffic: 10%")
    assert started.apply(changed).json["changes"][0]["action"] == "change"
    assert [step["traffic"] for step in started.run("digits-v2")["spec"]["ramp"]] == [
        10_000,
        100_000,
        250_000,
    ]


def test_another_treatment_supersedes_the_run_and_says_what_is_discarded(started: Desk) -> None:
    answer = started.apply(started.file.replace("treatment: v2", "treatment: v3"))
    assert answer.status_code == 200, answer.json
    assert answer.json["changes"][0]["action"] == "restart"
    assert "superseded" in answer.json["text"]
    assert started.run("digits-v2")["run"] == "digits-v2.2"
    runs = started.store.runs()
    assert runs["digits-v2.1"]["state"] == "superseded"
    actions = [
        e["action"] for e in started.http.get("/v1/experiments/digits-v2/history").get_json()["entries"]
    ]
    assert actions == ["restart", "supersede", "start"]


def test_all_problems_of_all_files_come_at_once_with_their_places(desk: Desk) -> None:
    answer = desk.apply(
        desk.route.replace("default", "defualt"), desk.file.replace("kind: canary", "kind: canari"), "a: ["
    )
    assert answer.status_code == 422
    problems = answer.json["error"]["problems"]
    assert [problem["file"] for problem in problems] == ["file2.yaml"]
    answer = desk.apply(
        desk.route.replace("default", "defualt"), desk.file.replace("kind: canary", "kind: canari")
    )
    files = {problem["file"] for problem in answer.json["error"]["problems"]}
    assert files == {"file0.yaml", "file1.yaml"}
    assert all(problem["line"] for problem in answer.json["error"]["problems"])
    assert "did you mean 'default'?" in answer.json["error"]["message"]


def test_who_expects_an_old_revision_gets_412_with_both_and_the_difference(started: Desk) -> None:
    def moved(flag: Flag) -> Flag:
        return flag.with_default("v3").with_revision(flag.revision + 1)

    flag = started.store.flag("digits-web")
    assert flag is not None
    started.store.commit(Change({"actor": "ben", "action": "change"}, flag=moved(flag)))
    answer = started.apply(started.route, expected={"digits-web": flag.revision})
    error = answer.json["error"]
    assert (answer.status_code, error["expected"], error["found"]) == (412, flag.revision, flag.revision + 1)
    assert error["difference"] == "default: 'v1' -> 'v3'\nrevision: 2 -> 3"
    assert started.apply(started.route, expected={"digits-web": flag.revision + 1}).status_code == 200


def test_of_two_who_apply_at_once_the_second_gets_both_revisions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = FlagStore.commit
    raced: list[Flag] = []

    def meanwhile(store: FlagStore, change: Change) -> None:
        if change.run is not None and not raced:
            flag = store.flag("digits-web")
            assert flag is not None
            raced.append(flag)
            commit(
                store, Change({"actor": "ben"}, flag=flag.with_default("v3").with_revision(flag.revision + 1))
            )
        commit(store, change)

    monkeypatch.setattr(FlagStore, "commit", meanwhile)
    answer = desk.apply(desk.route, desk.file)
    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["expected"], error["found"]) == (409, "stale", 1, 2)
    assert "default: 'v3' -> 'v1'" in error["difference"]
    assert "written before that: route digits-web" in error["difference"]
    flag = desk.store.flag("digits-web")
    assert flag is not None
    assert (flag.default, flag.experiments) == ("v3", ())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "files: expected this key"),
        ({"files": [{"name": "a"}]}, "files[0].text: expected this key"),
        ({"files": [], "actr": "x"}, "did you mean 'actor'?"),
        ({"files": "x"}, "files: expected a valid list"),
        ([], "body: expected"),
    ],
)
def test_a_bad_body_is_refused_with_its_path(desk: Desk, body: Any, text: str) -> None:
    answer = desk.http.post("/v1/apply", json=body)
    assert answer.status_code == 422
    assert text in answer.get_json()["error"]["message"]
