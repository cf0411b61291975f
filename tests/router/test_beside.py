"""What stands beside a verdict and decides nothing: other tests of the same claim, ratios, plans, many claims."""

from __future__ import annotations

import math

import pytest

from router.notes import notes
from stats import beta, group_sequential, many, obrien_fleming, proportions
from tests.router.looks import CORRECTED, ERRORS, feedback, look, metric, moments
from tests.router.test_methods import HORIZON, PLANNED, SOLD, row, run_with, seen, two_goals

WATCHED = metric("watched", "observed", "proportion", 0.02, absent="missing", builtin=False)
ALSO = metric("also", "observed", "proportion", 0.02, absent="missing", builtin=False)


def test_a_share_has_a_lift_and_the_same_claim_by_other_tests() -> None:
    shown = row(look(run_with({}), moments((30_000, 10_000), (0.43, 0.40))))
    lift = proportions.lift(30_000, round(30_000 * 0.43), 10_000, round(10_000 * 0.40))
    assert shown["beside"]["lift"]["estimate"] == pytest.approx(lift.effect, rel=1e-3)
    low, high = shown["beside"]["lift"]["interval"]
    assert low < lift.effect < high < 0
    for found in shown["beside"]["by_other_tests"].values():
        assert found["log_e"] > 5
        assert found["interval"][0] < shown["estimate"] < found["interval"][1] < 0
    assert any(line.startswith("relative to control -7.0%") for line in notes(shown))


def test_counted_events_have_an_exact_two_sided_ratio() -> None:
    shown = row(look(run_with({}), moments(errors=(30, 12))), "errors")
    control, treatment, share = shown["sums"]["closed"][0]
    expected = beta.interval(control[1], treatment[1], share, 0.05)
    assert shown["beside"]["rate_ratio"] == pytest.approx(list(expected))
    assert any(line.startswith("ratio of rates [") for line in notes(shown))


def test_goals_and_observed_metrics_stand_adjusted_for_each_other() -> None:
    run = run_with({}, "ab", metrics=(CORRECTED, SOLD, ERRORS, WATCHED, ALSO))
    values = (
        two_goals(0.40, 0.22)
        | feedback("watched", (3000, 300), (300, 60))
        | feedback("also", (3000, 300), (300, 30))
    )
    found = look(run, values)
    for role, names, key in (
        ("goals", ("corrected", "sold"), "method"),
        ("observed", ("watched", "also"), "exploring"),
    ):
        parts = [row(found, name)[key] for name in names]
        adjusted = many.closed([part["log_e"] for part in parts])
        assert [part["adjusted_log_e"] for part in parts] == pytest.approx(adjusted), role
    assert "adjusted_log_e" not in row(found, "errors")["method"]


@pytest.mark.parametrize(
    ("name", "parameter"), [("pocock", None), ("power", 2.0), ("hwang_shih_decani", -4.0)]
)
def test_a_plan_spends_as_its_file_says(name: str, parameter: float | None) -> None:
    keys = {"spending": name} | ({} if parameter is None else {"spending_parameter": parameter})
    run = run_with(PLANNED | keys)
    first = look(run, moments((9000, 3000)))
    second = look(seen(run, first), moments((18_000, 6000)))
    bounds = group_sequential.boundary((0.3, 0.6), 0.05, 1, name, parameter or 0.0)
    assert [row(found)["method"]["bound"] for found in (first, second)] == pytest.approx(list(bounds))


def test_a_planned_look_says_below_which_z_it_is_futile() -> None:
    shown = row(look(run_with(PLANNED), moments((15_000, 5000), (0.43, 0.448))))["method"]
    assert shown["futile_below"] < shown["bound"]
    assert shown["z"] < shown["futile_below"]
    assert shown["power"] < 0.8
    lines = notes(row(look(run_with(PLANNED), moments((15_000, 5000), (0.43, 0.448)))))
    assert any("which ends nothing" in line for line in lines)


def test_the_evidence_of_a_horizon_is_one_over_alpha_where_its_bound_is_reached() -> None:
    shown = row(look(run_with(HORIZON), moments((15_000, 5000))))["method"]
    assert shown["z"] > shown["bound"]
    assert shown["plan_log_e"] == pytest.approx(math.log(20))
    short = row(look(run_with(HORIZON), moments((15_000, 5000), (0.43, 0.44))))["method"]
    expected = obrien_fleming.log_evalue(short["time"], short["z"] * short["time"] ** 0.5, 0.0, 1.0, 0.05)
    assert short["plan_log_e"] == pytest.approx(expected)
    assert short["plan_log_e"] < math.log(20)
