"""PUT of one document: planned, held to the revision it was made on, refused with both revisions and the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import TestResponse

from router.flag import Flag
from router.store.flags import Change, FlagStore

if TYPE_CHECKING:
    from tests.api.conftest import Desk

ROUTE, EXPERIMENT = "/v1/routes/digits-web", "/v1/experiments/digits-v2"


def put(desk: Desk, path: str, text: str, query: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return desk.http.put(f"{path}?actor=ana&reason=a+test{query}", data=text, headers=named)


def told(answer: TestResponse) -> Any:
    return answer.json


def act(desk: Desk, path: str, **more: Any) -> None:
    body = {"actor": "ben", "reason": "the answers are wrong", **more}
    assert desk.http.post(path, json=body).status_code == 200


def planned(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    (change,) = told(answer)["changes"]
    return dict(change)


def test_what_is_read_can_be_put_back_and_changes_nothing(started: Desk) -> None:
    for path in (ROUTE, EXPERIMENT):
        read = started.http.get(path)
        answer = put(started, path, told(read)["document"], If_Match=read.headers["ETag"])
        assert planned(answer)["action"] == "nothing"
        assert answer.headers["ETag"] == read.headers["ETag"] == '"2"'


def test_a_dry_run_shows_what_moves_and_changes_nothing(started: Desk) -> None:
    text = started.route.replace("http://127.0.0.1:9002", "http://127.0.0.1:9009")
    answer = put(started, ROUTE, text, "&dry_run=1", If_Match='"2"')
    assert [change["action"] for change in told(answer)["changes"]] == ["change", "restart"]
    assert (told(answer)["safe"], told(answer)["applied"]) == (False, False)
    assert told(answer)["changes"][1]["discards"] == [
        "run digits-v2.1 is superseded; 0 units of evidence are discarded (no metric yet)"
    ]
    assert answer.headers["ETag"] == '"2"'
    assert started.run("digits-v2")["run"] == "digits-v2.1"


@pytest.mark.parametrize("dry", ["", "&dry_run=1"])
@pytest.mark.parametrize("path", [ROUTE, EXPERIMENT])
def test_a_document_made_on_an_old_revision_is_412_with_both_and_the_difference(
    path: str, dry: str, started: Desk
) -> None:
    act(started, f"{ROUTE}/kill")
    text = started.route if path == ROUTE else started.file
    answer = put(started, path, text, dry, If_Match='"2"')
    error = told(answer)["error"]
    assert (answer.status_code, error["expected"], error["found"]) == (412, 2, 3)
    assert error["difference"] == "kill: False -> True\nrevision: 2 -> 3"


def test_two_who_change_one_experiment_never_overwrite_each_other(started: Desk) -> None:
    tag = started.http.get(EXPERIMENT).headers["ETag"]
    ramp, late = (
        started.file.replace("traffic: 5%", "traffic: 10%"),
        started.file + "\nat_deadline: rollback\n",
    )
    assert planned(put(started, EXPERIMENT, ramp, If_Match=tag))["action"] == "change"
    assert put(started, EXPERIMENT, late, If_Match=tag).status_code == 412
    assert started.run("digits-v2")["spec"]["at_deadline"] == "hold"


def test_a_state_that_moves_meanwhile_is_409_with_both_and_the_difference(
    started: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = FlagStore.commit
    raced: list[Flag] = []

    def meanwhile(store: FlagStore, change: Change) -> None:
        if not raced:
            flag = store.flag("digits-web")
            assert flag is not None
            raced.append(flag)
            commit(
                store,
                Change({"actor": "ben"}, flag.with_kill(None, on=True).with_revision(flag.revision + 1)),
            )
        commit(store, change)

    monkeypatch.setattr(FlagStore, "commit", meanwhile)
    answer = put(started, ROUTE, started.route + "\nexpose: id\n", If_Match='"2"')
    error = told(answer)["error"]
    assert (answer.status_code, error["expected"], error["found"]) == (409, 2, 3)
    assert "kill: True -> False" in error["difference"]


def test_a_route_is_made_only_where_none_is_or_changed_only_where_one_is(desk: Desk) -> None:
    assert put(desk, ROUTE, desk.route, If_Match="*").status_code == 412
    assert put(desk, ROUTE, desk.route, If_None_Match="*").status_code == 200
    assert put(desk, ROUTE, desk.route, If_None_Match="*").status_code == 412
    assert put(desk, ROUTE, desk.route, If_Match="*").status_code == 200
    assert put(desk, ROUTE, desk.route, If_Match='W/"9", "1"').status_code == 200


@pytest.mark.parametrize(
    ("text", "tag", "said"),
    [
        ("route: other\n", '"1"', "one document that begins with 'route: digits-web', found 'other'"),
        ("", '"1"', "found none"),
        ("a: [", '"1"', "expected YAML"),
        ("{route}---\n{route}", '"1"', "one document"),
        ("{route}", '"abc"', "If-Match: expected the revision of the route"),
        ("{route}defualt: v1\n", '"1"', "did you mean 'default'?"),
    ],
)
def test_what_cannot_be_put_is_refused_with_its_place(text: str, tag: str, said: str, desk: Desk) -> None:
    assert put(desk, ROUTE, desk.route).status_code == 200
    answer = put(desk, ROUTE, text.replace("{route}", desk.route), If_Match=tag)
    assert answer.status_code == 422
    assert said in told(answer)["error"]["message"]


def test_what_is_taken_away_is_spelled_out_before_everything_else(started: Desk) -> None:
    lines = "attributes: {plan: header:x-plan}\nunits: {v3: [qa]}\nrules: [{id: gold, when: [{attribute: plan, op: eq, values: gold}], serve: v3}]\n"
    assert put(started, ROUTE, started.route + lines).status_code == 200
    answer = put(started, ROUTE, started.route, "&dry_run=1")
    removed = [f"- {what} of route digits-web is removed" for what in ("rule gold", "unit list v3", "attribute plan")]  # fmt: skip
    discarded = "- run digits-v2.2 is superseded; 0 units of evidence are discarded (no metric yet)"
    assert told(answer)["text"].split("\n")[:4] == [*removed, discarded]
    assert told(answer)["text"].split("\n")[4] == "~ route digits-web: change"


def test_drift_is_shown_with_who_made_it_and_stays(started: Desk) -> None:
    act(started, f"{ROUTE}/kill", arm="v3")
    act(started, "/v1/experiments/digits-v2/promote")
    change = planned(put(started, ROUTE, started.route, "&dry_run=1"))
    assert change["action"] == "nothing"
    by_whom = " by ben at "
    default, patch, killed = change["drift"]
    assert default.startswith(f"file behind: default v1, live v2, promote{by_whom}")
    assert default.endswith("the answers are wrong")
    assert patch == "patch: -default: v1  +default: v2"
    assert killed.startswith(f"file behind: killed none, live v3, kill{by_whom}")
    assert put(started, ROUTE, started.route + "expose: id\n").status_code == 200
    flag = started.store.flag("digits-web")
    assert flag is not None and (flag.default, flag.killed, flag.expose) == ("v2", ("v3",), "id")


def test_a_field_that_was_rolled_back_stays_until_its_own_line_in_the_file_changes(started: Desk) -> None:
    act(started, "/v1/experiments/digits-v2/rollback")
    assert put(started, ROUTE, started.route + "total_timeout: 9 s\n").status_code == 200
    act(started, f"{ROUTE}/rollback", to=3)
    change = planned(put(started, ROUTE, started.route + "total_timeout: 9 s\nexpose: id\n"))
    assert change["drift"][0].startswith(
        "file behind: total_timeout_ms 9000, live None, rollback-flag by ben"
    )
    flag = started.store.flag("digits-web")
    assert flag is not None and (flag.total_timeout_ms, flag.expose) == (None, "id")
    assert put(started, ROUTE, started.route + "total_timeout: 8 s\nexpose: id\n").status_code == 200
    flag = started.store.flag("digits-web")
    assert flag is not None and flag.total_timeout_ms == 8000
