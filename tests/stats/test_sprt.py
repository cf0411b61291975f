"""Wald's test: exact likelihood ratios, both errors, and samples near Wald's bounds."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import sprt
from stats.planning import fixed_information
from tests.stats.luck import most_allowed

ALPHA, BETA = 0.025, 0.2
N80 = fixed_information(1.0, ALPHA, 1 - BETA)


@given(st.floats(0.01, 50), st.floats(-5, 5), st.floats(0.01, 3))
def test_swapping_null_and_alternative_changes_the_sign(
    information: float, weighted: float, unit: float
) -> None:
    forward = sprt.log_evalue(information, weighted, 0.0, unit)
    assert sprt.log_evalue(information, -weighted, -unit, unit) == pytest.approx(-forward, abs=1e-9)


@given(st.floats(0.01, 50), st.floats(-5, 5), st.floats(0.01, 3))
def test_scores_beyond_the_boundary_are_ratios_beyond_the_thresholds(
    information: float, weighted: float, unit: float
) -> None:
    low, high = sprt.boundary(information, unit, ALPHA, BETA)
    accept, reject = sprt.thresholds(ALPHA, BETA)
    for edge, limit in ((low, accept), (high, reject)):
        assert sprt.log_evalue(information, edge, 0.0, unit) == pytest.approx(limit, abs=1e-8)
    assert low < high


@pytest.mark.parametrize(("ratio", "null", "share"), [(2.0, 1.0, 0.25), (0.5, 1.0, 0.05), (1.0, 2.0, 0.5)])
def test_the_mean_of_e_is_one_under_the_null_ratio(ratio: float, null: float, share: float) -> None:
    n, chance = 40, null * share / (null * share + 1 - share)
    mean = sum(
        comb(n, x) * chance**x * (1 - chance) ** (n - x)
        * math.exp(sprt.rate_log_evalue([(n - x, x, share)], ratio, null))
        for x in range(n + 1)
    )  # fmt: skip
    assert mean == pytest.approx(1.0, abs=1e-12)


def test_strata_add_and_nothing_seen_says_nothing() -> None:
    strata = [(3, 4, 0.25), (7, 1, 0.05)]
    parts = [sprt.rate_log_evalue([stratum], 2.0) for stratum in strata]
    assert sprt.rate_log_evalue(strata, 2.0) == pytest.approx(sum(parts), abs=1e-12)
    assert sprt.rate_log_evalue([(0, 0, 0.5)], 2.0) == 0.0


@given(st.floats(-2, 3))
def test_the_course_is_smooth_and_between_its_ends(effect: float) -> None:
    course = sprt.course(effect, 1.0, ALPHA, BETA)
    assert 0 <= course.rejects <= 1
    assert 0 < course.information <= -math.prod(sprt.thresholds(ALPHA, BETA)) * 1.1
    near = sprt.course(effect + 1e-6, 1.0, ALPHA, BETA)
    assert near.rejects == pytest.approx(course.rejects, abs=1e-4)


def test_wald_promises_both_errors_in_his_course() -> None:
    assert sprt.course(0.0, 1.0, ALPHA, BETA).rejects == pytest.approx(ALPHA, rel=1e-9)
    assert sprt.course(1.0, 1.0, ALPHA, BETA).rejects == pytest.approx(1 - BETA, rel=1e-9)


@pytest.mark.parametrize(("effect", "error", "most"), [(1.0, BETA, 0.70), (0.0, ALPHA, 0.42)])
def test_errors_and_samples_meet_their_target(effect: float, error: float, most: float) -> None:
    """4,000 paths with 147 looks a fixed sample; the mean may be four standard errors above its target."""
    rng = np.random.default_rng([8, int(effect)])
    runs, step = 4000, N80 / 147
    paths = rng.normal(effect * step, math.sqrt(step), (runs, 147 * 5)).cumsum(axis=1)
    log_e = paths - step * np.arange(1, 147 * 5 + 1) / 2
    accept, reject = sprt.thresholds(ALPHA, BETA)
    ends = (log_e >= reject) | (log_e <= accept)
    assert ends.any(axis=1).all()
    first = ends.argmax(axis=1)
    rejected = log_e[np.arange(runs), first] >= reject
    wrong = int((~rejected if effect else rejected).sum())
    assert wrong <= most_allowed(runs, error)
    used = (first + 1) / 147
    assert used.mean() <= most + 4 * used.std() / math.sqrt(runs)


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_a_canary_is_promoted_or_rolled_back_by_one_number(share: float) -> None:
    """Margin twice 1 %; wrong answers are bounded with a false-alarm chance below 1e-6 by Wald's guarantee."""
    rng = np.random.default_rng([9, int(100 * share)])
    harm, promote, runs = 0.01, 0.05, 1500
    accept, reject = sprt.thresholds(harm, promote)
    for ratio, error in ((1.0, harm / (1 - promote)), (2.0, promote / (1 - harm))):
        events = np.arange(1, 3001)
        x1 = (rng.random((runs, 3000)) < ratio * share / (ratio * share + 1 - share)).cumsum(axis=1)
        log_e = x1 * math.log(2) - events * math.log1p(share)
        assert log_e[0, -1] == pytest.approx(
            sprt.rate_log_evalue([(3000 - int(x1[0, -1]), int(x1[0, -1]), share)], 2.0), abs=1e-9
        )
        ends = (log_e >= reject) | (log_e <= accept)
        assert ends.any(axis=1).all()
        rolled_back = log_e[np.arange(runs), ends.argmax(axis=1)] >= reject
        wrong = int(rolled_back.sum() if ratio == 1.0 else (~rolled_back).sum())
        assert wrong <= most_allowed(runs, error)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sprt.thresholds(0.0, 0.2), "alpha"),
        (lambda: sprt.thresholds(0.05, 0.5), "beta: expected"),
        (lambda: sprt.log_evalue(-1.0, 0.0, 0.0, 1.0), "information"),
        (lambda: sprt.log_evalue(1.0, 0.0, 0.0, 0.0), "unit"),
        (lambda: sprt.rate_log_evalue([(1, -1, 0.5)], 2.0), "events of treatment"),
        (lambda: sprt.rate_log_evalue([(1, 1, 1.0)], 2.0), "share"),
        (lambda: sprt.rate_log_evalue([(1, 1, 0.5)], 0.0), "ratio"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
