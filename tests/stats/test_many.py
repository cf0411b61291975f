"""Many claims: order of strength, closure against its definition, and error rates under dependence."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.many import attempt_alpha, bonferroni, closed, e_bh, holm
from tests.stats.luck import most_allowed

LOGS = st.lists(st.floats(-50, 50), max_size=7)
ALPHA = 0.05


def by_bonferroni(log_e: list[float]) -> list[int]:
    return [i for i, value in enumerate(log_e) if value >= bonferroni(len(log_e), ALPHA)]


def by_definition(log_e: list[float], claim: int) -> float:
    """The least average over every set that contains the claim."""
    others = [value for i, value in enumerate(log_e) if i != claim]
    return min(
        float(np.logaddexp.reduce([log_e[claim], *chosen])) - math.log(1 + size)
        for size in range(len(others) + 1)
        for chosen in combinations(others, size)
    )


@given(LOGS)
def test_closure_is_the_least_average_of_all_sets(log_e: list[float]) -> None:
    expected = [by_definition(log_e, claim) for claim in range(len(log_e))]
    assert closed(log_e) == pytest.approx(expected, abs=1e-9)


@given(LOGS)
def test_each_procedure_shows_at_least_what_the_stricter_one_does(log_e: list[float]) -> None:
    by_closure = [i for i, value in enumerate(closed(log_e)) if value >= -math.log(ALPHA) - 1e-9]
    strict, step, loose = by_bonferroni(log_e), holm(log_e, ALPHA), e_bh(log_e, ALPHA)
    assert set(strict) <= set(step) <= set(by_closure)
    assert set(strict) <= set(loose)


@given(LOGS, st.randoms())
def test_the_order_of_claims_does_not_matter(log_e: list[float], random: object) -> None:
    order = list(range(len(log_e)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [log_e[i] for i in order]
    assert sorted(order[i] for i in e_bh(shuffled, ALPHA)) == e_bh(log_e, ALPHA)
    adjusted = closed(log_e)
    assert closed(shuffled) == pytest.approx([adjusted[i] for i in order], abs=1e-9)


def test_one_claim_is_corrected_for_nothing() -> None:
    just = math.log(20) + 1e-12
    assert bonferroni(1, ALPHA) == math.log(1 / ALPHA)
    assert holm([just], ALPHA) == e_bh([just], ALPHA) == [0]
    assert closed([just]) == [just]


def test_no_claims_show_nothing_and_e_of_zero_is_fine() -> None:
    for procedure in (holm, e_bh):
        assert procedure([], ALPHA) == []
        assert procedure([-math.inf, 100.0], ALPHA) == [1]
    assert closed([]) == []
    assert closed([-math.inf, 0.0]) == [-math.inf, pytest.approx(-math.log(2))]


def test_holm_stops_at_the_first_failure() -> None:
    assert holm([math.log(61), math.log(39), math.log(30)], ALPHA) == [0]
    assert holm([math.log(61), math.log(41), math.log(19)], ALPHA) == [0, 1]


@pytest.mark.parametrize("runs", [600, pytest.param(6000, marks=pytest.mark.slow)])
def test_eighteen_null_claims_looked_at_200_times_show_a_false_one_at_most_as_often_as_promised(
    runs: int,
) -> None:
    """Three arms with six correlated metrics each; false-alarm chance below 1e-6."""
    rng = np.random.default_rng([6, runs])
    wrong = dict.fromkeys(("bonferroni", "closed", "e_bh"), 0)
    factor = np.linalg.cholesky(0.5 * np.eye(18) + 0.5)
    for _ in range(runs):
        scores = (rng.normal(size=(200, 18)) @ factor.T).cumsum(axis=0)
        looks = np.arange(1, 201)[:, None]
        unit = 2.8 / math.sqrt(200)
        parts = [math.log(w) + k * unit * scores - looks * (k * unit) ** 2 / 2 for k, w in
                 ((0.5, 0.2), (1, 0.5), (2, 0.2), (4, 0.1))]  # fmt: skip
        most = np.logaddexp.reduce(parts, axis=0).max(axis=0).tolist()
        wrong["bonferroni"] += bool(by_bonferroni(most))
        # The other two may not mix maxima of unlike looks: they are read at one stopping time, the end.
        end = np.logaddexp.reduce([part[-1] for part in parts], axis=0).tolist()
        wrong["closed"] += max(closed(end)) >= -math.log(ALPHA)
        wrong["e_bh"] += bool(e_bh(end, ALPHA))
    assert max(wrong.values()) <= most_allowed(runs, ALPHA)


def test_all_attempts_together_spend_less_than_the_budget() -> None:
    assert attempt_alpha(0.04, 1) == 0.02
    assert sum(attempt_alpha(0.04, attempt) for attempt in range(1, 60)) <= 0.04


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: holm([math.nan], ALPHA), "log_e: expected a list of numbers"),
        (lambda: bonferroni(0, ALPHA), "claims"),
        (lambda: e_bh([1.0], 0.5), "alpha"),
        (lambda: attempt_alpha(0.05, 0), "attempt"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
