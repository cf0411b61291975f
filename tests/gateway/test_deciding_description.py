"""/decide of a running gateway against its own description: whatever is asked, no answer is one that stands not in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from router.assignment import Reason
from tests.gateway.flags import experiment
from tests.gateway.running import World

FILE = Path(__file__).parent.parent.parent / "deploy" / "decide.openapi.yaml"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
NO_ARM = {"no_flags", "no_route", "unit_missing"}
UNREAD = {"target", "target_too_long", "dot_segments", "method"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Units in a field, in the body, and one that must be there."""
    with World(tmp_path_factory.mktemp("world")) as made:
        made.put(made.flag(experiments=(experiment(),)))
        in_body, needed = (replace(experiment(), run=run) for run in ("b.1", "n.1"))
        made.put(made.flag(route="body", path="/b", places=(("json", "/user"),), experiments=(in_body,)))
        made.put(made.flag(route="needed", path="/n", on_missing="error", experiments=(needed,)))
        made.start()
        yield made


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_path(FILE)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/decide", GenerationMode.POSITIVE),
        ("/decide", GenerationMode.NEGATIVE),
        ("/decide/{path}", GenerationMode.POSITIVE),  # no path is a bad one: 200 says that it is not known
    ],
)
def test_every_answer_to_good_and_bad_questions_is_one_that_is_described(
    path: str, method: str, mode: GenerationMode, schema: Any, world: World
) -> None:
    @SETTINGS
    @given(schema[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=f"http://127.0.0.1:{world.port}")
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert world.get("/n/x", **{"X-Person": "ann"})[0] == 200


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        ("/v2/x?a=1", {"X-Person": "ann"}, "enrolled"),
        ("/v2/x", {}, "no_unit"),
        ("/b/x", {}, "enrolled"),
        ("/n/x", {}, "unit_missing"),
        ("/v2/../x", {"X-Person": "ann"}, "dot_segments"),
        ("no path", {"X-Person": "ann"}, "target"),
        ("/" + "x" * 20_000, {"X-Person": "ann"}, "target_too_long"),
        ("/v2/x", {"X-Original-Method": "TRACE"}, "method"),
    ],
)
def test_a_request_that_is_known_and_one_that_is_not_are_answered_as_described(
    target: str, fields: dict[str, str], reason: str, schema: Any, world: World
) -> None:
    case = schema["/decide"]["POST"].Case(headers={"X-Original-URI": target, **fields}, body={"user": "ann"})
    answer = case.call(base_url=f"http://127.0.0.1:{world.port}")
    case.validate_response(answer, checks=CHECKS)
    told = answer.json()
    assert (answer.status_code, told["reason"], answer.headers["pointsman-reason"]) == (200, reason, [reason])
    assert (told["arm"] is None) == (reason in NO_ARM | UNREAD)


def test_who_names_no_request_hears_of_it(schema: Any, world: World) -> None:
    case = schema["/decide"]["POST"].Case(headers={})
    answer = case.call(base_url=f"http://127.0.0.1:{world.port}")
    case.validate_response(answer, checks=CHECKS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_question")


def test_reasons_of_the_description_are_those_of_the_code() -> None:
    named = yaml.safe_load(FILE.read_text())["components"]["schemas"]["reason"]["enum"]
    assert set(named) == {str(reason) for reason in Reason} | NO_ARM | UNREAD
    assert len(named) == len(set(named))
