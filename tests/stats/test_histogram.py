from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import frozen, histogram

values = st.lists(st.integers(0, 10**15), min_size=1, max_size=80)


def counted(xs: list[int]) -> Counter[int]:
    return Counter(histogram.bucket(x) for x in xs)


@given(st.integers(0, 10**20))
def test_a_value_lies_within_the_edges_of_its_bucket_which_are_near(value: int) -> None:
    low, high = histogram.edges(histogram.bucket(value))
    assert low <= value <= high
    assert high - low <= value / 64


@given(st.integers(0, 10**5))
def test_buckets_follow_each_other_without_a_gap(index: int) -> None:
    assert histogram.edges(index)[1] + 1 == histogram.edges(index + 1)[0]
    assert histogram.bucket(histogram.edges(index)[0]) == index


@given(values, values)
def test_merged_counts_are_those_of_all_values_in_any_order(one: list[int], other: list[int]) -> None:
    merged = histogram.merge(counted(one), counted(other))
    assert merged == counted(one + other)
    assert merged == histogram.merge(counted(other), counted(one))


@given(values, st.floats(0.001, 0.999))
def test_a_quantile_is_right_to_its_bucket(xs: list[int], share: float) -> None:
    found = histogram.quantile(counted(xs), share)
    true = next(x for i, x in enumerate(sorted(xs), 1) if i >= share * len(xs))
    assert found == pytest.approx(true, rel=1 / 128, abs=0.5)


def test_nothing_has_no_quantile() -> None:
    assert histogram.quantile({}, 0.5) is None
    assert histogram.upper_edge({5: 0}, 0.5) is None


@pytest.mark.parametrize(("share", "needed"), [(0.5, 20), (0.99, 1000), (0.999, 10_000)])
def test_a_baseline_is_frozen_when_ten_of_its_values_lie_beyond(share: float, needed: int) -> None:
    assert frozen.quantile({3: needed - 1}, share).missing == (
        f"{needed} values of the baseline (now {needed - 1})"
    )
    assert frozen.quantile({3: needed}, share) == (3, "")


@given(st.lists(st.integers(0, 10**9), min_size=100, max_size=300))
def test_at_most_the_asked_share_of_the_baseline_exceeds_its_quantile(xs: list[int]) -> None:
    limit = frozen.quantile(counted(xs), 0.9).value
    assert limit is not None
    assert sum(x > limit for x in xs) <= 0.1 * len(xs) + 1e-9
