"""The evaluation API against its own description: whatever is asked, no answer is one that it does not describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from router.api.ofrep import CODES, REASONS
from router.api.ofrep_description import DESCRIPTION, PATH
from tests.api.test_ofrep import ROUTES

if TYPE_CHECKING:
    from tests.api.conftest import Desk

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


OPERATIONS = ("/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags")
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def schema(desk: Desk) -> Any:
    assert desk.apply(ROUTES).status_code == 200
    return schemathesis.openapi.from_wsgi(PATH, desk.app)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("path", OPERATIONS)
def test_every_answer_to_good_and_bad_requests_is_one_that_is_described(
    path: str, mode: GenerationMode, schema: Any
) -> None:
    @SETTINGS
    @given(schema[path]["POST"].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def test_a_flag_that_exists_is_answered_as_described(schema: Any) -> None:
    seen = set()

    @SETTINGS
    @given(schema[OPERATIONS[0]]["POST"].as_strategy())
    def ask(case: Any) -> None:
        case.path_parameters["key"] = "model"
        answer = case.call()
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert seen == {200, 400}


def test_reasons_and_codes_of_the_description_are_those_of_the_code() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    assert set(schemas["success"]["properties"]["reason"]["enum"]) == set(REASONS.values())
    assert schemas["failure"]["properties"]["errorCode"]["enum"] == list(CODES)
