"""The gate: who goes where, what the answer says, what is written down."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from router.bucketing import PPM, bucket
from router.event_rows import (
    ARM_BITS,
    ARM_MASK,
    BUCKET_BITS,
    BUCKET_MASK,
    ERROR,
    EXPOSURE,
    FACTS_SHIFT,
    OUTCOME,
    REFUSED,
    SLOW,
)
from router.flag import Arm
from router.gateway.ticket import Ticket
from tests.gateway.flags import DIGEST, NOW, SIGNER, Bench, experiment, flag, head


def fields(ticket: Ticket) -> dict[str, str]:
    lines = ticket.answer_headers.decode().split("\r\n")
    assert lines[-1] == ""
    return dict(line.split(": ", 1) for line in lines[:-1])


def rows(bench: Bench) -> list[tuple[int, int, int, int, int]]:
    """(unit, bucket, arm, facts, latency) of each row that was written."""
    asyncio.run(bench.recorder.flush(bench.now))
    found = []
    for entry in bench.log.folded():
        for unit, where, latency in zip(
            entry.requests.unit, entry.requests.where, entry.requests.latency, strict=True
        ):
            arm = where >> BUCKET_BITS & ARM_MASK
            found.append((unit, where & BUCKET_MASK, arm, where >> FACTS_SHIFT, latency))
    assert BUCKET_BITS + ARM_BITS == FACTS_SHIFT
    return found


def test_a_route_alone_is_a_pass_through() -> None:
    bench = Bench(flag(places=(("json", "/user"),), expose="all"))
    ticket = bench.gate.route(head("/v2/x?y=1", content_length="10"), None)
    assert ticket.needs_body == 0
    assert ticket.upstream.url == "http://127.0.0.1:9001"
    assert ticket.target == b"/v2/x?y=1"
    assert ticket.answer_headers == b""
    bench.gate.finished(ticket, 200, "ok", 1000)
    assert rows(bench) == []
    assert bench.totals()["pointsman_assignments\troute=web\treason=no_experiment"] == 1


def test_no_flags_and_no_route_are_refused_with_a_reason() -> None:
    bench = Bench(flag())
    found = []
    for snapshot in (bench.gate.snapshot, None):
        bench.gate.snapshot = snapshot
        refusal = bench.gate.route(head("/else"), None).refusal
        assert refusal is not None
        found.append(refusal[:2])
    assert found == [(404, "no_route"), (503, "no_flags")]


@pytest.mark.parametrize(
    ("upstream", "target", "sent"),
    [
        ("http://h:1", b"/v2/m/infer?x=1", b"/v2/m/infer?x=1"),
        ("http://h:1/", b"/v2/m/infer?x=1", b"/v2/m/infer?x=1"),
        ("http://h:1/new", b"/v2/m/infer?x=1", b"/new/infer?x=1"),
        ("http://h:1/new/", b"/v2/m/infer", b"/new/infer"),
        ("http://h:1/new", b"/v2/m?x=1", b"/new?x=1"),
        ("http://h:1/new", b"/v2/m/", b"/new/"),
    ],
)
def test_an_upstreams_path_replaces_the_routes_prefix(upstream: str, target: bytes, sent: bytes) -> None:
    bench = Bench(flag(path="/v2/m", arms=(Arm("v1", upstream),)))
    assert bench.gate.route(head(target.decode()), None).target == sent


def test_enrolled_units_go_to_their_arm_and_the_answer_names_it() -> None:
    bench = Bench(flag(experiments=(experiment(),), revision=7))
    arms: Counter[str] = Counter()
    for number in range(200):
        unit = f"unit-{number}"
        ticket = bench.gate.route(head(x_person=unit), None)
        said = fields(ticket)
        wanted = "v2" if bucket("web:1#arm", unit) < PPM // 2 else "v1"
        assert said["Pointsman-Arm"] == wanted
        assert said["Pointsman-Experiment"] == "e"
        assert said["Pointsman-Revision"] == "7"
        assert ticket.upstream.url.endswith("9002" if wanted == "v2" else "9001")
        decision = SIGNER.read(said["Pointsman-Decision"])
        index = 1 if wanted == "v2" else 0
        assert decision[:5] == ("e.1", 1, 7, index, True)
        assert (decision.unit, decision.time) == (DIGEST(unit.encode()), NOW)
        arms[wanted] += 1
    assert min(arms.values()) > 70
    requests = {
        SIGNER.read(fields(bench.gate.route(head(x_person="a"), None))["Pointsman-Decision"]).request
        for _ in range(9)
    }
    assert len(requests) == 9


def test_who_is_not_enrolled_gets_the_default_arm_an_id_and_no_row() -> None:
    bench = Bench(flag(experiments=(experiment(coverage=0),)))
    ticket = bench.gate.route(head(x_person="ann"), None)
    decision = SIGNER.read(fields(ticket)["Pointsman-Decision"])
    assert (decision.arm_index, decision.analysed, decision.unit) == (-1, False, DIGEST(b"ann"))
    bench.gate.finished(ticket, 500, "ok", 10)
    nobody = bench.gate.route(head(), None)
    assert SIGNER.read(fields(nobody)["Pointsman-Decision"]).unit == 0
    assert rows(bench) == []
    totals = bench.totals()
    assert totals["pointsman_assignments\troute=web\treason=not_enrolled"] == 1
    assert totals["pointsman_assignments\troute=web\treason=no_unit"] == 1


def test_without_a_unit_nobody_falls_into_a_lane() -> None:
    bench = Bench(flag(experiments=(experiment(treatment=PPM - 1),)))
    for absent in (head(), head(x_person="")):
        ticket = bench.gate.route(absent, None)
        assert (ticket.arm_index, ticket.upstream.url) == (-1, "http://127.0.0.1:9001")
    assert rows(bench) == []


def test_a_unit_is_exposed_again_in_each_epoch() -> None:
    bench = Bench(flag(experiments=(experiment(),)))
    bench.gate.route(head(x_person="ann"), None)
    again = msgspec.structs.replace(experiment(), run="e.2", epoch=2, salt="web:2")
    bench.show(flag(experiments=(again,), epoch=2, revision=2))
    bench.gate.route(head(x_person="ann"), None)
    asyncio.run(bench.recorder.flush(bench.now))
    written = [(run, entry.epoch, list(entry.requests.unit)) for run, entry in bench.log.entries]
    assert sorted(written) == [("e.1", 1, [DIGEST(b"ann")]), ("e.2", 2, [DIGEST(b"ann")])]


@pytest.mark.parametrize(
    ("expose", "names"),
    [
        ("all", ["Pointsman-Experiment", "Pointsman-Arm", "Pointsman-Revision", "Pointsman-Decision"]),
        ("id", ["Pointsman-Decision"]),
        ("none", []),
    ],
)
def test_the_answer_shows_what_the_route_exposes(expose: str, names: list[str]) -> None:
    bench = Bench(flag(experiments=(experiment(),), expose=expose))
    assert list(fields(bench.gate.route(head(x_person="ann"), None))) == names


def test_the_body_is_asked_for_and_then_decides() -> None:
    bench = Bench(flag(experiments=(experiment(),), places=(("json", "/user"),)))
    request = head(content_length="15")
    assert bench.gate.route(request, None).needs_body == 1000
    ticket = bench.gate.route(request, b'{"user":"ann"}')
    assert ticket.needs_body == 0
    assert SIGNER.read(fields(ticket)["Pointsman-Decision"]).unit == DIGEST(b"ann")


def test_an_absent_unit_may_be_an_error() -> None:
    bench = Bench(flag(experiments=(experiment(),), on_missing="error"))
    refusal = bench.gate.route(head(), None).refusal
    assert refusal is not None
    assert refusal[:2] == (400, "unit_missing")
    assert bench.gate.route(head(x_person="a"), None).refusal is None


def test_an_absent_unit_may_be_minted_and_stays_the_same() -> None:
    places = (("header", "x-person"), ("cookie", "pm_unit"))
    bench = Bench(flag(experiments=(experiment(),), places=places, on_missing="mint-cookie"))
    said = fields(bench.gate.route(head(), None))
    pair = said["Set-Cookie"].split(";")[0]
    again = fields(bench.gate.route(head(cookie=pair), None))
    assert "Set-Cookie" not in again
    first, second = (SIGNER.read(answer["Pointsman-Decision"]) for answer in (said, again))
    assert first.unit == second.unit == DIGEST(pair.split("=")[1].encode())
    assert fields(bench.gate.route(head(), None))["Set-Cookie"] != said["Set-Cookie"]


@pytest.mark.parametrize(
    ("status", "outcome", "latency", "facts"),
    [
        (200, "ok", 10, EXPOSURE | OUTCOME),
        (200, "ok", 300_001, EXPOSURE | OUTCOME | SLOW),
        (200, "ok", 300_000, EXPOSURE | OUTCOME),
        (503, "ok", 10, EXPOSURE | OUTCOME | ERROR),
        (502, "connect_failed", 10, EXPOSURE | OUTCOME | ERROR),
        (504, "timeout", 400_000, EXPOSURE | OUTCOME | ERROR | SLOW),
        (200, "truncated", 10, EXPOSURE | OUTCOME | ERROR),
        (502, "bad_answer", 10, EXPOSURE | OUTCOME | ERROR),
        (422, "ok", 10, EXPOSURE | OUTCOME | REFUSED),
        (401, "ok", 10, EXPOSURE | OUTCOME),
        (403, "ok", 10, EXPOSURE | OUTCOME),
        (429, "ok", 10, EXPOSURE | OUTCOME),
        (0, "client_abort", 10, EXPOSURE),
        (0, "client_abort", 400_000, EXPOSURE | OUTCOME | SLOW),
    ],
)
def test_how_a_request_ended_becomes_facts_about_its_arm(
    status: int, outcome: str, latency: int, facts: int
) -> None:
    bench = Bench(flag(experiments=(experiment(slow_ms=300),)))
    ticket = bench.gate.route(head(x_person="ann"), None)
    bench.gate.finished(ticket, status, outcome, latency)
    where = bucket("web:1#arm", "ann")
    arm = 1 if where < PPM // 2 else 0
    wanted = latency if facts & OUTCOME else 0
    assert rows(bench) == [(DIGEST(b"ann"), where, arm, facts, wanted)]


def test_a_killed_arm_serves_nobody_and_nobody_is_analysed() -> None:
    bench = Bench(flag(experiments=(experiment(treatment=999_999),), killed=("v2",)))
    ticket = bench.gate.route(head(x_person="ann"), None)
    assert ticket.upstream.url.endswith("9001")
    assert rows(bench) == []


def test_outcomes_in_an_answer_are_taken_and_bad_ones_counted() -> None:
    bench = Bench(flag(experiments=(experiment(),)))
    ticket = bench.gate.route(head(x_person="ann"), None)
    bench.now += 50
    bench.gate.reported(ticket, b"cost=0.25, tokens=118")
    for bad in (b"cost", b"=1", b"cost=nan", b"cost=1e99", b"cost=x", b"\xff=1"):
        bench.gate.reported(ticket, bad)
    asyncio.run(bench.recorder.flush(bench.now))
    (entry,) = bench.log.folded()
    outcomes = entry.outcomes
    assert [entry.names[index] for index in outcomes.metric] == ["cost", "tokens"]
    assert list(outcomes.value) == [250_000, 118_000_000]
    assert list(outcomes.time) == [NOW + 50] * 2
    assert list(outcomes.asked) == [NOW] * 2
    assert list(outcomes.unit) == [DIGEST(b"ann")] * 2
    assert len(set(outcomes.key)) == 2
    totals = bench.totals()
    assert totals["pointsman_reported_outcomes\tresult=taken"] == 2
    assert totals["pointsman_reported_outcomes\tresult=malformed"] == 6


def test_an_outcome_of_a_request_that_is_not_analysed_is_counted_only() -> None:
    bench = Bench(flag(experiments=(experiment(coverage=0),)))
    bench.gate.reported(bench.gate.route(head(x_person="ann"), None), b"cost=1")
    assert bench.totals()["pointsman_reported_outcomes\tresult=not_analysed"] == 1
    assert rows(bench) == []


def test_the_own_pages_are_only_at_their_paths() -> None:
    bench = Bench(flag(path="/"))
    bench.gate.pages = lambda path: (200, b"t", path)
    assert bench.gate.local(head("/livez?x=1", "GET")) == (200, b"t", b"/livez")
    assert bench.gate.local(head("/livez/x", "GET")) is None
