"""Time to a first outcome: partial likelihoods, exactness, and looks in calendar time while units join."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from stats.counts import MORE, Mixture
from stats.logrank import Age, log_evalue
from tests.stats.luck import most_allowed


def partial(times: list[int], arms: list[int], beta: float) -> float:
    """Cox's log partial likelihood with Breslow's ties, from its definition over units; every unit converts."""
    return sum(
        beta * arm - math.log(sum(math.exp(beta * a) for t, a in zip(times, arms, strict=True) if t >= time))
        for time, arm in zip(times, arms, strict=True)
    )


@pytest.mark.parametrize("times", [[1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 2, 2, 5, 9]])
def test_it_is_the_ratio_of_coxs_partial_likelihoods(times: list[int]) -> None:
    arms = [0, 1, 1, 0, 1, 0, 1]
    ages = [
        Age(
            *(sum(1 for t, a in zip(times, arms, strict=True) if t >= time and a == arm) for arm in (0, 1)),
            *(sum(1 for t, a in zip(times, arms, strict=True) if t == time and a == arm) for arm in (0, 1)),
        )
        for time in sorted(set(times))
    ]
    for ratio in (0.5, 2.0, 5.0):
        expected = partial(times, arms, math.log(ratio)) - partial(times, arms, 0.0)
        assert log_evalue(ages, mixture=Mixture((ratio,), (1.0,))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tied", [1, 2, 3])
def test_the_mean_of_e_is_at_most_one_when_all_enter_together(tied: int) -> None:
    """Over every assignment of three of seven units to treatment: a conversion order fixed, labels exchangeable."""
    values = []
    for treated in combinations(range(7), 3):
        arms = [int(unit in treated) for unit in range(7)]
        ages = []
        for first in range(0, 6, tied):
            left, here = arms[first:], arms[first : first + tied]
            ages.append(Age(len(left) - sum(left), sum(left), len(here) - sum(here), sum(here)))
        values.append(math.exp(log_evalue(ages)))
    mean = float(np.mean(values))
    assert mean <= 1 + 1e-12
    if tied == 1:
        assert mean == pytest.approx(1.0, abs=1e-12)


def test_nothing_seen_says_nothing_and_a_lonely_arm_neither() -> None:
    assert log_evalue([]) == pytest.approx(0.0, abs=1e-12)
    assert log_evalue([Age(5, 5, 0, 0)]) == pytest.approx(0.0, abs=1e-12)
    assert log_evalue([Age(0, 5, 0, 3)]) == pytest.approx(0.0, abs=1e-12)


def by_age(entry: np.ndarray, waits: np.ndarray, arm: np.ndarray, now: float) -> tuple[np.ndarray, ...]:
    """Risk sets at each conversion's age, as seen at a moment of calendar time."""
    seen = entry <= now
    age = np.minimum(waits, now - entry)[seen]
    converts = (entry + waits <= now)[seen]
    order = np.argsort(-age, kind="stable")
    here, converted = arm[seen][order], converts[order]
    risk1 = np.cumsum(here)
    risk0 = np.arange(1, len(here) + 1) - risk1
    return risk0[converted], risk1[converted], here[converted]


def log_e(risk0: np.ndarray, risk1: np.ndarray, treated: np.ndarray) -> float:
    ratios = np.array(MORE.ratios)
    parts = treated.sum() * np.log(ratios) - np.log(
        (risk0[:, None] + ratios * risk1[:, None]) / (risk0 + risk1)[:, None]
    ).sum(axis=0)
    return float(np.logaddexp.reduce(parts + np.log(MORE.weights)))


def test_the_vectorised_test_of_the_simulation_is_the_test() -> None:
    rng = np.random.default_rng(1)
    risk0, risk1, treated = by_age(rng.random(60), rng.exponential(0.5, 60), np.arange(60) % 3 // 2, 1.2)
    ages = [Age(int(a), int(b), 1 - int(t), int(t)) for a, b, t in zip(risk0, risk1, treated, strict=True)]
    assert log_e(risk0, risk1, treated) == pytest.approx(log_evalue(ages), abs=1e-9)


@pytest.mark.parametrize("runs", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_looks_in_calendar_time_while_units_join_keep_the_error_rate(runs: int) -> None:
    """The log-rank test (asymptotic here) and, exact, the count of converters; false-alarm chance below 1e-6."""
    rng = np.random.default_rng([17, runs])
    wrong, share = [0, 0], 0.25
    for _ in range(runs):
        n = 400
        entry, arm = np.sort(rng.random(n)), (rng.random(n) < share).astype(int)
        waits = rng.exponential(0.5, n)
        found: tuple[list[float], list[float]] = ([], [])
        for now in np.linspace(0.1, 1.5, 15):
            risk0, risk1, treated = by_age(entry, waits, arm, float(now))
            found[0].append(log_e(risk0, risk1, treated))
            one = np.full(len(treated), 1)
            found[1].append(log_e(one * (1 - share), one * share, treated))
        for k in (0, 1):
            wrong[k] += max(found[k]) >= math.log(20)
    assert max(wrong) <= most_allowed(runs, 0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: log_evalue([Age(1, 1, 2, 0)]), "events0"),
        (lambda: log_evalue([Age(1, 1, 0, -1)]), "events1"),
        (lambda: log_evalue([], mixture=Mixture((0.0,), (1.0,))), "ratios"),
        (lambda: log_evalue([], null=math.nan), "null"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
