"""What the gate reads of a request for a flag: attributes, forced arms, other routes; and when it wants the body."""

from __future__ import annotations

from typing import Any

import pytest

from router.event_rows import FACTS_SHIFT
from router.flag import Arm, Flag, Requirement
from router.gateway.attributes import AttributeReader
from router.gateway.ticket import Ticket
from router.lanes import Slice
from router.rules import Condition, Rule, Values
from tests.gateway.flags import FORCING, NOW, SIGNER, Bench, experiment, flag, head
from tests.gateway.test_routing import fields, rows
from tests.router.flags_of import running

THREE = (Arm("v1", "http://h:1"), Arm("v2", "http://h:2"), Arm("v3", "http://h:3"))


@pytest.mark.parametrize(
    ("kind", "name", "target", "given", "values"),
    [
        ("header", "x-plan", "/x", {"x_plan": "gold"}, ("gold",)),
        ("header", "x-plan", "/x", {"x_plan": "a, b"}, ("a, b",)),
        ("header", "x-plan", "/x", {"x_plan": ""}, None),
        ("header", "x-plan", "/x", {}, None),
        ("header-list", "x-groups", "/x", {"x_groups": "a, b ,,c"}, ("a", "b", "c")),
        ("header-list", "x-groups", "/x", {"x_groups": " , "}, None),
        ("cookie", "plan", "/x", {"cookie": "a=1; plan=gold"}, ("gold",)),
        ("cookie", "plan", "/x", {"cookie": "xplan=gold"}, None),
        ("query", "tag", "/x?tag=a&b=1&tag=b%20c&tag=", {}, ("a", "b c")),
        ("query", "tag", "/x?t%61g=a+b", {}, ("a b",)),
        ("query", "tag", "/x", {}, None),
        ("path", "", "/v2/models/d%20x?y=1", {}, ("/v2/models/d x",)),
        ("path", "3", "/v2/models/d%20x/infer", {}, ("d x",)),
        ("path", "3", "/v2/models", {}, None),
        ("host", "", "/x", {"host": "API.example:8320"}, ("api.example",)),
        ("host", "", "/x", {"host": "api.example"}, ("api.example",)),
        ("method", "", "/x", {}, ("POST",)),
    ],
)
def test_where_an_attribute_stands(
    kind: str, name: str, target: str, given: dict[str, str], values: Values
) -> None:
    reader = AttributeReader(kind, name).of_head
    assert reader is not None
    assert reader(head(target, **given)) == values


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'{"a":{"b":"text"}}', ("text",)),
        (b'{"a":{"b":12}}', ("12",)),
        (b'{"a":{"b":1.5}}', ("1.5",)),
        (b'{"a":{"b":true}}', ("true",)),
        (b'{"a":{"b":["x",2,null,false]}}', ("x", "2", "false")),
        (b'{"a":{"b":[]}}', ()),
        (b'{"a":{"b":null}}', None),
        (b'{"a":{"b":{}}}', None),
        (b'{"a":1}', None),
        (b"no json", None),
    ],
)
def test_an_attribute_in_the_body(body: bytes, values: Values) -> None:
    reader = AttributeReader("json", "/a/b").of_body
    assert reader is not None
    assert reader(body) == values


def ruled(**more: Any) -> Flag:
    """Gold members of the body's plan get v2, but only Germans are asked for it."""
    german, gold = Condition("country", "eq", ("DE",)), Condition("plan", "eq", ("gold",))
    attributes = (("country", "header", "x-country"), ("plan", "json", "/plan"))
    return flag(attributes=attributes, rules=(Rule("gold", (german, gold), "v2"),), **more)


def test_the_body_is_asked_for_only_when_the_answer_stands_in_it() -> None:
    bench = Bench(ruled())
    asked = head(content_length="15", x_country="DE")
    assert bench.gate.route(head(content_length="15", x_country="FR"), None).needs_body == 0
    assert bench.gate.route(asked, None).needs_body == 1000
    assert bench.gate.route(asked, b'{"plan":"gold"}').upstream.url.endswith("9002")
    assert bench.gate.route(asked, b'{"plan":"free"}').upstream.url.endswith("9001")
    too_long = head(content_length="1001", x_country="DE")
    assert bench.gate.route(too_long, None).needs_body == 0
    totals = bench.totals()
    assert totals["pointsman_assignments\troute=web\treason=rule"] == 1
    assert totals["pointsman_assignments\troute=web\treason=no_experiment"] == 3


def test_whom_a_rule_serves_gets_an_id_and_no_row() -> None:
    bench = Bench(ruled(experiments=(experiment(),)))
    ticket = bench.gate.route(head(content_length="15", x_country="DE", x_person="ann"), b'{"plan":"gold"}')
    decision = SIGNER.read(fields(ticket)["Pointsman-Decision"])
    assert (ticket.upstream.url[-4:], decision.run, decision.analysed) == ("9002", "e.1", False)
    assert rows(bench) == []


def forced(bench: Bench, word: str, *, cookie: bool = False) -> Ticket:
    given = {"cookie": f"a=1; pm_force={word}"} if cookie else {"pointsman_force": word}
    return bench.gate.route(head(x_person="ann", **given), None)


@pytest.mark.parametrize("cookie", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_a_signed_word_forces_an_arm_and_nothing_is_written_down(cookie: bool, running: bool) -> None:
    bench = Bench(flag(arms=THREE, experiments=(experiment(),) if running else ()))
    ticket = forced(bench, FORCING.word("web", "v3", NOW + 1), cookie=cookie)
    assert ticket.upstream.url == "http://h:3"
    assert rows(bench) == []
    totals = bench.totals()
    assert totals["pointsman_forced_requests\tresult=taken"] == 1
    assert totals["pointsman_assignments\troute=web\treason=forced"] == 1


@pytest.mark.parametrize(
    "word",
    [
        "web=v3",
        FORCING.word("web", "v3", NOW),
        FORCING.word("other", "v3", NOW + 1),
        FORCING.word("web", "v9", NOW + 1),
        FORCING.word("web", "v3", NOW + 1).replace("v3", "v2"),
        FORCING.word("web", "v3", NOW + 1)[:-1],
        FORCING.word("web", "v3", NOW + 1).replace(":1:", ":2:"),
        "\xff" * 5000,
    ],
)
def test_a_word_that_is_not_ours_or_too_late_is_counted_and_ignored(word: str) -> None:
    bench = Bench(flag(arms=THREE, killed=()))
    assert forced(bench, word).upstream.url == "http://h:1"
    assert bench.totals()["pointsman_forced_requests\tresult=refused"] == 1


def test_of_several_words_each_route_takes_its_own() -> None:
    bench = Bench(flag(arms=THREE))
    words = ", ".join(FORCING.word(route, arm, NOW + 1) for route, arm in (("other", "v2"), ("web", "v3")))
    assert forced(bench, words).upstream.url == "http://h:3"


@pytest.mark.parametrize("switch", ["v3", None])
def test_a_kill_switch_is_above_a_forced_arm(switch: str | None) -> None:
    bench = Bench(flag(arms=THREE).with_kill(switch, on=True))
    assert forced(bench, FORCING.word("web", "v3", NOW + 1)).upstream.url == "http://h:1"


def test_a_prerequisite_is_asked_with_its_own_unit_and_attributes() -> None:
    parent = flag(
        "pool",
        "/pool",
        places=(("json", "/account"),),
        units=(("v2", ("acme",)),),
        attributes=(("x", "header", "x"),),
    )
    child = flag(
        arms=THREE, default="v3", requires=(Requirement("pool", ("v2",)),), units=(("v1", ("ann",)),)
    )
    bench = Bench(parent, child)
    request = head(content_length="20", x_person="ann")
    assert bench.gate.route(request, None).needs_body == 1000
    assert bench.gate.route(request, b'{"account":"acme"}').upstream.url == "http://h:1"
    assert bench.gate.route(request, b'{"account":"else"}').upstream.url == "http://h:3"
    assert bench.totals()["pointsman_assignments\troute=web\treason=prerequisite"] == 1
    bench.show(child)
    assert bench.gate.route(request, b'{"account":"acme"}').upstream.url == "http://h:3"
    assert "pointsman_assignments\troute=pool\treason=unit_list" not in bench.totals()


def test_a_ring_of_prerequisites_that_slipped_through_serves_the_default_arm() -> None:
    ring = [flag(a, f"/{a}", requires=(Requirement(b, ("v1",)),)) for a, b in (("a", "b"), ("b", "a"))]
    bench = Bench(*ring)
    assert bench.gate.route(head("/a/x"), None).upstream.url.endswith("9001")


def test_two_experiments_of_one_layer_each_analyse_their_own_units() -> None:
    first = running("a", 1, layer=Slice("l", "layer:l:1", ((0, 500_000),)), slow_ms=5)
    second = running(
        "b", 2, layer=Slice("l", "layer:l:1", ((500_000, 1_000_000),)), treatment="v3", slow_ms=50
    )
    bench = Bench(flag(arms=THREE, experiments=(first, second), epoch=2))
    seen: dict[str, set[str]] = {"a": set(), "b": set()}
    for number in range(300):
        ticket = bench.gate.route(head(x_person=f"u{number}"), None)
        said = fields(ticket)
        decision = SIGNER.read(said["Pointsman-Decision"])
        assert decision.run == f"{said['Pointsman-Experiment']}.{decision.epoch}"
        assert decision.analysed
        seen[said["Pointsman-Experiment"]].add(said["Pointsman-Arm"])
        bench.gate.finished(ticket, 200, "ok", 20_000)
    assert seen == {"a": {"v1", "v2"}, "b": {"v1", "v3"}}
    rows(bench)
    facts = {
        run: {where >> FACTS_SHIFT for where in entry.requests.where}
        for run, entry in bench.log.entries
        if entry.requests.where
    }
    assert {run: len(found) for run, found in facts.items()} == {"a.1": 1, "b.2": 1}
    assert facts["a.1"] != facts["b.2"]  # 20 ms are slow for one of them only
