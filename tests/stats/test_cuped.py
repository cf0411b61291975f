from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import cuped, means
from stats.evalues import Array
from stats.moments import FIXED_POINT as F
from stats.moments import sample
from stats.pairs import Totals

Rows = list[tuple[int, int]]
rows = st.lists(st.tuples(st.integers(-(10**7), 10**7), st.integers(0, 10**8)), min_size=3, max_size=30)
absent = st.lists(st.integers(0, 10**8), max_size=10)


def arm(pairs: Rows, without: list[int] | None = None) -> cuped.Arm:
    """Pairs of (covariate, outcome) in fixed point, and outcomes of units without a covariate."""
    x, y = [x for x, _ in pairs], [y for _, y in pairs]
    sums = (sum(x), sum(y), sum(a * a for a in x), sum(a * b for a, b in pairs), sum(b * b for b in y))
    rest = without or []
    return cuped.Arm(Totals(len(pairs), *sums), (len(rest), sum(rest), sum(y * y for y in rest)))


def least_squares(arms: list[tuple[Rows, list[int]]]) -> float:
    """The effect by ordinary regression on arm, imputed covariate and indicator."""
    known = [x for pairs, _ in arms for x, _ in pairs]
    centre = sum(known) / len(known)
    design, outcome = [], []
    for treated, (pairs, without) in enumerate(arms):
        design += [[1.0, treated, x - centre, 1.0] for x, _ in pairs]
        design += [[1.0, treated, 0.0, 0.0] for _ in without]
        outcome += [y / F for _, y in pairs] + [y / F for y in without]
    found, *_ = np.linalg.lstsq(np.array(design) / [1, 1, F, 1], np.array(outcome), rcond=1e-12)
    return float(found[1])


def drawn(rng: np.random.Generator, n: int, correlation: float, mean: float) -> cuped.Arm:
    x = rng.normal(0, 1, n)
    y = mean + correlation * x + math.sqrt(1 - correlation**2) * rng.normal(0, 1, n)
    return arm(
        list(zip(np.rint(x * F).astype(int).tolist(), np.rint(y * F).astype(int).tolist(), strict=True))
    )


@given(rows, rows, absent, absent)
def test_the_adjusted_difference_is_that_of_a_regression_with_imputed_covariate_and_indicator(
    pairs0: Rows, pairs1: Rows, absent0: list[int], absent1: list[int]
) -> None:
    if len({x for x, _ in pairs0 + pairs1}) < 3:
        return
    found = cuped.difference(arm(pairs0, absent0), arm(pairs1, absent1))
    expected = least_squares([(pairs0, absent0), (pairs1, absent1)])
    spread = max(abs(y) for _, y in pairs0 + pairs1) / F + 1
    slope_range = np.ptp([x for x, _ in pairs0 + pairs1]) / F
    if slope_range > 1e-3:
        assert found.effect == pytest.approx(expected, rel=1e-6, abs=1e-6 * spread)


@given(rows, rows)
def test_a_covariate_that_says_nothing_changes_nothing(pairs0: Rows, pairs1: Rows) -> None:
    constant0, constant1 = ([(7, y) for _, y in pairs] for pairs in (pairs0, pairs1))
    found = cuped.difference(arm(constant0), arm(constant1))
    none = cuped.difference(arm([], [y for _, y in pairs0]), arm([], [y for _, y in pairs1]))
    samples = [
        sample(len(pairs), sum(y for _, y in pairs), sum(y * y for _, y in pairs))
        for pairs in (pairs0, pairs1)
    ]
    plain = samples[1].mean - samples[0].mean
    unpooled = sum(s.variance / s.n for s in samples)
    for value in (found, none):
        assert value.effect == pytest.approx(plain, rel=1e-9, abs=1e-9)
        assert (value.se or 0.0) ** 2 == pytest.approx(unpooled, rel=1e-9, abs=1e-12)


@given(rows, rows, st.integers(-(10**13), 10**13))
def test_where_the_covariate_starts_does_not_matter(pairs0: Rows, pairs1: Rows, shift: int) -> None:
    """Whole numbers until the end: a covariate around 10^7 with a spread of 1 loses nothing."""
    moved = [[(x + shift, y) for x, y in pairs] for pairs in (pairs0, pairs1)]
    found, expected = (
        cuped.difference(arm(moved[0]), arm(moved[1])),
        cuped.difference(arm(pairs0), arm(pairs1)),
    )
    assert found.effect == pytest.approx(expected.effect, rel=1e-9, abs=1e-9)
    assert found.information == pytest.approx(expected.information, rel=1e-6)


def test_a_covariate_takes_its_share_of_the_variance() -> None:
    """With a correlation of .7 what is left is 1 - .49 of the variance, to within a few percent at 5,000 units."""
    rng = np.random.default_rng(1)
    found = cuped.difference(drawn(rng, 5000, 0.7, 10.0), drawn(rng, 5000, 0.7, 10.0))
    assert found.se is not None
    assert found.se**2 == pytest.approx((1 - 0.49) * 2 / 5000, rel=0.06)
    assert found.open


def lifts(runs: int, n: int, correlation: float, means_: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Lifts of many experiments, the standard errors said, and those of the well-known error."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(runs):
        control, treatment = (drawn(rng, n, correlation, mean) for mean in means_)
        lift, plain = cuped.lift(control, treatment), cuped.difference(control, treatment)
        assert lift.effect is not None
        assert lift.se is not None
        assert plain.se is not None
        # The error: the adjusted variance of each arm, half of the difference's here, scaled as a whole.
        wrong = math.sqrt(plain.se**2 / 2 * (1 + (1 + lift.effect) ** 2)) / means_[0]
        found.append((lift.effect, lift.se, wrong))
    effects, said, wrong_said = np.array(found).T
    return effects, said, wrong_said


def test_the_variance_of_an_adjusted_lift_is_right_where_a_well_known_one_was_not() -> None:
    """Control's mean is adjusted above the fraction bar and not below it. The standard deviation of 1,500 lifts is
    known to 1.8 %, and the bounds are five of those away."""
    effects, said, wrong = lifts(1500, 100, 0.9, (4.0, 8.0))
    true = float(effects.std())
    assert float(said.mean()) == pytest.approx(true, rel=0.09)
    assert abs(float(wrong.mean()) / true - 1) > 0.09


@given(rows, rows)
def test_the_lift_is_the_difference_with_the_factor_that_it_names(pairs0: Rows, pairs1: Rows) -> None:
    """At its own boundary the linear form has the lift's standard error, scaled by control's level."""
    arms = arm(pairs0), arm(pairs1)
    lift = cuped.lift(*arms)
    level = sum(y for _, y in pairs0) / (len(pairs0) * F)
    if lift.effect is None or lift.se is None:
        return
    linear = cuped.difference(*arms, 1 + lift.effect).over(level)
    assert linear.se == pytest.approx(lift.se, rel=1e-6)
    assert linear.effect == pytest.approx(0.0, abs=1e-6 * (1 + abs(lift.effect)))


def test_too_little_says_what_is_missing() -> None:
    one, many = arm([(1, F)]), arm([(i, i * F) for i in range(400)])
    assert cuped.difference(one, many).missing == means.TWO_UNITS
    assert cuped.lift(one, many).missing == means.TWO_UNITS
    assert (
        cuped.difference(many, arm([(i, i * F) for i in range(20)])).missing
        == "300 units in each arm (now 20)"
    )
    below = arm([(i, -i * F) for i in range(400)])
    assert cuped.lift(below, many).missing == "a level of control above 0"
    same = arm([(1, F)] * 400)
    assert cuped.difference(same, same).missing == "a difference that varies"
