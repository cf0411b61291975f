"""Detectors: the martingale behind the promise, the average run length, and the delay after a change."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from stats.detectors import (
    ALARM,
    RATIOS,
    cusum,
    holdback_increments,
    increments,
    log_evidence,
    shiryaev_roberts,
    start,
)
from tests.stats.luck import most_allowed

P0 = 0.01


@pytest.mark.parametrize("p", [0.01, 0.19])
def test_the_mean_of_an_increment_is_one_before_a_change(p: float) -> None:
    none, event = np.exp(increments(p))
    assert (1 - p) * none + p * event == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_the_mean_of_an_increment_is_one_against_a_holdback(share: float) -> None:
    control, treatment = np.exp(holdback_increments(share))
    assert (1 - share) * control + share * treatment == pytest.approx(1.0, abs=1e-12)


def test_the_mean_of_shiryaev_roberts_is_the_number_of_outcomes() -> None:
    """Over all paths of twelve outcomes: M - n is a martingale, which is what bounds the run length."""
    table, p, n, mean, mean_cusum = increments(0.1), 0.1, 12, 0.0, 0.0
    for path in product((0, 1), repeat=n):
        chance = math.prod(p if event else 1 - p for event in path)
        state, best = start(table.shape[1]), start(table.shape[1])
        for event in path:
            state, best = shiryaev_roberts(state, table[event]), cusum(best, table[event])
        mean += chance * math.exp(log_evidence(state))
        mean_cusum += chance * math.exp(log_evidence(best))
    assert mean == pytest.approx(n, rel=1e-10)
    assert mean_cusum < mean


def alarms(
    rng: np.random.Generator,
    runs: int,
    longest: int,
    p: float,
    warm: int = 0,
    step: object = shiryaev_roberts,
) -> np.ndarray:
    """Outcomes until the alarm, after a healthy warm-up without one; ``longest`` where none comes; -1: too early."""
    table = increments(P0)
    state = np.tile(start(table.shape[1]), (runs, 1))
    found = np.full(runs, longest)
    for i in range(-warm, longest):
        event = (rng.random(runs) < (P0 if i < 0 else p)).astype(int)
        state = step(state, table[event])  # type: ignore[operator]
        if i % 10 == 9 or i < 0:
            late = (found == longest) & (log_evidence(state) >= math.log(ALARM))
            found[late] = -1 if i < 0 else i + 1
    return found


@pytest.mark.parametrize(
    ("runs", "longest"), [(300, 5000), pytest.param(1000, 20_000, marks=pytest.mark.slow)]
)
def test_before_a_change_alarms_are_as_rare_as_promised(runs: int, longest: int) -> None:
    """P(alarm within n) <= n/A by Doob; false-alarm chance below 1e-6."""
    found = alarms(np.random.default_rng(1), runs, longest, P0)
    assert (found < longest).sum() <= most_allowed(runs, longest / ALARM)


@pytest.mark.slow
def test_the_average_run_length_is_at_least_the_alarm_level() -> None:
    """Runs that outlast 400,000 outcomes count as that long. The mean is five standard errors above the level."""
    found = alarms(np.random.default_rng(2), 400, 400_000, P0)
    assert found.mean() >= ALARM


@pytest.mark.parametrize("runs", [400, pytest.param(4000, marks=pytest.mark.slow)])
def test_a_doubling_of_one_percent_is_found_within_its_target(runs: int) -> None:
    """After a healthy warm-up of 2,000; the mean may be four standard errors above 1,400."""
    found = alarms(np.random.default_rng(3), runs, 12_000, 2 * P0, warm=2000)
    found = found[found >= 0]
    assert len(found) >= 0.9 * runs
    assert found.mean() <= 1400 + 4 * found.std() / math.sqrt(len(found))


def test_cusum_is_slower_at_the_same_level() -> None:
    quick = alarms(np.random.default_rng(5), 100, 8000, 5 * P0)
    slow = alarms(np.random.default_rng(5), 100, 8000, 5 * P0, step=cusum)
    assert (slow >= quick).all()
    assert slow.mean() > 1.2 * quick.mean()


def test_streams_side_by_side_are_the_streams_alone() -> None:
    table, rng = increments(P0), np.random.default_rng(6)
    events = (rng.random((3, 200)) < 0.05).astype(int)
    together = np.tile(start(5), (3, 1))
    for i in range(200):
        together = shiryaev_roberts(together, table[events[:, i]])
    for stream, expected in zip(events, together, strict=True):
        alone = start(5)
        for event in stream:
            alone = shiryaev_roberts(alone, table[event])
        assert alone == pytest.approx(expected, abs=1e-12)


def test_ratios_that_would_pass_one_are_left_out() -> None:
    assert increments(0.25).shape == (2, sum(ratio < 4 for ratio in RATIOS))
    assert log_evidence(start(5)) == -math.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: increments(0.0), "baseline"),
        (lambda: increments(0.9), "ratios: expected one above 1 and below 1.1"),
        (lambda: holdback_increments(1.0), "share"),
        (lambda: holdback_increments(0.5, [1.0]), "ratios"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
