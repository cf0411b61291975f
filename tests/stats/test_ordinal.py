from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import ordinal

ratings = st.lists(st.integers(0, 60), min_size=4, max_size=4)


def spelled_out(counts: list[int]) -> list[int]:
    return [category for category, count in enumerate(counts) for _ in range(count)]


@given(ratings, ratings)
def test_the_win_probability_counts_all_pairs(counts0: list[int], counts1: list[int]) -> None:
    ones, others = spelled_out(counts1), spelled_out(counts0)
    found = ordinal.win_probability(counts0, counts1)
    if not ones or not others:
        assert found.effect is None
        assert found.missing
        return
    wins = sum((a > b) + (a == b) / 2 for a, b in itertools.product(ones, others))
    assert found.effect == pytest.approx(wins / (len(ones) * len(others)) - 0.5, abs=1e-12)


@given(ratings, ratings)
def test_exchanging_the_arms_or_turning_the_scale_turns_the_sign(
    counts0: list[int], counts1: list[int]
) -> None:
    found = ordinal.win_probability(counts0, counts1)
    for other in (
        ordinal.win_probability(counts1, counts0),
        ordinal.win_probability(counts0[::-1], counts1[::-1]),
    ):
        assert other.information == pytest.approx(found.information, rel=1e-9)
        assert other.weighted == pytest.approx(-found.weighted, rel=1e-9, abs=1e-9)


@given(ratings, ratings, st.integers(0, 3))
def test_an_empty_category_more_moves_no_win_probability(
    counts0: list[int], counts1: list[int], at: int
) -> None:
    """Only the order counts: a scale with a step that nobody uses is the same scale."""
    wider0, wider1 = counts0.copy(), counts1.copy()
    wider0.insert(at, 0)
    wider1.insert(at, 0)
    found, wider = ordinal.win_probability(counts0, counts1), ordinal.win_probability(wider0, wider1)
    assert wider.weighted == pytest.approx(found.weighted, rel=1e-9, abs=1e-9)


def test_the_standard_error_of_a_win_is_delongs() -> None:
    """By its definition: the variance over units of each unit's own chance against the other arm."""
    counts0, counts1 = [10, 200, 190, 0], [200, 10, 0, 190]  # larger than the one of equal distributions
    ones, others = np.array(spelled_out(counts1)), np.array(spelled_out(counts0))
    wins = (ones[:, None] > others[None, :]) + 0.5 * (ones[:, None] == others[None, :])
    delong = wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / len(others)
    found = ordinal.win_probability(counts0, counts1)
    assert found.se is not None
    assert found.se == pytest.approx(math.sqrt(delong), rel=1e-12)
    assert found.open


@given(ratings)
def test_scores_are_the_numbers_of_the_categories(counts: list[int]) -> None:
    found = ordinal.scores(counts)
    units = np.array(spelled_out(counts)) + 1
    assert found.n == len(units)
    if found.n > 1:
        assert found.mean == pytest.approx(units.mean(), abs=1e-12)
        assert found.variance == pytest.approx(units.var(ddof=1), abs=1e-12)


def test_all_alike_is_no_difference_that_varies() -> None:
    for found in (
        ordinal.win_probability([0, 400, 0], [0, 400, 0]),
        ordinal.mean_score([0, 400], [0, 400]),
    ):
        assert found.effect == 0.0
        assert found.se is None
        assert found.missing == "a difference that varies"
    assert ordinal.win_probability([1, 0], [0, 1]).se is None
    assert ordinal.mean_score([400, 0], [0, 299]).missing == "300 units in each arm (now 299)"
