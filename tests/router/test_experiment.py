"""An experiment file to the spec of a run: the keys of each kind, relative differences, covariate and segments."""

from __future__ import annotations

from typing import Any

import pytest

from router.document import load
from router.errors import SpecError
from router.events import FIXED_POINT as F
from router.files import parse_documents
from router.metric import KINDS
from router.metric_keys import KIND_KEYS
from router.run import new_run, running_experiment
from router.traits import Traits

FILE = """
experiment: e
route: r
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
"""


def spec_of(text: str) -> dict[str, Any]:
    files = parse_documents(load(text), {"route": ["r"]})
    return files.experiments["e"][0].spec()


def metric_of(line: str) -> dict[str, Any]:
    metric: dict[str, Any] = spec_of(FILE + "guardrails: [{metric: m, " + line + "}]")["metrics"][1]
    return metric


def problem_of(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        spec_of(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("kind: winsorised_mean, better: lower, margin: 1, cap: 2.5", {"cap": 2_500_000, "value": "mean"}),
        ("kind: rating, better: higher, margin: 0.2, scale: 7", {"scale": 7, "value": "last"}),
        ("kind: exceedance, better: lower, margin: 1 pp, over: 300", {"over": 300 * F, "value": "largest"}),
        ("kind: exceedance, better: lower, margin: 1 pp, quantile: 99.5 %", {"quantile": 0.995}),
        ("kind: rate, better: lower, margin: 50 %", {"relative": True, "margin": 0.5, "absent": "zero"}),
        ("kind: time_to_event, better: higher, margin: 10 %, test: log_rank", {"test": "log_rank"}),
        ("kind: mean, better: lower, margin: 5 %", {"relative": True, "margin": 0.05, "tolerance": 0.0}),
        ("kind: proportion, better: lower, margin: 1 pp, sampled: true", {"sampled": True}),
        ("kind: edit_rate, better: lower, margin: 2 pp", {"margin": 0.02, "value": "sum"}),
        ("kind: rate, better: lower, margin: 200 %, tolerance: 0", {"margin": 2.0, "relative": True}),
    ],
)
def test_what_a_metric_says_is_kept(line: str, kept: dict[str, Any]) -> None:
    found = metric_of(line)
    assert {key: found.get(key) for key in kept} == kept


def test_what_a_file_does_not_say_leaves_nothing_behind() -> None:
    plain = spec_of(FILE)
    assert set(plain) & {"covariate", "segments"} == set()
    assert set(plain["metrics"][0]) == {
        "name", "role", "kind", "better", "mde", "margin", "tolerance", "window_ms", "grace_ms", "absent", "value",
        "over_ms", "builtin",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kind: winsorised_mean, better: lower, margin: 1", "'cap' for kind winsorised_mean"),
        ("kind: mean, better: lower, margin: 1, cap: 3", "'cap' for winsorised_mean only"),
        ("kind: mean, better: lower, margin: 1, scale: 3", "'scale' for rating only"),
        ("kind: exceedance, better: lower, margin: 1 pp", "'over' or 'quantile' for kind exceedance"),
        ("kind: exceedance, better: lower, margin: 1 pp, over: 3, quantile: 99 %", "'over' or 'quantile'"),
        (
            "kind: exceedance, better: lower, margin: 1 pp, quantile: 100 %",
            "quantile: a percentage below 100%",
        ),
        ("kind: rating, better: higher, margin: 1, scale: 11", "scale: 2 .. 10 categories"),
        (
            "kind: rating, better: higher, margin: 1, value: mean",
            "value of kind rating to be one of last, first",
        ),
        ("kind: time_to_event, better: higher, margin: 1 pp", "relative differences ('5 %')"),
        ("kind: time_to_event, better: higher, margin: 5 %, absent: missing", "absent of kind time_to_event"),
        ("kind: mean, better: higher, margin: 100 %", "margin below 100 %"),
        ("kind: mean, better: lower, margin: 5 %, tolerance: 1", "all relative ('5 %') or none"),
        ("kind: mean, better: lower, margin: 5 pp", "a number such as '0.5'"),
        ("kind: ratios, better: lower, margin: 1", "did you mean 'ratio'?"),
        ("kind: rare_proportion, better: lower, margin: 1 pp, sampled: true", "'sampled' for"),
        ("kind: mean, better: lower, margin: 1, sampled: true, absent: zero", "no 'absent: zero'"),
        ("kind: winsorised_mean, better: lower, margin: 1, cap: 0", "cap: a number above 0"),
    ],
)
def test_a_key_that_does_not_fit_its_kind_is_an_error_that_says_so(line: str, expected: str) -> None:
    assert expected in problem_of(FILE + "guardrails: [{metric: m, " + line + "}]")


def test_the_built_in_latency_may_be_capped_or_held_against_a_limit() -> None:
    kept = spec_of(FILE + "guardrails: [{metric: latency, kind: exceedance, over: 300 ms, margin: 1 pp}]")
    assert kept["metrics"][1]["over"] == 300 * F
    assert kept["metrics"][1]["tolerance"] == 0.01
    assert "built-in latency to be mean or winsorised_mean or exceedance" in problem_of(
        FILE + "guardrails: [{metric: latency, kind: ratio, margin: 1}]"
    )


GOAL = "goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}"
MEAN = "goal: {metric: spent, kind: mean, better: higher, mde: 5 %}"
BESIDE = """
covariate: header:x-Visits
segments: {from: cookie:country, values: [de, fr]}
"""


def test_covariate_and_segments_reach_run_and_flag() -> None:
    spec = spec_of(FILE.replace(GOAL, MEAN) + BESIDE)
    assert spec["metrics"][0]["covariate"] is True
    running = running_experiment(spec, "e.1", 1)
    assert running.traits == Traits(("header", "x-visits"), ("cookie", "country"), ("de", "fr"))
    run = new_run(spec, 1, 0)
    assert (run["rolls"], run["constants"]) == ([], {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("covariate: json:/visits", "one of header:NAME, cookie:NAME, query:NAME"),
        ("segments: {from: header:c, values: [de, de]}", "each segment once"),
        ("segments: {from: header:c, values: [other]}", "none named 'other'"),
        ("segments: {from: header:c, values: []}", "at least 1 item"),
        ("segments: {from: header:c, value: [de]}", "segments.values: expected this key"),
        ("covariate: header:x-visits", "a metric that a covariate adjusts (mean, winsorised_mean)"),
    ],
)
def test_a_covariate_or_segment_that_cannot_be_read_is_an_error(text: str, expected: str) -> None:
    assert expected in problem_of(FILE + text)


def test_every_key_of_a_kind_is_known_to_the_file() -> None:
    assert {key for kind in KINDS.values() for key in kind.keys} == set(KIND_KEYS)


AB = FILE.replace("canary", "ab").replace("goal: {", "goals: [{").replace("2 pp}", "2 pp}, GOALS]")
SECOND = "{metric: sold, kind: proportion, better: higher, mde: 1 pp}"
WATCHED = "{metric: m, kind: mean, better: lower, mde: 1}"
LOOKS = FILE + "method: horizon\nmax_units: 9\nlooks: 3\n"


def test_goals_then_guardrails_then_what_is_observed() -> None:
    text = AB.replace("GOALS", SECOND) + "guardrails: [{metric: errors, margin: 1 pp}]\n"
    found = spec_of(text + f"observe: [{WATCHED}]")["metrics"]
    assert [(m["name"], m["role"]) for m in found] == [
        ("corrected", "goal"),
        ("sold", "goal"),
        ("errors", "guardrail"),
        ("m", "observed"),
    ]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ("", {}),
        ("method: open_ended", {}),
        ("method: sprt", {"method": "sprt"}),
        ("method: horizon\nmax_units: 40000", {"method": "horizon", "max_units": 40_000}),
        ("method: horizon\nmax_units: 9\nlooks: 3", {"method": "horizon", "max_units": 9, "looks": 3}),
        (
            "method: horizon\nmax_units: 9\nlooks: 3\nspending: hwang_shih_decani\nspending_parameter: -4",
            {
                "method": "horizon",
                "max_units": 9,
                "looks": 3,
                "spending": "hwang_shih_decani",
                "spending_parameter": -4.0,
            },
        ),
    ],
)
def test_a_method_that_is_not_written_leaves_nothing_behind(keys: str, kept: dict[str, Any]) -> None:
    spec = spec_of(FILE + keys)
    keys_of_a_plan = ("method", "max_units", "looks", "spending", "spending_parameter")
    assert {key: spec[key] for key in keys_of_a_plan if key in spec} == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILE + "method: bayes", "method"),
        (FILE + "method: horizon", "max_units above 0 for method: horizon"),
        (FILE + "method: horizon\nmax_units: 0", "max_units above 0"),
        (FILE + "method: horizon\nmax_units: 9\nlooks: 51", "1 .. 50 looks"),
        (FILE + "max_units: 9", "'max_units' for method: horizon only"),
        (FILE + "method: sprt\nlooks: 9", "'looks' for method: horizon only"),
        (LOOKS + "spending: pocok", "did you mean 'pocock'?"),
        (LOOKS + "spending: power", "a spending_parameter for spending: power"),
        (LOOKS + "spending: power\nspending_parameter: 0", "a power above 0"),
        (LOOKS + "spending: pocock\nspending_parameter: 1", "no spending_parameter for spending: pocock"),
        (LOOKS + "spending: power\nspending_parameter: 21", "a number from -20 to 20"),
        (FILE + "method: horizon\nmax_units: 9\nspending: pocock", "'spending' with 'looks' only"),
        (FILE + "spending: pocock", "'spending' for method: horizon only"),
        (FILE + f"goals: [{SECOND}]", "either goal or goals"),
        (FILE.replace("goal: {", "guardrails: [{").replace("2 pp}", "2 pp}]"), "either goal or goals"),
        (FILE.replace("goal: {", "goals: [{").replace("2 pp}", "2 pp}]"), "one goal for a canary"),
        (AB.replace("GOALS", SECOND.replace("mde", "margin")), "an mde for goal sold"),
        (AB.replace(", GOALS", "").replace("corrected", "sold") + f"observe: [{SECOND}]", "each metric once"),
        (FILE + f"observe: [{WATCHED.replace(', mde: 1', '')}]", "an mde for observed metric m"),
        (
            FILE + f"observe: [{WATCHED.replace('1}', '1, window: 2 h}')}]",
            "that no deciding metric waits for",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_an_error(text: str, words: str) -> None:
    assert words in problem_of(text)
