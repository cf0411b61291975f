"""POST /v1/outcomes: 202 means stored, and only what is sound is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from router.api.outcome_log import SENTENCE
from router.events import Entry, decode, key_digest
from router.local.redis_server import RedisServer
from router.settings import Settings
from tests.conftest import eventually

if TYPE_CHECKING:
    from tests.api.conftest import Desk

GOAL = "corrected"


def entries(desk: Desk, experiment: str = "digits-v2") -> list[Entry]:
    """What stands in the log of the experiment's run, heartbeats left out."""
    key = desk.keys.run(desk.run(experiment)["run"]).events
    rows: Any = desk.client.xrange(key)
    return [entry for _, fields in rows if len((entry := decode(fields)).outcomes)]


def post(desk: Desk, body: object) -> Any:
    return desk.http.post("/v1/outcomes", json=body)


def test_an_outcome_by_decision_id_is_stored_before_it_is_acknowledged(started: Desk) -> None:
    decision = started.sign("digits-v2", unit=b"ana", arm=1, age_ms=1000)
    answer = post(started, {"decision": decision, "metric": GOAL, "value": 1})
    assert (answer.status_code, answer.json) == (202, {"accepted": 1, "not_analysed": 0, "refused": []})
    (entry,) = entries(started)
    rows = entry.outcomes
    assert (list(rows.unit), list(rows.value), list(rows.arm)) == (
        [started.plane.digest(b"ana")],
        [1_000_000],
        [1],
    )
    assert entry.names == (GOAL,)
    assert rows.time[0] - rows.asked[0] >= 1000
    assert (entry.seq, entry.epoch, entry.dropped) == (1, started.run("digits-v2")["epoch"], (0, 0))
    assert rows.time[0] <= entry.until


def test_an_outcome_by_unit_needs_a_key_and_says_so(started: Desk) -> None:
    body = {
        "experiment": "digits-v2",
        "unit": "ana",
        "metric": GOAL,
        "value": True,
        "asked": 1_700_000_000_000,
    }
    answer = post(started, body)
    assert answer.status_code == 422
    assert "'experiment', 'unit' and 'key'" in answer.json["error"]["message"]
    assert post(started, {**body, "key": "order-1"}).status_code == 202
    (entry,) = entries(started)
    assert (entry.outcomes.arm[0], entry.outcomes.asked[0]) == (-1, 1_700_000_000_000)
    assert entry.outcomes.unit[0] == started.plane.digest(b"ana")


def test_by_unit_a_report_about_a_request_names_its_time(desk: Desk) -> None:
    """A correction of an answer from before the run must not count; what a unit does by itself needs no request."""
    bought = "guardrails:\n  - {metric: bought, kind: proportion, better: higher, margin: 2 pp, absent: zero}"
    assert desk.apply(desk.route, desk.file.replace("guardrails:", bought)).status_code == 200
    body = {"experiment": "digits-v2", "unit": "ana", "metric": GOAL, "value": 1, "key": "k"}
    answer = post(desk, body)
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "undated")
    assert answer.json["error"]["problems"][0]["path"] == "asked"
    assert post(desk, {**body, "time": 1_700_000_000_000}).status_code == 202
    assert post(desk, {**body, "time": 1_700_000_000_000, "asked": 1_600_000_000_000}).status_code == 202
    assert post(desk, {**body, "metric": "bought"}).status_code == 202
    asked = [asked for entry in entries(desk) for asked in entry.outcomes.asked]
    assert asked == [1_700_000_000_000, 1_600_000_000_000, -1]


@pytest.mark.parametrize(
    ("change", "reason", "path"),
    [
        ({"decision": "AAAA"}, "malformed", "decision"),
        ({"metric": "corected"}, "unknown_metric", "metric"),
        ({"metric": "errors"}, "unknown_metric", "metric"),
        (
            {"decision": None, "experiment": "nosuch", "unit": "u", "key": "k"},
            "unknown_experiment",
            "experiment",
        ),
    ],
)
def test_a_refusal_names_its_path_and_is_counted(
    started: Desk, change: dict[str, Any], reason: str, path: str
) -> None:
    outcome = {"decision": started.sign("digits-v2"), "metric": GOAL, "value": 1} | change
    for body, prefix in ((outcome, ""), ([outcome], "outcomes[0].")):
        answer = post(started, body)
        error = answer.json["refused"][0]["error"] if prefix else answer.json["error"]
        assert (answer.status_code, error["reason"]) == (202 if prefix else 422, reason)
        assert [problem["path"] for problem in error["problems"]] == [prefix + path]
        assert error["message"].startswith(f"{prefix}{path}: expected ")
    assert f'pointsman_outcomes_total{{result="{reason}"}} 2.0' in started.http.get("/metrics").text


@pytest.mark.parametrize(
    ("run", "epoch", "arm", "reason"),
    [
        ("digits-v2.9", 1, 1, "unknown_run"),
        ("digits-v2.1", 2, 1, "unknown_epoch"),
        ("digits-v2.1", 1, 2, "unknown_arm"),
        ("digits-v2.1", 1, 127, "unknown_arm"),
    ],
)
def test_an_id_that_fits_no_run_is_refused(
    started: Desk, run: str, epoch: int, arm: int, reason: str
) -> None:
    plane = started.plane
    decision = plane.signer.sign(run.encode(), epoch, 3, arm, True, 7, plane.now(), 1).decode()
    answer = post(started, {"decision": decision, "metric": GOAL, "value": 1})
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, reason)
    assert answer.json["error"]["problems"][0]["path"] == "decision"
    assert entries(started) == []


def test_a_repeated_outcome_has_the_same_key_and_another_metric_has_another(started: Desk) -> None:
    unit = started.plane.digest(b"u1")
    decision = started.sign("digits-v2")
    post(started, [{"decision": decision, "metric": GOAL, "value": v} for v in (0, 1)])
    (entry,) = entries(started)
    assert list(entry.outcomes.key) == [key_digest(f"{unit}|{GOAL}|{decision}")] * 2


def test_of_a_batch_the_bad_lines_are_named_and_the_rest_is_taken(started: Desk) -> None:
    good = {"decision": started.sign("digits-v2"), "metric": GOAL, "value": 0}
    answer = post(
        started,
        {
            "outcomes": [
                good,
                {**good, "value": "x"},
                {**good, "metric": "corected"},
                {**good, "colour": "red"},
                {"metric": GOAL, "value": 1},
                7,
            ]
        },
    )
    assert answer.status_code == 202
    assert answer.json["accepted"] == 1
    refused = {row["line"]: row["error"] for row in answer.json["refused"]}
    assert sorted(refused) == [1, 2, 3, 4, 5]
    assert refused[1]["problems"][0]["path"].startswith("outcomes[1].value")
    assert "did you mean 'corrected'?" in refused[2]["message"]
    assert "outcomes[3].colour: expected a known key" in refused[3]["message"]
    assert started.http.get("/metrics").text.count('pointsman_outcomes_total{result="invalid"} 4.0') == 1


def test_a_flipped_bit_anywhere_in_a_decision_id_is_refused(started: Desk) -> None:
    decision = started.sign("digits-v2")
    for place in range(len(decision)):
        forged = decision[:place] + ("A" if decision[place] != "A" else "B") + decision[place + 1 :]
        answer = post(started, {"decision": forged, "metric": GOAL, "value": 1})
        assert answer.json["error"]["reason"] in ("forged", "malformed", "unknown_key"), place
    assert entries(started) == []


def test_an_old_decision_id_is_expired_and_counted(started: Desk) -> None:
    decision = started.sign("digits-v2", age_ms=6_001)  # window 5 s and grace 1 s
    answer = post(started, {"decision": decision, "metric": GOAL, "value": 1})
    assert (answer.status_code, answer.json["error"]["reason"]) == (422, "expired")
    assert 'pointsman_outcomes_total{result="expired"} 1.0' in started.http.get("/metrics").text


def test_requests_that_are_not_analysed_get_202_and_a_counter(started: Desk) -> None:
    answer = post(
        started, {"decision": started.sign("digits-v2", arm=-1, analysed=False), "metric": GOAL, "value": 1}
    )
    assert (answer.status_code, answer.json["not_analysed"]) == (202, 1)
    assert entries(started) == []


def test_outcomes_of_a_run_that_is_over_are_taken_and_not_analysed(started: Desk) -> None:
    decision = started.sign("digits-v2")
    assert (
        started.http.post(
            "/v1/experiments/digits-v2/rollback", json={"actor": "ana", "reason": "r"}
        ).status_code
        == 200
    )
    started.plane.runs._kept.clear()
    answer = post(started, {"decision": decision, "metric": GOAL, "value": 1})
    assert (answer.status_code, answer.json["not_analysed"]) == (202, 1)


@pytest.mark.parametrize(
    ("time", "good"),
    [
        ("2026-01-31T12:00:00Z", True),
        ("2026-01-31T12:00:00", False),
        ("yesterday", False),
        (-1, False),
        (10**17, False),
        (1_700_000_000_000, True),
        (True, False),
    ],
)
def test_a_time_is_milliseconds_or_iso_8601_with_its_zone(started: Desk, time: object, good: bool) -> None:
    answer = post(started, {"decision": started.sign("digits-v2"), "metric": GOAL, "value": 1, "time": time})
    assert (answer.status_code == 202) is good


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 422, "expected JSON"),
        (b"{", 422, "expected JSON"),
        (b'{"metric": "a", "metric": "b", "value": 1}', 422, "key 'metric' twice"),
        (b'"x"', 422, "body"),
        (b"[" * 100_000, 422, "expected JSON"),
        (
            b'{"experiment": "digits-v3x", "unit": "u", "key": "k", "metric": "corrected", "value": 1}',
            422,
            "experiment: expected an experiment that exists, found 'digits-v3x' - did you mean 'digits-v3'?",
        ),
        (
            b'{"experiment": "digits-v3", "unit": "u", "key": "k", "metric": "errors", "value": 1}',
            422,
            "metric: expected a metric that the experiment expects to be reported, found 'errors' - known: corrected",
        ),
        (
            b'{"experiment": "digits-v3", "unit": "", "key": "k", "metric": "corrected", "value": 1}',
            422,
            "1 to 400",
        ),
        (
            b'{"decision": "x", "experiment": "e", "unit": "u", "metric": "corrected", "value": 1}',
            422,
            "either",
        ),
    ],
)
def test_a_malformed_body_gets_one_clear_error(started: Desk, body: bytes, status: int, text: str) -> None:
    answer = started.http.post("/v1/outcomes", data=body)
    assert answer.status_code == status
    assert text in answer.get_json()["error"]["message"]


def test_too_many_in_one_body_are_refused_whole(started: Desk) -> None:
    answer = started.http.post("/v1/outcomes", json=[{}] * 10_001)
    assert answer.status_code == 413


def test_many_threads_share_entries_and_the_sequence_has_no_gap(started: Desk) -> None:
    def report(number: int) -> None:
        for i in range(5):
            unit = b"u%d-%d" % (number, i)
            answer = post(
                started, {"decision": started.sign("digits-v2", unit=unit), "metric": GOAL, "value": i % 2}
            )
            assert answer.status_code == 202

    threads = [threading.Thread(target=report, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows: Any = started.client.xrange(started.keys.run(started.run("digits-v2")["run"]).events)
    found = [decode(fields) for _, fields in rows]
    assert sum(len(entry.outcomes) for entry in found) == 80
    assert len({unit for entry in found for unit in entry.outcomes.unit}) == 80
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1))
    untils = [entry.until for entry in found]
    assert untils == sorted(untils)


def test_a_live_run_gets_an_entry_each_second_though_nothing_is_reported(started: Desk) -> None:
    started.plane.outcomes.start()
    key = started.keys.run(started.run("digits-v3")["run"]).events
    eventually(lambda: int(started.client.xlen(key)) >= 3)
    rows: Any = started.client.xrange(key)
    assert rows[-1][0] > rows[0][0]
    assert {decode(fields).names for _, fields in rows} == {()}


def test_a_dead_redis_means_503_and_the_repeat_is_stored_once(
    desk_of: Callable[..., Desk],
    settings: Settings,
    redis_server: RedisServer,
    tmp_path: Any,
) -> None:
    server = RedisServer(redis_server.binary, tmp_path / "own", persistent=True)
    server.start()
    try:
        desk = desk_of(replace(settings, redis_url=server.url))
        desk.apply(desk.route, desk.file)
        outcome = {"decision": desk.sign("digits-v2"), "metric": GOAL, "value": 1}
        assert post(desk, {**outcome, "key": "before"}).status_code == 202
        server.kill()
        answer = post(desk, {**outcome, "key": "during"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json["error"]["code"] == "store_unavailable"
        assert SENTENCE.startswith("outcomes") and desk.http.get("/readyz").status_code == 503
        assert desk.http.get("/livez").status_code == 200
        server.restart()
        eventually(lambda: post(desk, {**outcome, "key": "during"}).status_code == 202)
        rows: Any = desk.client.xrange(desk.keys.run(desk.run("digits-v2")["run"]).events)
        found = [decode(fields) for _, fields in rows]
        assert sorted({entry.seq for entry in found}) == list(range(1, len(found) + 1))
        keys = {key for entry in found for key in entry.outcomes.key}
        assert len(keys) == 2
    finally:
        server.stop()
