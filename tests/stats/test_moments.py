from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.events import FIXED_POINT
from stats import moments
from stats.moments import Centred, sample
from stats.pairs import Totals, ratio, spread

values = st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=50)
pairs = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10**8)), min_size=2, max_size=40)


def totals_of(rows: list[tuple[int, int]]) -> Totals:
    return Totals(
        len(rows),
        sum(x for x, _ in rows),
        sum(y for _, y in rows),
        sum(x * x for x, _ in rows),
        sum(x * y for x, y in rows),
        sum(y * y for _, y in rows),
    )


def test_the_fixed_point_is_the_one_of_the_events() -> None:
    assert moments.FIXED_POINT == FIXED_POINT


@given(values)
def test_whole_number_sums_give_mean_and_variance(ys: list[int]) -> None:
    found = sample(len(ys), sum(ys), sum(y * y for y in ys))
    assert found.mean == pytest.approx(statistics.fmean(ys) / FIXED_POINT, rel=1e-12, abs=1e-12)
    assert found.variance == pytest.approx(statistics.variance(ys) / FIXED_POINT**2, rel=1e-9, abs=1e-15)


def test_a_tiny_variance_beside_a_huge_mean_is_not_lost() -> None:
    ys = [10**18, 10**18 + 1, 10**18 + 2]  # floats of this size are 128 apart
    assert sample(3, sum(ys), sum(y * y for y in ys), scale=1).variance == 1.0


@pytest.mark.parametrize(("n", "sx", "sxx"), [(0, 0, 0), (1, 5, 25)])
def test_too_few_values_have_no_variance(n: int, sx: int, sxx: int) -> None:
    assert sample(n, sx, sxx).variance == 0.0


def test_sums_that_contradict_each_other_are_an_error() -> None:
    with pytest.raises(ValueError, match="sums contradict each other: n=2, sx=10, sxx=1"):
        sample(2, 10, 1)
    with pytest.raises(ValueError, match="sums contradict each other"):
        ratio(Totals(2, 2, 10, 2, 10, 1))


@given(pairs)
def test_the_ratio_has_the_variance_of_the_delta_method(rows: list[tuple[int, int]]) -> None:
    x = np.array([x for x, _ in rows], float)
    y = np.array([y for _, y in rows], float) / FIXED_POINT
    n, value = len(rows), y.sum() / x.sum()
    cov = np.cov(y, x)
    variance = (cov[0, 0] - 2 * value * cov[0, 1] + value**2 * cov[1, 1]) / (n * x.mean() ** 2)
    found = ratio(totals_of(rows))
    assert found.value == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert found.variance == pytest.approx(variance, rel=1e-6, abs=1e-9)


@given(pairs)
def test_the_spread_is_least_about_a_ratio_near_the_regression(rows: list[tuple[int, int]]) -> None:
    totals = totals_of(rows)
    best = sum(x * y for x, y in rows) / sum(x * x for x, _ in rows)
    least = sum((y - best * x) ** 2 for x, y in rows) / FIXED_POINT**2
    assert spread(totals, totals.sx, totals.sy) >= least * (1 - 1e-9) - 1e-9


def test_no_reports_are_no_ratio_and_no_crash() -> None:
    assert ratio(Totals(5, 0, 0, 0, 0, 0)) == (5, 0.0, 0.0)
    assert ratio(Totals(0, 0, 0, 0, 0, 0)) == (0, 0.0, 0.0)


# ---- floats ---------------------------------------------------------------------------------------------------------

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def one_by_one(xs: list[float]) -> Centred:
    result = Centred()
    for x in xs:
        result = result.add(x)
    return result


@given(numbers, numbers, numbers)
def test_merging_gives_what_adding_gives_in_any_order(a: list[float], b: list[float], c: list[float]) -> None:
    parts = [one_by_one(xs) for xs in (a, b, c)]
    whole = one_by_one(a + b + c)
    for first, second, third in itertools.permutations(parts):
        merged = first.merge(second).merge(third)
        assert merged.n == whole.n
        assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9 * 1e6)
        assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-9 * 1e6)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=40))
def test_floats_and_whole_numbers_agree(ys: list[int]) -> None:
    exact = sample(len(ys), sum(ys), sum(y * y for y in ys), scale=1)
    found = one_by_one([float(y) for y in ys]).sample()
    assert found.mean == pytest.approx(exact.mean, rel=1e-12, abs=1e-9)
    assert found.variance == pytest.approx(exact.variance, rel=1e-9, abs=1e-6)


def test_a_billion_values_around_a_trillion_keep_their_variance() -> None:
    part = Centred(1000, 1e12, 1000.0)
    for _ in range(20):
        part = part.merge(part)
    assert part.n == 1000 * 2**20
    assert part.sample().variance == pytest.approx(1.0, rel=1e-6)
    moved = one_by_one([1e12 + x for x in (1.0, 2.0, 3.0, 4.0)])
    assert moved.sample().variance == pytest.approx(5 / 3, rel=1e-3)


def test_nothing_merges_to_the_other() -> None:
    some = one_by_one([1.0, 2.0])
    assert Centred().merge(some) == some.merge(Centred()) == some
    assert Centred().sample() == (0, 0.0, 0.0)
    assert one_by_one([3.0]).sample() == (1, 3.0, 0.0)
    with pytest.raises(ValueError, match="value: expected a finite number, found nan"):
        some.add(float("nan"))


@given(pairs, pairs)
def test_sums_of_pairs_merge_to_the_bit(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    assert totals_of(a).merge(totals_of(b)) == totals_of(b + a)
