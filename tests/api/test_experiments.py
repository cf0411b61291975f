"""Reading and steering experiments, explaining assignments, and who is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.store.flags import Change, FlagStore

if TYPE_CHECKING:
    from tests.api.conftest import Desk

WHO = {"actor": "ana", "reason": "because"}


def get(desk: Desk, path: str) -> Any:
    answer = desk.http.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def test_the_list_has_a_line_for_each_experiment(told: Desk) -> None:
    rows = {row["experiment"]: row for row in get(told, "/v1/experiments")["experiments"]}
    assert {name: (row["state"], row["verdict"], row["share"]) for name, row in rows.items()} == {
        "digits-v2": ("promoted", "better", 1_000_000),
        "digits-v3": ("rolled_back", "worse", 0),
        "digits-aa": ("running", "inconclusive", 500_000),
    }


def test_an_experiment_has_run_flag_headline_and_sentence(told: Desk) -> None:
    answer = get(told, "/v1/experiments/digits-v2")
    assert (answer["headline"], answer["run"]["state"], answer["flag"]["default"]) == (
        "PROMOTED",
        "promoted",
        "v2",
    )
    assert "PROMOTED from 25 %" in answer["sentence"]
    assert answer["next"].startswith("v2 serves everyone")


def test_a_verdict_carries_its_evidence(told: Desk) -> None:
    answer = get(told, "/v1/experiments/digits-v3/verdict")
    assert (answer["state"], answer["verdict"], answer["decision"]["action"]) == (
        "rolled_back",
        "worse",
        "rollback",
    )
    assert answer["evidence"]["metrics"]["corrected"]["state"] == "harmful"


def test_unknown_names_are_404_with_the_nearest_known(told: Desk) -> None:
    for path, near in (("/v1/experiments/digits-v4", "digits-v"), ("/v1/routes/digits-wep", "digits-web")):
        answer = told.http.get(path)
        assert answer.status_code == 404
        assert f"did you mean '{near}" in answer.get_json()["error"]["message"]
    assert told.http.get("/v1/nothing").get_json()["error"]["code"] == "not_found"
    assert told.http.put("/v1/apply").get_json()["error"]["code"] == "method_not_allowed"


def test_promote_makes_the_treatment_the_default_in_one_write(started: Desk) -> None:
    answer = started.http.post("/v1/experiments/digits-v2/promote", json=WHO)
    assert (answer.status_code, answer.get_json()["state"]) == (200, "promoted")
    flag = started.store.flag("digits-web")
    assert flag is not None
    assert (flag.default, flag.experiments, flag.revision) == ("v2", (), 3)
    entry = get(started, "/v1/experiments/digits-v2/history")["entries"][0]
    assert (entry["actor"], entry["action"], entry["reason"], entry["revision"]) == (
        "ana",
        "promote",
        "because",
        3,
    )
    assert (entry["old"]["default"], entry["new"]["default"]) == ("v1", "v2")
    assert get(started, "/v1/status")["behind"] == ["route digits-web: default v1 in the file, v2 live"]
    started.http.post("/v1/experiments/digits-v2/rollback", json=WHO)
    flag = started.store.flag("digits-web")
    assert flag is not None
    assert flag.default == "v1"


def test_pause_and_resume_move_no_flag_and_illegal_acts_are_409(started: Desk) -> None:
    act = "/v1/experiments/digits-v2/{}".format
    assert started.http.post(act("pause"), json=WHO).status_code == 200
    assert get(started, "/v1/experiments/digits-v2")["headline"] == "PAUSED"
    again = started.http.post(act("pause"), json=WHO)
    assert (again.status_code, again.get_json()["error"]["code"]) == (409, "illegal_move")
    assert started.http.post(act("resume"), json=WHO).status_code == 200
    assert started.http.post(act("rollback"), json=WHO).status_code == 200
    assert started.http.post(act("promote"), json=WHO).status_code == 409
    assert started.http.post(act("explode"), json=WHO).status_code == 404


def test_a_run_that_its_deadline_holds_is_offered_to_be_resumed(started: Desk) -> None:
    run = started.run("digits-v2")
    held = {**run, "reason": "deadline passed", "version": run["version"] + 1}
    started.store.commit(Change({}, run=held))
    assert "resume" in get(started, "/v1/experiments/digits-v2")["next"]
    page = started.http.get("/experiments/digits-v2").get_data(as_text=True)
    assert "/digits-v2/resume" in page
    assert "/digits-v2/pause" not in page
    assert started.http.post("/v1/experiments/digits-v2/resume", json=WHO).status_code == 200
    assert started.run("digits-v2")["deadline_from"] > held["deadline_from"]


@pytest.mark.parametrize(
    "body", [{}, {"actor": "ana"}, {"actor": " ", "reason": "r"}, {"actor": "a", "reason": ""}]
)
def test_an_act_needs_a_name_and_a_reason(started: Desk, body: dict[str, str]) -> None:
    assert started.http.post("/v1/experiments/digits-v2/rollback", json=body).status_code == 422
    assert started.run("digits-v2")["state"] == "held"


def test_an_act_that_lost_a_race_with_the_controller_is_asked_anew(
    started: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, races = FlagStore.latest_run, [2]

    def raced(store: FlagStore, name: str) -> Any:
        run = read(store, name)
        if races[0] and run is not None:
            races[0] -= 1
            store.commit(Change({}, run={**run, "version": run["version"] + 1}))
        return run

    monkeypatch.setattr(FlagStore, "latest_run", raced)
    assert started.http.post("/v1/experiments/digits-v2/pause", json=WHO).status_code == 200
    assert (races[0], started.run("digits-v2")["paused"]) == (0, True)


def test_a_declared_roll_is_kept_with_its_moment_and_moves_no_flag(started: Desk) -> None:
    answer = started.http.post("/v1/experiments/digits-v2/roll", json={**WHO, "arm": "v2"})
    assert (answer.status_code, answer.get_json()["rolls"]) == (200, 1)
    run = started.run("digits-v2")
    assert [roll[1:] for roll in run["rolls"]] == [["v2", "by ana: because", ""]]
    assert run["started"] <= run["rolls"][0][0] <= started.plane.now()
    flag = started.store.flag("digits-web")
    assert flag is not None
    assert flag.revision == 2
    entry = get(started, "/v1/experiments/digits-v2/history")["entries"][0]
    assert (entry["action"], entry["actor"], entry["reason"]) == ("roll", "ana", "because")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"arm": "v3"}, 404),
        ({"arm": " "}, 422),
        ({"reason": ""}, 422),
        ({"to": "v2"}, 422),
        ({"declares": "2\n"}, 422),
    ],
)
def test_a_roll_names_an_arm_of_the_run(started: Desk, change: dict[str, str], status: int) -> None:
    body = {**WHO, "arm": "v2", **change}
    assert started.http.post("/v1/experiments/digits-v2/roll", json=body).status_code == status
    assert started.run("digits-v2")["rolls"] == []


def test_what_a_build_calls_itself_is_declared_with_it_and_stays_declared(started: Desk) -> None:
    def rolled(**fields: str) -> Any:
        return started.http.post("/v1/experiments/digits-v2/roll", json={**WHO, "arm": "v2", **fields})

    assert "rolled to '2026-11-25'" in rolled(declares="2026-11-25").get_json()["sentence"]
    refused = rolled()
    assert refused.status_code == 422
    assert (
        "declares: expected what the answers of 'v2' say from now on"
        in refused.get_json()["error"]["message"]
    )
    assert rolled(declares="2026-11-26").status_code == 200
    assert [roll[3] for roll in started.run("digits-v2")["rolls"]] == ["2026-11-25", "2026-11-26"]


def test_a_run_that_has_ended_is_not_rolled(started: Desk) -> None:
    started.http.post("/v1/experiments/digits-v2/rollback", json=WHO)
    answer = started.http.post("/v1/experiments/digits-v2/roll", json={**WHO, "arm": "v2"})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "illegal_move")


def test_explain_tells_the_steps_by_route_or_experiment(told: Desk) -> None:
    answer = get(told, "/v1/explain?experiment=digits-aa&unit=you")
    assert answer["route"] == "digits-web"
    assert answer["arm"] in ("v2", "twin")
    assert answer["analysed"] is True
    assert answer["steps"][-1]["answer"] == f"{answer['arm']} (enrolled)"
    assert get(told, "/v1/explain?route=digits-web")["reason"] == "no_unit"
    assert told.http.get("/v1/explain?unit=you").status_code == 422


def test_status_shows_gateways_and_controllers_by_their_heartbeats(started: Desk) -> None:
    now = started.plane.now()
    started.store.heartbeat(
        "g1", {"role": "gateway", "writer": "g1", "time": now, "revisions": {"digits-web": 2}}
    )
    started.store.heartbeat("c1", {"role": "controller", "writer": "c1", "time": now})
    answer = get(started, "/v1/status")
    assert [row["writer"] for row in answer["gateways"]] == ["g1"]
    assert [row["writer"] for row in answer["controllers"]] == ["c1"]
    assert answer["store"]["ok"] is True


def test_a_corrupt_flag_is_shown_and_the_others_still_answer(started: Desk) -> None:
    started.client.hset(started.keys.flags, "digits-phone", b"{broken")
    assert list(get(started, "/v1/routes")["corrupt"]) == ["digits-phone"]
    assert get(started, "/v1/status")["store"]["ok"] is False
    assert "cannot be read" in started.http.get("/").get_data(as_text=True)


def test_audit_is_newest_first_and_bounded(started: Desk) -> None:
    assert len(get(started, "/v1/audit?count=2")["entries"]) == 2
    assert {row["route"] for row in get(started, "/v1/audit?route=digits-web")["entries"]} == {"digits-web"}
    assert started.http.get("/v1/audit?count=0").status_code == 422
