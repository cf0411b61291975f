"""What the sums say: verdicts, gates, maxima, strata, the document."""

from __future__ import annotations

import json

import pytest

from router.events import FIXED_POINT as F
from router.evidence import Health, Verdict
from tests.router.looks import (
    CORRECTED,
    ERRORS,
    HARM_OF_THREE,
    PROMOTE,
    after,
    look,
    metric,
    moments,
    run_of,
    state,
)

# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_a_better_canary_without_harm_is_better_and_proven() -> None:
    found = look(run_of(), moments())
    assert (found.verdict, found.proven, found.missing) == (Verdict.BETTER, True, ())
    assert [state(found, name) for name in ("corrected", "errors", "slow")] == [
        "superior",
        "non_inferior",
        "non_inferior",
    ]


def test_a_canary_that_is_alike_is_equivalent_and_proven() -> None:
    found = look(run_of(), moments((90_000, 30_000), (0.43, 0.43)))
    assert (found.verdict, found.proven) == (Verdict.EQUIVALENT, True)


def test_an_ab_test_that_is_alike_is_equivalent_by_futility_and_not_proven() -> None:
    found = look(run_of("ab"), moments((90_000, 30_000), (0.43, 0.43)))
    assert (found.verdict, found.proven) == (Verdict.EQUIVALENT, False)
    assert found.maxima["corrected"]["futility"] >= PROMOTE


def test_a_better_ab_test_is_proven() -> None:
    assert look(run_of("ab"), moments()).proven


def test_a_worse_goal_is_worse_and_named() -> None:
    found = look(run_of(), moments(corrected=(0.43, 0.8)))
    assert (found.verdict, found.harmful, found.proven) == (Verdict.WORSE, ("corrected",), False)


def test_a_harmful_guardrail_beats_a_superior_goal() -> None:
    found = look(run_of(), moments(errors=(0, 30)))
    assert (found.verdict, found.harmful, found.proven) == (Verdict.WORSE, ("errors",), False)
    assert state(found, "corrected") == "superior"


def test_harm_is_shared_among_all_metrics_and_promotion_is_not() -> None:
    row = look(run_of(), moments()).document["metrics"]["errors"]
    assert row["threshold"] == {"harm": pytest.approx(HARM_OF_THREE), "promote": pytest.approx(PROMOTE)}


def test_harm_reads_running_values_before_any_window_has_closed() -> None:
    values = {key: value for key, value in moments(errors=(0, 30)).items() if "|c|" not in key}
    found = look(run_of(), values)
    assert found.harmful == ("errors",)
    row = found.document["metrics"]["errors"]
    assert (row["reading"], row["treatment"]["events"]) == ("running", 30)
    assert row["interval"][0] == 0.0


def test_promotion_reads_closed_values_only() -> None:
    values = {key: value for key, value in moments().items() if "|c|" not in key and "|p|" not in key}
    found = look(run_of(), values)
    assert not found.proven
    assert found.document["metrics"]["corrected"]["log_e"]["non_inferiority"] == 0.0


def test_harm_is_shown_under_a_sample_ratio_mismatch() -> None:
    found = look(run_of(), moments((3000, 300), (0.43, 0.9)))
    assert found.verdict is Verdict.WORSE
    assert found.invalid[0].startswith("sample ratio mismatch")


def test_telemetry_that_cannot_be_trusted_is_invalid_however_good_the_rest() -> None:
    found = look(run_of(), moments(), Health(lag_ms=60_000))
    assert (found.verdict, found.proven) == (Verdict.INVALID, False)
    assert found.document["health"]["problems"] == ["events are folded late: lag 60 s"]
    assert found.document["health"]["ok"] is False


def test_nothing_at_all_is_inconclusive_and_says_what_is_missing() -> None:
    found = look(run_of(), {})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "corrected: a value in both arms" in found.missing
    assert "corrected: units with a report in both arms" in found.missing
    assert {state(found, name) for name in ("corrected", "errors", "slow")} == {"no_data"}
    row = found.document["metrics"]["errors"]
    assert (row["estimate"], row["interval"], row["control"]["value"]) == (None, None, None)


def test_one_undecided_guardrail_keeps_the_run_inconclusive() -> None:
    found = look(run_of(), moments((1200, 400)))
    assert (state(found, "errors"), found.verdict, found.proven) == ("undecided", Verdict.INCONCLUSIVE, False)


# ---- gates and values -----------------------------------------------------------------------------------------------


def test_a_gated_metric_has_a_value_but_no_interval_and_says_what_it_waits_for() -> None:
    found = look(run_of(), moments((300, 100)))
    row = found.document["metrics"]["corrected"]
    assert (row["gated"], row["missing"], row["interval"]) == (True, "", None)
    assert row["estimate"] == pytest.approx(-0.4, abs=0.01)
    assert any(part.startswith("corrected: 50 units with and without the event") for part in found.missing)
    assert found.step_waits == ()  # a gated test is not a missing value


def test_a_metric_without_values_in_one_arm_holds_the_step() -> None:
    values = {key: value for key, value in moments().items() if not key.startswith("1|1|corrected|c")}
    assert "corrected: a closed window with a value in both arms" in look(run_of(), values).step_waits


def test_the_first_report_is_shown_although_the_other_arm_has_none() -> None:
    values = {
        key: value for key, value in moments((0, 1), (0, 1), reporting=(1, 1)).items() if "|c|" not in key
    }
    row = look(run_of(), values).document["metrics"]["corrected"]
    assert (row["treatment"]["n"], row["treatment"]["value"]) == (1, 1.0)
    assert (row["control"]["n"], row["control"]["value"]) == (0, None)
    assert (row["estimate"], row["interval"]) == (None, None)


def test_a_step_waits_while_harm_is_half_shown_and_while_the_estimate_is_outside_the_margin() -> None:
    waits = look(run_of(), moments(errors=(3, 9))).step_waits
    assert "errors: its evidence of harm is above half of what rolls back" in waits
    outside = look(run_of(), moments((300, 100), corrected=(0.4, 0.46))).step_waits
    assert "corrected: its estimate is outside the margin" in outside


def test_a_continuous_guardrail_waits_for_1000_units_in_each_arm() -> None:
    latency = metric("latency", "guardrail", "mean", 50.0, tolerance=50.0)
    values = moments((3000, 990))
    for arm, n in ((0, 3000), (1, 990)):
        sums = {"n": n, "sx": 100 * n * F, "sxx": 10_100 * n * F * F}
        running = {
            "n": n,
            "sx": n,
            "sy": 100 * n * F,
            "sxx": n,
            "sxy": 100 * n * F,
            "syy": 10_100 * n * F * F,
        }
        values |= {f"1|{arm}|latency|c|{key}": value for key, value in sums.items()}
        values |= {f"1|{arm}|latency|r|{key}": value for key, value in running.items()}
    found = look(run_of(metrics=(CORRECTED, ERRORS, latency)), values)
    assert "latency: 1000 units with a closed window in each arm (now 990)" in found.missing
    assert not found.proven
    assert found.document["metrics"]["latency"]["interval"] is not None


# ---- running maxima -------------------------------------------------------------------------------------------------


def test_what_was_shown_stays_shown() -> None:
    run = run_of()
    harmed = after(run, look(run, moments(errors=(0, 30))))
    assert look(harmed, moments()).harmful == ("errors",)
    good = after(run, look(run, moments()))
    assert look(good, moments(corrected=(0.43, 0.42))).verdict is Verdict.BETTER


def test_maxima_of_promotion_grow_only_at_healthy_looks_and_those_of_harm_always() -> None:
    run, late = run_of(), Health(lag_ms=60_000)
    unhealthy = look(run, moments(errors=(2, 4)), late).maxima
    assert unhealthy["corrected"]["superiority"] == 0.0
    assert unhealthy["corrected"]["non_inferiority"] == 0.0
    assert unhealthy["corrected"]["reported_equal"] == 0.0
    assert unhealthy["errors"]["harm"] > 0
    healthy = look(run, moments(errors=(2, 4))).maxima
    assert healthy["corrected"]["superiority"] > PROMOTE
    assert healthy["errors"]["harm"] == unhealthy["errors"]["harm"]


def test_the_document_shows_the_current_value_beside_the_maximum() -> None:
    run = run_of()
    first = look(run, moments(errors=(2, 8)))
    second = look(after(run, first), moments((30_000, 10_000), errors=(20, 8)))
    row = second.document["metrics"]["errors"]
    assert row["log_e"]["harm"] < row["max_log_e"]["harm"] == first.maxima["errors"]["harm"]


# ---- strata ---------------------------------------------------------------------------------------------------------


def test_evidence_of_epochs_adds() -> None:
    one = look(run_of(), moments((1500, 500)))
    both = look(run_of(), moments((1500, 500)) | moments((1500, 500), stratum="2"))
    for test in ("non_inferiority", "superiority"):
        single, double = (e.document["metrics"]["corrected"]["log_e"][test] for e in (one, both))
        assert double > single
    assert both.document["units"]["v2"] == {"exposed": 1000, "closed": 1000, "left": 0}


def test_earlier_attempts_with_the_same_treatment_count_for_promotion_and_not_for_harm() -> None:
    earlier = [[[1302, 0], [434, 0], 0.25]]
    run, values = run_of(), moments((900, 300), errors=(1, 1))
    again = look(run | {"prior": {"errors": earlier}}, values)
    alone = look(run, values)
    key = ("metrics", "errors", "log_e")
    tests = [e.document[key[0]][key[1]][key[2]] for e in (alone, again)]
    assert tests[1]["non_inferiority"] > tests[0]["non_inferiority"]
    assert tests[1]["harm"] == tests[0]["harm"]


# ---- the document ---------------------------------------------------------------------------------------------------


def test_the_document_is_json_without_nan_and_recomputes_to_the_bit() -> None:
    run, values = run_of(), moments()
    first = look(run, values)
    text = json.dumps(first.document, allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(look(run, values).document))


def test_the_shown_interval_is_below_the_margin_exactly_when_non_inferiority_is_shown() -> None:
    run = run_of()
    for share in (0.41, 0.42, 0.425, 0.43, 0.44):
        found = look(run, moments((60_000, 20_000), (0.43, share)))
        row = found.document["metrics"]["corrected"]
        assert (row["interval"][1] < 0.02) is (row["log_e"]["non_inferiority"] >= PROMOTE)
        assert found.document["interval_level"] == pytest.approx(0.9)
