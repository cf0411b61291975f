"""Outcomes that never came: bounds that hold whatever they were, and weights that make known sampling good."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.missing import Reported, Weighted, inverse_probability, lee, manski


@st.composite
def arm(draw: st.DrawFn) -> tuple[Reported, list[int]]:
    """An arm with events, and what the silent units would have said."""
    n = draw(st.integers(1, 40))
    truth = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    reported = draw(st.integers(0, n))
    return Reported(n, reported, sum(truth[:reported])), truth


@given(arm(), arm())
def test_the_truth_is_never_outside_manskis_bounds(
    a0: tuple[Reported, list[int]], a1: tuple[Reported, list[int]]
) -> None:
    bounds = manski(a0[0], a1[0], 0, 1)
    assert bounds is not None
    effect = np.mean(a1[1]) - np.mean(a0[1])
    assert bounds.low - 1e-12 <= effect <= bounds.high + 1e-12
    silent = [1 - arm.reported / arm.n for arm in (a0[0], a1[0])]
    assert bounds.high - bounds.low == pytest.approx(sum(silent))


@given(arm(), arm())
def test_swapping_the_arms_mirrors_the_bounds(
    a0: tuple[Reported, list[int]], a1: tuple[Reported, list[int]]
) -> None:
    forward, back = manski(a0[0], a1[0], 0, 1), manski(a1[0], a0[0], 0, 1)
    assert forward is not None
    assert back == pytest.approx((-forward.high, -forward.low))


def test_an_arm_that_silences_the_unhappy_is_not_better() -> None:
    """Truly worse (60 % against 70 %), but only 50 % of the unhappy still answer: 75 % among those who do."""
    control, treatment = Reported(1000, 1000, 700), Reported(1000, 800, 600)
    assert treatment.total / treatment.reported > control.total / control.reported
    bounds = manski(control, treatment, 0, 1)
    assert bounds is not None
    assert bounds.low < 0
    trimmed = lee([0, 1], [300, 700], [200, 600], 1000, 1000)
    assert trimmed is not None
    assert trimmed.low < 0 < trimmed.high


@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=3), st.lists(st.integers(0, 9), min_size=3, max_size=3)
)
def test_with_equal_reporting_lee_gives_the_plain_difference(counts0: list[int], counts1: list[int]) -> None:
    counts0[0] += 1
    counts1[0] += 1
    values = [-1.0, 0.5, 4.0]
    bounds = lee(values, counts0, counts1, sum(counts0), sum(counts1))
    plain = np.dot(values, counts1) / sum(counts1) - np.dot(values, counts0) / sum(counts0)
    assert bounds == pytest.approx((plain, plain))


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.integers(0, 30))
def test_lee_holds_what_the_always_reporting_would_show(counts: list[int], induced: int) -> None:
    """The treatment moves nothing, and makes further units report whose values are anything."""
    counts[1] += 1
    values = [1.0, 2.0, 3.0, 4.0]
    for extra in range(4):
        more = list(counts)
        more[extra] += induced
        n = sum(counts) + 40
        bounds = lee(values, counts, more, n, n)
        assert bounds is not None
        assert bounds.low - 1e-9 <= 0 <= bounds.high + 1e-9


def test_ties_at_the_cut_are_trimmed_in_part() -> None:
    bounds = lee([0, 1], [1, 1], [2, 2], 4, 4)
    assert bounds == pytest.approx((0 - 0.5, 1 - 0.5))


def test_without_units_or_reports_nothing_is_said() -> None:
    assert manski(Reported(0, 0, 0), Reported(5, 5, 1), 0, 1) is None
    assert manski(Reported(5, 0, 0), Reported(5, 0, 0), 0, 1) == (-1, 1)
    assert lee([0, 1], [0, 0], [1, 1], 5, 5) is None
    assert inverse_probability(Weighted(0, 0, 0, 0, 0)) is None


def sums(y: np.ndarray, w: np.ndarray) -> Weighted:
    return Weighted(*(float(part.sum()) for part in (w, w * y, w * w, w * w * y, (w * y) ** 2)))


def test_labels_sampled_with_known_chance_give_the_mean_of_all_and_its_error() -> None:
    """2,000 runs; five standard errors: false-alarm chance below 1e-6."""
    rng = np.random.default_rng(12)
    y = rng.lognormal(0, 0.5, 1500)
    chance = np.where(y > 1.2, 0.8, 0.2)  # the labelled ones are mostly large
    means, variances = [], []
    for _ in range(2000):
        seen = rng.random(1500) < chance
        mean = inverse_probability(sums(y[seen], 1 / chance[seen]))
        assert mean is not None
        means.append(mean.value)
        variances.append(mean.variance)
    spread = float(np.std(means))
    assert np.mean(means) == pytest.approx(y.mean(), abs=5 * spread / math.sqrt(2000) + 5e-4)
    assert abs(y[chance > 0.5].mean() - y.mean()) > 20 * spread  # what unweighted labels would say
    assert 0.9 < math.sqrt(np.mean(variances)) / spread < 1.4  # it also counts the draw of the units


def test_equal_weights_give_the_plain_mean() -> None:
    y = np.array([1.0, 2.0, 6.0])
    assert inverse_probability(sums(y, np.full(3, 7.0))) == pytest.approx((3.0, y.var() / 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: manski(Reported(1, 2, 0), Reported(1, 1, 0), 0, 1), "reported"),
        (
            lambda: manski(Reported(1, 1, 2), Reported(1, 1, 0), 0, 1),
            "total: expected 1 values from 0 to 1, found 2",
        ),
        (lambda: manski(Reported(1, 1, 0), Reported(1, 1, 0), 1, 1), "high - low"),
        (lambda: lee([1, 0], [1, 1], [1, 1], 2, 2), "values"),
        (lambda: lee([0, 1], [1, 1], [1, 1], 1, 2), "units with a value"),
        (lambda: inverse_probability(Weighted(math.nan, 0, 0, 0, 0)), "w: expected"),
    ],
)
def test_a_bad_argument_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
