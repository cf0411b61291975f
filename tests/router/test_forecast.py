"""Forecasts against the tests that will really be made, and what they leave open."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from router.document import load
from router.files import parse_documents
from router.forecast import forecast
from router.metric import KINDS
from router.prospect import Asked, Baseline, prospect
from router.reading import Stratum
from router.sizes import least_harm

CANARY = """
experiment: x
route: r
kind: canary
control: a
treatment: b
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp, window: 1 h, grace: 1 min, absent: zero}
guardrails: [{metric: errors, margin: 1 pp}]
ramp: [{traffic: 25%, time: 1 min, units: 1}]
deadline: 20 h
"""
KNOWN = {"corrected": Baseline(rate=0.1), "errors": Baseline(rate=0.002)}


def spec(text: str = CANARY) -> dict[str, Any]:
    documents = load(text, "x.yaml")
    return next(iter(parse_documents(documents, {"route": ["r"]}).experiments.values()))[0].spec()


def chances(answer: dict[str, Any], name: str, metric: str = "corrected") -> dict[str, Any]:
    return next(row for row in answer["scenarios"] if row["name"] == name and row["metric"] == metric)


@pytest.mark.parametrize(
    ("name", "effects"),
    [
        ("as good", (0.0, 0.0)),
        ("worse by the margin", (0.02, 0.0)),
        ("worse by twice the margin", (0.04, 0.0)),
        ("better by the mde", (-0.02, 0.0)),
    ],
)
def test_verdicts_come_as_often_as_foretold(name: str, effects: tuple[float, float]) -> None:
    """150 runs with the real tests, looked at 50 times; .05 is what the forecast may be off, besides four standard errors."""
    document, rng, runs, looks = spec(), np.random.default_rng(5), 150, 50
    per_hour, per_look = 400, 400 * 19 // 4 // 50
    told = chances(forecast(document, per_hour, KNOWN), name)
    found = {"promote": 0, "roll_back": 0}
    rates = [(0.1, 0.1 + effects[0]), (0.002, 0.002 + effects[1])]
    counts = [[rng.binomial(n, p, (runs, looks)).cumsum(axis=1) for n, p in zip((3 * per_look, per_look), pair, strict=True)]
              for pair in rates]  # fmt: skip
    for run in range(runs):
        passed = [False, False]
        for look in range(looks):
            n1 = per_look * (look + 1)
            harmed = False
            for i, metric in enumerate(document["metrics"]):
                x0, x1 = (int(side[run, look]) for side in counts[i])
                kind = KINDS[metric["kind"]]
                binary = [Stratum((3 * n1, x0), (n1, x1), 0.25)]
                reports = [Stratum((3 * n1, 3 * n1, x0 * 10**6, 3 * n1, x0 * 10**6, x0 * 10**12),
                                   (n1, n1, x1 * 10**6, n1, x1 * 10**6, x1 * 10**12), 0.25)]  # fmt: skip
                strata = reports if metric["kind"] == "proportion" else binary
                harmed |= kind.harm(kind.running, strata, metric) >= math.log(2 / 0.01)
                passed[i] |= kind.non_inferiority(kind.closed, binary, metric) >= math.log(20)
            if harmed or all(passed):
                found["roll_back" if harmed else "promote"] += 1
                break
    for verdict, count in found.items():
        share = count / runs
        assert told[verdict] == pytest.approx(
            share, abs=0.05 + 4 * math.sqrt(max(share * (1 - share), 0.01) / runs)
        )


def test_chances_of_each_truth_add_up_to_one() -> None:
    answer = forecast(spec(), 300, KNOWN)
    for row in answer["scenarios"]:
        if row["promote"] is not None:
            parts = [row[key] for key in ("promote", "roll_back", "keep", "undecided")]
            assert all(-1e-12 <= part <= 1 + 1e-12 for part in parts)
            assert sum(parts) == pytest.approx(1.0, abs=1e-9)
            assert 0 < row["decided_ms"] <= answer["horizon_ms"]


def test_more_traffic_decides_sooner_and_shows_smaller_effects() -> None:
    few, many = (forecast(spec(), rate, KNOWN) for rate in (300, 3000))
    assert many["power"] > few["power"]
    assert many["expected_ms"] < few["expected_ms"]
    for small, large in zip(few["metrics"], many["metrics"], strict=True):
        assert large["least_harm"] < small["least_harm"]
        assert large["least_margin"] < small["least_margin"]


def test_what_nobody_told_is_assumed_aloud_or_missing_and_never_guessed() -> None:
    assumed = forecast(spec(), 300, {})["assumed"]
    assert [line.split(" (")[0] for line in assumed] == [
        "corrected: a rate of 50 % in control",
        "errors: a rate of 1 % in control",
    ]
    text = CANARY.replace("kind: proportion, better: lower, mde: 2 pp", "kind: mean, better: lower, mde: '2'")
    answer = forecast(spec(text), 300, {})
    assert answer["missing"] == ["corrected: the standard deviation of one unit's value (--sd corrected=...)"]
    assert answer["power"] is answer["expected_ms"] is None
    assert all(row["promote"] is None for row in answer["scenarios"])
    assert answer["metrics"][1]["least_harm"] is not None
    assert forecast(spec(text), 300, {"corrected": Baseline(sd=5.0)})["power"] is not None


def test_a_rate_that_cannot_fall_that_far_has_no_chance_to_tell() -> None:
    answer = forecast(spec(), 300, {"corrected": Baseline(rate=0.01)})
    assert chances(answer, "better by the mde")["promote"] is None
    assert chances(answer, "as good")["promote"] is not None


def test_without_a_closed_window_nothing_is_decided() -> None:
    answer = forecast(spec(CANARY.replace("deadline: 20 h", "deadline: 30 min")), 300, KNOWN)
    assert answer["power"] == 0.0
    assert [row["least_margin"] for row in answer["metrics"]] == [None, None]
    assert chances(answer, "as good")["undecided"] == 1.0


def test_units_that_do_not_report_do_not_count() -> None:
    half = {name: baseline._replace(reported=0.5) for name, baseline in KNOWN.items()}
    full = forecast(spec(), 300, KNOWN)
    assert forecast(spec(), 300, half)["power"] < full["power"]
    text = CANARY.replace("absent: zero", "absent: missing")
    assert (
        "corrected: every unit reports (--reported corrected=...)"
        in forecast(spec(text), 300, KNOWN)["assumed"]
    )


def test_an_ab_test_of_two_equal_arms_ends_as_futile_and_a_better_one_is_promoted() -> None:
    text = CANARY.replace("kind: canary", "kind: ab")
    answer = forecast(spec(text), 3000, KNOWN)
    assert chances(answer, "as good")["keep"] > 0.8
    assert chances(answer, "as good")["promote"] <= 0.05
    assert chances(answer, "better by the mde")["promote"] == answer["power"] > 0.8


def test_a_rare_share_says_what_a_relative_margin_would_take() -> None:
    note = forecast(spec(), 300, KNOWN)["metrics"][1]["note"]
    assert note.startswith(
        "434 units pass a margin of 1 pp if none has an event; to show less than twice 0.2 %"
    )
    assert "a ratio needs events" in note


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_least_harm_of_a_rare_share_is_shown_in_four_of_five_runs(better: str) -> None:
    metric = spec()["metrics"][1] | {"better": better}
    asked = Asked(0.01, 0.05, 0.25, superior=False)
    least = least_harm(metric, Baseline(rate=0.05), asked, 3000.0)
    assert least is not None
    found = prospect(metric, Baseline(rate=0.05), least, asked, np.array([3000.0]))
    assert found is not None
    assert 0.8 <= found.harm[-1] < 0.9


# ---- methods, several goals, other kinds ----------------------------------------------------------------------------

AB = """
experiment: x
route: r
kind: ab
control: a
treatment: b
METHOD
ramp: [{traffic: 50%, time: 1 min, units: 1}]
deadline: 4 d
goals: [{metric: sold, kind: mean, better: higher, mde: 5 %}OTHER]
"""
SOLD = {"sold": Baseline(sd=20.0, level=20.0)}


def planned(method: str, other: str = "") -> dict[str, Any]:
    return spec(AB.replace("METHOD", method).replace("OTHER", other))


@pytest.mark.parametrize(
    ("method", "fixed_n"),
    [("horizon\nmax_units: 9892", 1.0), ("horizon\nmax_units: 9892\nlooks: 10", 1.0), ("sprt", None)],
)
def test_a_method_has_its_published_power_and_units(method: str, fixed_n: float | None) -> None:
    """9,892 units are those of a fixed test of 80 % at one-sided 5 %; no harm is likely, no gate matters."""
    answer = forecast(planned(f"method: {method}"), 3000, SOLD)
    row = answer["metrics"][0]
    assert sum(row["fixed_units"]) == pytest.approx(9892, abs=2)
    better = chances(answer, "better by the mde", "sold")
    assert better["promote"] == pytest.approx(0.78, abs=0.025)
    units = 2 * row["method_units"] / 9892
    assert units == pytest.approx(0.74 if fixed_n else 0.62, abs=0.04)
    assert chances(answer, "as good", "sold")["promote"] <= 0.06


def test_a_fixed_samples_yardsticks_agree_with_each_other() -> None:
    row = forecast(planned("method: open_ended"), 3000, SOLD)["metrics"][0]
    assert row["fixed_power"] > 0.99
    assert row["two_sided_sd"] == pytest.approx(1.0, rel=0.1)  # about the mde, 5 % of 20
    assert row["margin"] == pytest.approx(1.0)


def test_one_of_two_goals_is_enough() -> None:
    one = forecast(planned("method: open_ended"), 300, SOLD)
    two = forecast(
        planned("method: open_ended", ", {metric: kept, kind: mean, better: higher, mde: 5 %}"),
        300,
        SOLD | {"kept": Baseline(sd=20.0, level=20.0)},
    )
    assert [row["name"] for row in two["metrics"]] == ["sold", "kept"]
    # Each has half of alpha, and both must be futile before the control is kept.
    assert two["expected_ms"] > one["expected_ms"]
    assert chances(two, "as good", "sold")["promote"] <= 0.05 + 0.01


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("kind: rate, better: lower, margin: 20 %", Baseline(sd=0.8, level=0.5)),
        ("kind: time_to_event, better: higher, margin: 20 %", Baseline(rate=0.05)),
        ("kind: rare_proportion, better: lower, margin: 40 %", Baseline(rate=0.02)),
        ("kind: exceedance, better: lower, quantile: 99 %, margin: 1 pp", Baseline()),
        ("kind: exceedance, better: lower, quantile: 50 %, margin: 4 pp", Baseline()),
        ("kind: rating, better: higher, margin: 3 %", Baseline(sd=1.0, level=4.0)),
        ("kind: edit_rate, better: lower, margin: 2 pp", Baseline(sd=0.3)),
        ("kind: winsorised_mean, cap: 9, better: lower, margin: 5 %", Baseline(sd=2.0, level=2.0)),
    ],
)
def test_every_kind_has_a_forecast_that_tells_good_from_bad(line: str, told: Baseline) -> None:
    text = CANARY.replace(
        "guardrails: [{metric: errors, margin: 1 pp}]", "guardrails: [{metric: m, " + line + "}]"
    )
    answer = forecast(spec(text), 4000, KNOWN | {"m": told})
    assert answer["missing"] == []
    assert chances(answer, "as good")["promote"] > 0.8
    assert chances(answer, "worse by twice the margin", "m")["promote"] < 0.05
    assert chances(answer, "worse by the margin", "m")["promote"] <= 0.06
    row = answer["metrics"][1]
    assert 0 < row["least_margin"] < row["margin"]


def test_a_relative_difference_of_numbers_asks_for_the_level() -> None:
    answer = forecast(planned("method: open_ended"), 300, {"sold": Baseline(sd=20.0)})
    assert answer["missing"] == ["sold: the average of one unit's value in control (--level sold=...)"]
    assert answer["power"] is None
    rate = CANARY.replace("margin: 1 pp", "margin: 10 %").replace(
        "metric: errors", "metric: m, kind: rate, better: lower"
    )
    missing = forecast(spec(rate), 300, KNOWN)["missing"]
    assert "m: events of one unit in control (--level m=...)" in missing
    assert "m: the standard deviation of one unit's value (--sd m=...)" in missing
