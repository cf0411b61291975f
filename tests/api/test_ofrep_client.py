"""A real OpenFeature client against the real process: what it makes of each kind of answer."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from router.bucketing import bucket
from router.store.flags import Change
from tests.api.test_ofrep import ROUTES
from tests.api.test_process import alive, process  # noqa: F401 - a fixture
from tests.conftest import eventually

if TYPE_CHECKING:
    from tests.api.conftest import Desk


@pytest.fixture
def client(process: tuple[Desk, str, subprocess.Popen[bytes]]) -> OpenFeatureClient:  # noqa: F811
    desk, url, _ = process
    assert desk.apply(ROUTES).status_code == 200
    flag = desk.store.flag("model")
    assert flag is not None
    desk.store.commit(Change({}, flag.with_coverage("better.1", 1_000_000).with_revision(3)))
    eventually(lambda: alive(url))
    api.set_provider(OFREPProvider(url))
    return api.get_client()


def test_a_client_gets_values_variants_and_reasons(client: OpenFeatureClient) -> None:
    german = client.get_boolean_details("banner", False, EvaluationContext("ana", {"country": "DE"}))
    assert (german.value, german.variant, german.reason) == (True, "on", "TARGETING_MATCH")
    limit = client.get_float_details("limit", 9.0)
    assert (limit.value, limit.variant, limit.reason, limit.error_code) == (1.0, "low", "STATIC", None)
    for unit in [f"u{i}" for i in range(20)]:
        found = client.get_string_details("model", "none", EvaluationContext(unit))
        assert (found.value, found.reason) == (
            "v2" if bucket("model:1#arm", unit) < 500_000 else "v1",
            "SPLIT",
        )
        assert found.flag_metadata["run"] == "better.1"


def test_a_client_reads_every_refusal(client: OpenFeatureClient) -> None:
    for key, context, code in (
        ("nope", EvaluationContext("ana"), ErrorCode.FLAG_NOT_FOUND),
        ("model", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("banner", EvaluationContext("ana"), ErrorCode.TYPE_MISMATCH),
    ):
        found = client.get_string_details(key, "mine", context)
        assert (found.value, found.error_code) == ("mine", code)
        assert found.error_message


def test_a_client_gets_the_default_value_of_a_flag_that_is_off(
    client: OpenFeatureClient,
    process: tuple[Desk, str, subprocess.Popen[bytes]],  # noqa: F811
) -> None:
    desk, _, _ = process
    flag = desk.store.flag("banner")
    assert flag is not None
    desk.store.commit(Change({}, flag.with_kill(None, on=True).with_revision(flag.revision + 1)))
    context = EvaluationContext("ana", {"country": "DE"})
    eventually(lambda: client.get_boolean_details("banner", True, context).reason == "DISABLED")
    found = client.get_boolean_details("banner", True, context)
    assert (found.value, found.variant, found.error_code) == (False, "off", None)
