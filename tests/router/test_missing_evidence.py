"""Evidence that is not there: silence, reports that one arm suppresses, and any one input taken away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.evidence import Health, Verdict
from tests.router.looks import (
    CORRECTED,
    ERRORS,
    after,
    feedback,
    look,
    metric,
    moments,
    run_of,
    state,
    unknown,
    without,
)

# ---- absence --------------------------------------------------------------------------------------------------------

SALE = metric("sale", "guardrail", "proportion", 0.02, builtin=False)


def with_sales(reports: int) -> dict[str, int]:
    return moments() | feedback("sale", (3000, 1000), (600, 200)) | {"1|0|sale|e|n": reports}


@pytest.mark.parametrize(("reports", "counts"), [(0, False), (9, False), (10, True)])
def test_silence_means_zero_only_once_control_has_ten_reports(reports: int, counts: bool) -> None:
    found = look(run_of(metrics=(CORRECTED, ERRORS, SALE)), with_sales(reports))
    missing = found.document["metrics"]["sale"]["missing"]
    assert missing == (
        "" if counts else f"10 reports in control before silence can mean zero (now {reports})"
    )
    assert (state(found, "sale") == "no_data") is not counts


def test_silence_stops_meaning_zero_when_reports_stop() -> None:
    found = look(run_of(metrics=(CORRECTED, ERRORS, SALE)), with_sales(500), Health(silent=("sale",)))
    assert found.document["metrics"]["sale"]["missing"] == "reports to arrive again"
    assert found.document["metrics"]["sale"]["log_e"]["harm"] == pytest.approx(0.0, abs=1e-12)
    assert found.verdict is Verdict.INVALID


def test_built_in_metrics_need_no_reports_to_mean_zero() -> None:
    assert look(run_of(), moments()).document["metrics"]["errors"]["missing"] == ""


# ---- reporting ------------------------------------------------------------------------------------------------------


def test_an_arm_that_suppresses_feedback_is_invalid_not_better() -> None:
    found = look(run_of(), moments(reporting=(0.8, 0.3)))
    assert (found.verdict, found.proven) == (Verdict.INVALID, False)
    assert found.invalid == (
        "feedback differs between the arms: 30% of treatment and 80% of control units report corrected",
    )


def test_reports_that_may_still_differ_by_ten_points_keep_a_canary_from_being_proven() -> None:
    run = run_of()
    values = moments((6000, 2000), reporting=(0.8, 0.8)) | {"1|1|corrected|p|n": 1440}
    found = look(run, values)
    assert not found.proven
    assert found.invalid or "corrected: proof that the arms report alike to within 10 pp" in found.missing


# ---- taking away one input ------------------------------------------------------------------------------------------


GROUPS = sorted({"|".join(key.split("|")[:4]) for key in moments()})
FIELDS = ("sent", "lost", "lag_ms", "silent")


scenarios = st.fixed_dictionaries(
    {
        "corrected": st.sampled_from([(0.43, 0.03), (0.43, 0.43), (0.43, 0.5), (0.43, 0.8)]),
        "errors": st.sampled_from([(0, 0), (3, 1), (0, 9), (0, 40)]),
        "slow": st.sampled_from([(0, 0), (30, 400)]),
        "reporting": st.sampled_from([(0.8, 0.8), (0.8, 0.3), (1.0, 1.0)]),
        "n": st.sampled_from([(0, 0), (300, 100), (3000, 1000), (3000, 300), (60_000, 20_000)]),
    }
)


@settings(max_examples=80, deadline=None)
@given(scenarios, scenarios, st.sampled_from(["canary", "ab"]), st.booleans())
def test_taking_away_any_one_input_never_makes_a_promotion(
    now: dict[str, Any], before: dict[str, Any], kind: str, looked_before: bool
) -> None:
    run = run_of(kind)
    if looked_before:
        run = after(run, look(run, moments(**before)))
    values = moments(**now)
    whole = look(run, values)
    if whole.proven:
        return
    for group in GROUPS:
        assert not look(run, without(values, group)).proven, group
    for name in (m["name"] for m in run["spec"]["metrics"]):
        gone = {key: value for key, value in values.items() if key.split("|")[2] != name}
        assert not look(run, gone).proven, name
    for field in FIELDS:
        assert not look(run, values, unknown(field)).proven, field
    assert not look(run, {}).proven


@pytest.mark.parametrize("field", FIELDS)
def test_a_telemetry_field_that_is_not_known_is_invalid(field: str) -> None:
    found = look(run_of(), moments(), unknown(field))
    assert (found.verdict, found.proven) == (Verdict.INVALID, False)


@pytest.mark.parametrize("group", GROUPS)
def test_a_proven_run_is_not_proven_without_any_one_of_its_counts(group: str) -> None:
    """But for those that only people read."""
    assert look(run_of(), moments()).proven
    assert not look(run_of(), without(moments(), group)).proven
