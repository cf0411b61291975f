"""Every kind with every method: the document gives its verdict again, and nothing that is missing makes a promotion."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.evidence import Health, weigh
from router.methods import METHODS, claim_of, plan_of
from router.metric import KINDS
from router.reading import Stratum
from router.weighing import deciding_test
from tests.router.looks import ERRORS, NOW, look, moments, units, unknown, without
from tests.router.test_methods import HORIZON, PLANNED, SPRT, run_with, seen
from tests.router.test_metric import CASES, strata_of

ARMS = (3000, 1000)
ALL: tuple[dict[str, Any], ...] = ({}, HORIZON, PLANNED, SPRT)
NAMES = ("open-ended", "horizon", "planned looks", "sprt")


def kind_run(kind: str, method: dict[str, Any], experiment: str) -> dict[str, Any]:
    terms = {"better": "lower", "mde": 0.02, "margin": 0.02, "tolerance": 0.0} | CASES[kind].terms
    goal = {"name": "corrected", "role": "goal", "kind": kind, "absent": "missing", "builtin": False} | terms
    return run_with(method | {"attempt": 1}, experiment, metrics=(goal, ERRORS))


def kind_moments(kind: str, treatment: str) -> dict[str, int]:
    values = units(ARMS) | {key: value for key, value in moments(ARMS).items() if "|errors|" in key}
    for key in ("r", "c"):
        reading = KINDS[kind].reading(CASES[kind].terms, key)
        (stratum,) = strata_of(kind, key, treatment, CASES[kind].terms)
        for arm, sums in enumerate(stratum.arms):
            start = f"1|{arm}|corrected"
            values |= {f"{start}|{key}|{name}": part for name, part in zip(reading.names, sums, strict=True)}
            values[f"{start}|p|n"] = ARMS[arm]
    return values


EVERY = [(kind, method, experiment) for kind in KINDS for method in ALL for experiment in ("canary", "ab")]
EVERY_NAME = [f"{kind}, {name}, {e}" for kind in KINDS for name in NAMES for e in ("canary", "ab")]


@pytest.mark.parametrize(("kind", "method", "experiment"), EVERY, ids=EVERY_NAME)
@pytest.mark.parametrize("treatment", ["same", "worse"])
def test_the_document_alone_gives_every_number_and_the_verdict_again(
    kind: str, method: dict[str, Any], experiment: str, treatment: str
) -> None:
    run = kind_run(kind, method, experiment)
    found = look(run, kind_moments(kind, treatment))
    document = json.loads(json.dumps(found.document, allow_nan=False))
    for terms in run["spec"]["metrics"]:
        kept, row_of = document["metrics"][terms["name"]], KINDS[terms["kind"]]
        running, closed, earlier = (
            [Stratum(tuple(c), tuple(t), share) for c, t, share in kept["sums"][key]]
            for key in ("running", "closed", "earlier")
        )
        promoting = [*earlier, *(running if row_of.promotes_on(terms) == "r" else closed)]
        numbers = {"harm": row_of.harm(row_of.reading(terms, "r"), running, terms)}
        numbers |= row_of.promoting(promoting, terms)
        test = deciding_test(run["spec"], terms)
        gated = bool(row_of.units_missing(promoting, terms))
        claim = claim_of(row_of, terms, test, promoting, numbers[test], gated=gated)
        closed_units = sum(row["closed"] for row in document["units"].values())
        name = document["method"]["name"]
        numbers[test] = METHODS[name].answer(claim, plan_of(run, closed_units)).number
        assert numbers == {key: kept["log_e"][key] for key in numbers}
        assert kept["threshold"]["promote"] == -math.log(document["method"]["alpha"])
        shown = kept["max_log_e"]["harm"] >= kept["threshold"]["harm"]
        assert (kept["state"] == "harmful") is shown
    harmed = any(row["state"] == "harmful" for row in document["metrics"].values())
    assert (document["verdict"] == "worse") is harmed
    assert treatment == "same" or harmed


@given(st.sampled_from(EVERY), st.sampled_from(["same", "worse"]), st.booleans())
def test_taking_away_any_input_of_any_kind_and_method_never_makes_a_promotion(
    case: tuple[str, dict[str, Any], str], treatment: str, looked_before: bool
) -> None:
    run, values = kind_run(*case), kind_moments(case[0], treatment)
    if looked_before:
        run = seen(run, weigh(run, kind_moments(case[0], "same"), Health(), NOW))
    whole = weigh(run, values, Health(), NOW)
    groups = {"|".join(key.split("|")[:4]) for key in values}
    for group in groups:
        less = weigh(run, without(values, group), Health(), NOW)
        assert whole.proven or not less.proven, group
    for field in ("sent", "lost", "lag_ms", "silent"):
        assert not weigh(run, values, unknown(field), NOW).proven
    assert not weigh(run, {}, Health(), NOW).proven
