"""Published values: every case whose method is here agrees; every other case is named with the reason it is not here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stats import counts, grid, normal, srm
from stats.moments import sample

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "cases" / "stats.json").read_text())["cases"]
}


def _best_variance(inputs: dict[str, Any]) -> float:
    """confseq tunes its mixture to a sample size; the variance of ours is fixed by the caller."""
    tail = 2 * math.log(1 / inputs["alpha_opt"])
    return float((tail + math.log1p(tail)) / inputs["v_opt"])


def _two_sided(inputs: dict[str, Any]) -> float:
    return normal.log_evalue(inputs["v"], inputs["s"], 0.0, _best_variance(inputs))


def _two_sided_bound(inputs: dict[str, Any]) -> float:
    high = normal.interval(inputs["v"], 0.0, _best_variance(inputs), inputs["alpha"]).high
    return high * float(inputs["v"])


def _srm(inputs: dict[str, Any]) -> float:
    counts = inputs["counts"] if "counts" in inputs else inputs["counts_at_stop"]
    shares = inputs.get("p0") or inputs.get("theta0") or inputs["rho"]
    return srm.log_evalue([(counts, shares)], inputs.get("concentration", 100))


def _welch(inputs: dict[str, Any]) -> list[float]:
    arms = [
        sample(arm["n"], round(arm["sum"] * 10**6), round(arm["sum_squares"] * 10**12))
        for arm in (inputs["arm0"], inputs["arm1"])
    ]
    return [arms[1].mean - arms[0].mean, math.sqrt(sum(arm.variance / arm.n for arm in arms))]


def _johari(inputs: dict[str, Any]) -> float:
    information = inputs["n"] / (2 * inputs["sigma"] ** 2)
    return normal.log_evalue(information, information * inputs["diff"], 0.0, inputs["tau"] ** 2)


def _grid(inputs: dict[str, Any]) -> float:
    information = inputs["se"] ** -2
    return grid.log_evalue(information, information * inputs["est"], inputs["null"], inputs["mde"])


def _rate_ratio(inputs: dict[str, Any]) -> float:
    return counts.log_evalue([(inputs["x0"], inputs["x1"], inputs["rho"])])


PRESENT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "cs-norm2-logmix": _two_sided,
    "cs-norm2-bound": _two_sided_bound,
    "ssrm-regression-bf": _srm,
    "ssrm-notebook-1": _srm,
    "ssrm-notebook-2": _srm,
    "savvi-multinomial-stop": _srm,
    "savvi-poisson-stop": _srm,
    "gb-ttest-abs": _welch,
    "johari-msprt-1": _johari,
    "mde-grid-1": _grid,
    "rr-harm-1": _rate_ratio,
}

# By the beginning of the id; the longest that fits counts.
ABSENT = {
    "cs-norm2-rho": "nothing is tuned to a sample size: the mixture's variance is a fixed margin",
    "cs-norm1": "the one-sided normal mixture: the grid takes its place",
    "cs-bb": "beta-binomial mixtures of one rate",
    "cs-gamma": "gamma mixtures",
    "cs-polystitch": "stitched boundaries",
    "cs-lil": "stitched boundaries",
    "cs-dblstitch": "stitched boundaries",
    "cs-bern": "beta-binomial mixtures of one rate",
    "cs-quantile": "quantiles",
    "gb-seq": "relative lift, and the one-sided normal mixture",
    "gb-ttest": "relative lift",
    "gb-ratio": "relative lift and regression adjustment",
    "ssrm-unit": "a flat prior: ours lies around the asked shares",
    "ssrm-batch": "a flat prior: ours lies around the asked shares",
    "ssrm-regression-p": "anytime p-values: e-values are shown instead",
    "savvi-poisson-ci": "the confidence sequence of a rate ratio: differences are shown",
    "savvi-linreg": "t versions and regression",
    "avlm": "t versions and regression",
    "ville": "other engines",
    "eb-ville": "other engines",
    "jt": "group-sequential tests",
    "rpact": "group-sequential tests",
    "gsd": "group-sequential tests",
    "sas": "group-sequential tests",
    "spotify": "group-sequential tests",
    "seq-cv": "group-sequential tests",
    "yeast": "group-sequential tests",
    "ss-": "planning",
    "wald": "planning",
    "power-one": "planning",
    "safestats": "planning",
    "statsig": "a formula that is no martingale",
    "ebh": "many exploratory metrics",
    "p2e": "calibrators",
    "safe2x2": "the block test of two proportions",
}


def _reason(name: str) -> str | None:
    fits = [beginning for beginning in ABSENT if name.startswith(beginning)]
    return ABSENT[max(fits, key=len)] if fits else None


@pytest.mark.parametrize("name", sorted(PRESENT))
def test_our_value_is_the_published_one(name: str) -> None:
    case = CASES[name]
    found, expected = PRESENT[name](case["inputs"]), case["expected"]
    assert found == pytest.approx(expected, rel=0, abs=case["tolerance"])


def test_every_case_is_tested_or_named_with_a_reason() -> None:
    unaccounted = [name for name in CASES if name not in PRESENT and _reason(name) is None]
    assert unaccounted == []
    assert set(PRESENT) <= set(CASES)
    assert [start for start in ABSENT if not any(name.startswith(start) for name in CASES)] == []
