from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from router.health import Health, check, reporting, unequal_reports
from stats import srm

ARMS = ("v1", "v2")
GOOD = [(7500, 2500)]


def problems(
    health: Health | None = None, exposed: list[tuple[int, int]] | None = None, srm: float = 0.0
) -> tuple[str, ...]:
    return check(health or Health(), exposed or GOOD, 0.25, srm, ARMS).problems


def test_good_telemetry_has_no_problem_and_says_what_it_looked_at() -> None:
    checked = check(Health(sent=(900, 300), counts={"late": 2}), GOOD, 0.25, 0.0, ARMS)
    assert checked.problems == ()
    assert checked.document["srm"]["counts"] == {"v1": 7500, "v2": 2500}
    assert checked.document["srm"]["expected"] == {"v1": 0.75, "v2": 0.25}
    assert checked.document["srm"]["ok"] is True
    assert checked.document["loss"] == {"lost": [0, 0], "sent": [900, 300], "share": 0.0, "ok": True}
    assert checked.document["counts"] == {"late": 2}


def test_units_in_other_proportions_than_asked_are_a_mismatch() -> None:
    assert problems(exposed=[(7500, 1250)]) == (
        "sample ratio mismatch: 25.0% of units asked for the treatment, 14.3% arrived",
    )


def test_a_mismatch_stays_once_shown() -> None:
    checked = check(Health(), GOOD, 0.25, math.log(1000), ARMS)
    assert checked.srm == math.log(1000)
    assert checked.problems[0].startswith("sample ratio mismatch")


def test_mismatches_of_strata_multiply() -> None:
    rows = [(700, 300), (690, 310)]
    together = check(Health(), rows, 0.25, 0.0, ARMS).srm
    assert together == pytest.approx(sum(srm.log_evalue([(row, (0.75, 0.25))]) for row in rows))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"sent": (7400, 2480), "lost": (90, 30)}, "events lost: 1.2% of all", id="above one percent"
        ),
        pytest.param(
            {"sent": (75_000, 25_000), "lost": (0, 40)},
            "events lost unequally: 0 of control, 40 of treatment",
            id="unequal between the arms",
        ),
        pytest.param({"lag_ms": 30_001}, "events are folded late: lag 30 s", id="late"),
        pytest.param({"lag_ms": None}, "events are folded late: lag not known", id="lag not known"),
        pytest.param({"lost": None}, "how many events were lost is not known", id="loss not known"),
        pytest.param({"sent": None}, "how many events were lost is not known", id="sent not known"),
        pytest.param({"silent": ("corrected",)}, "reports of corrected have stopped arriving", id="silent"),
        pytest.param(
            {"silent": None}, "whether reports have stopped arriving is not known", id="silence not known"
        ),
    ],
)
def test_each_problem_is_a_sentence(changes: dict[str, Any], problem: str) -> None:
    assert problems(dataclasses.replace(Health(), **changes)) == (problem,)


@pytest.mark.parametrize("lost", [(3, 1), (75, 25)])
def test_a_small_loss_alike_in_both_arms_is_only_shown(lost: tuple[int, int]) -> None:
    checked = check(Health(sent=(7500, 2500), lost=lost), GOOD, 0.25, 0.0, ARMS)
    assert checked.problems == ()
    assert checked.document["loss"]["ok"] is True
    assert checked.document["loss"]["lost"] == list(lost)


def test_nothing_sent_is_no_loss() -> None:
    assert problems(Health(sent=(0, 0), lost=(0, 0)), exposed=[(0, 0)]) == ()


# ---- reporting ------------------------------------------------------------------------------------------------------


def test_a_treatment_that_suppresses_feedback_is_shown_to_report_differently() -> None:
    found = reporting([((3000, 2400), (1000, 300))])
    assert found["rates"] == [0.8, 0.3]
    assert found["log_e"] >= math.log(100)
    assert found["log_e_equal"] < 0
    assert unequal_reports("corrected", found, 0.0) == [
        "feedback differs between the arms: 30% of treatment and 80% of control units report corrected"
    ]


def test_the_mismatch_of_reports_is_two_sided() -> None:
    assert reporting([((3000, 900), (1000, 800))])["log_e"] >= math.log(100)


def test_alike_reporting_is_shown_to_be_within_ten_points() -> None:
    found = reporting([((1500, 1200), (500, 400))])
    assert found["log_e"] < 0
    assert found["log_e_equal"] > math.log(20)
    assert unequal_reports("corrected", found, 0.0) == []


@pytest.mark.parametrize("rate", [0, 1])
def test_units_that_all_report_or_never_do_are_alike_without_a_gate(rate: int) -> None:
    found = [
        reporting([((3 * n, 3 * n * rate), (n, n * rate))])["log_e_equal"] >= math.log(20) for n in (30, 50)
    ]
    assert found == [False, True]


def test_reports_once_shown_to_differ_stay_so() -> None:
    found = reporting([((1500, 1200), (500, 400))])
    assert unequal_reports("corrected", found, math.log(100)) != []
    assert unequal_reports("errors", None, math.log(100)) == []


def test_no_closed_units_prove_nothing() -> None:
    found = reporting([((0, 0), (0, 0))])
    assert found["rates"] == [None, None]
    assert (found["estimate"], found["interval"]) == (None, None)
    assert found["log_e"] == 0.0
    assert found["log_e_equal"] == pytest.approx(0.0, abs=1e-12)


def test_the_proof_of_alike_reporting_is_an_e_value_at_a_difference_of_ten_points() -> None:
    """Exact enumeration below the gate, on both edges of the null."""
    n0, n1 = 30, 20
    for p0, p1 in ((0.0, 0.1), (0.9, 1.0), (0.4, 0.5), (0.5, 0.4), (0.1, 0.0), (1.0, 0.9)):
        expectation = 0.0
        for x0 in range(n0 + 1):
            for x1 in range(n1 + 1):
                mass = math.comb(n0, x0) * p0**x0 * (1 - p0) ** (n0 - x0)
                mass *= math.comb(n1, x1) * p1**x1 * (1 - p1) ** (n1 - x1)
                if mass:
                    expectation += mass * math.exp(reporting([((n0, x0), (n1, x1))])["log_e_equal"])
        assert expectation <= 1 + 1e-9
