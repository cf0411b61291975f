from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stats import means, proportions, ratios
from stats.estimates import EXPECTED_EVENTS, MEAN_UNITS, Estimate
from stats.moments import FIXED_POINT, Sample
from stats.pairs import Totals
from stats.strata import gather

F = FIXED_POINT


def binary_totals(n: int, x: int) -> Totals:
    """One report a unit, x of them with the event."""
    return Totals(n, n, x * F, n, x * F, x * F * F)


def counts() -> st.SearchStrategy[tuple[int, int]]:
    return st.integers(0, 10**6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def se_of(found: Estimate) -> float:
    assert found.se is not None
    return found.se


@given(counts(), counts())
def test_exchanging_the_arms_turns_the_sign_and_nothing_else(a: tuple[int, int], b: tuple[int, int]) -> None:
    one, other = proportions.difference(*a, *b), proportions.difference(*b, *a)
    assert one.missing == other.missing
    assert one.effect == (None if other.effect is None else -other.effect)
    assert one.information == pytest.approx(other.information, rel=1e-12)
    assert one.weighted == pytest.approx(-other.weighted, rel=1e-12)


@given(counts(), counts(), st.sampled_from([0.9, 1.0, 1.5]))
def test_a_difference_of_proportions_is_finite_or_absent(
    a: tuple[int, int], b: tuple[int, int], factor: float
) -> None:
    for found in (proportions.difference(*a, *b, factor), proportions.lift(*a, *b)):
        assert math.isfinite(found.information)
        assert math.isfinite(found.weighted)
        assert found.missing or (found.se is not None and found.se > 0)


@given(counts(), counts())
def test_one_report_a_unit_makes_the_share_of_reports_the_proportion(
    a: tuple[int, int], b: tuple[int, int]
) -> None:
    assume(min(a[0], b[0]) >= 2)
    shares = ratios.share_difference(binary_totals(*a), binary_totals(*b))
    found = proportions.difference(*a, *b)
    assert shares.effect == pytest.approx(found.effect, abs=1e-12)
    assert shares.open == found.open
    if found.se is not None:
        assert se_of(shares) >= found.se * (1 - 1e-9)
        assert se_of(shares) == pytest.approx(found.se, rel=1 / min(a[0], b[0]))


@pytest.mark.parametrize(
    ("n", "x0", "x1", "is_open"),
    [
        pytest.param(100, 50, 50, True, id="50 events and 50 non-events in each arm"),
        pytest.param(99, 50, 50, False, id="one unit less in each arm"),
        pytest.param(5000, 0, 99, False, id="99 events in 10,000 units are not 50 in each arm"),
        pytest.param(5000, 0, 100, True, id="expected events count: control has none of its own"),
        pytest.param(5000, 4950, 4951, False, id="common events have rare non-events"),
    ],
)
def test_the_gate_counts_expected_events_and_non_events_at_the_pooled_rate(
    n: int, x0: int, x1: int, is_open: bool
) -> None:
    found = proportions.difference(n, x0, n, x1)
    assert found.open is is_open
    assert bool(found.missing) is not is_open
    assert str(EXPECTED_EVENTS) in found.missing or is_open


def test_the_best_news_passes_the_gate() -> None:
    """43 % against 3 % is heard long before the treatment has 50 events of its own."""
    found = proportions.difference(456, 196, 152, 5)
    assert found.open


def test_an_arm_without_a_single_event_still_has_a_variance() -> None:
    found = proportions.difference(1000, 100, 1000, 0)
    assert found.se == pytest.approx(math.sqrt(0.05 * 0.95 * 2 / 1000))


@pytest.mark.parametrize(("n0", "x0", "n1", "x1"), [(0, 0, 5, 1), (5, 1, 0, 0), (9, 0, 9, 0), (9, 9, 9, 9)])
def test_an_empty_arm_or_no_variation_says_nothing(n0: int, x0: int, n1: int, x1: int) -> None:
    found = proportions.difference(n0, x0, n1, x1)
    assert found.se is None
    assert found.missing
    assert (found.information, found.weighted) == (0.0, 0.0)


def test_impossible_counts_are_an_error() -> None:
    with pytest.raises(ValueError, match="x0: expected a whole number of at least 0 and at most 2, found 3"):
        proportions.difference(2, 3, 1, 0)


def test_a_mean_speaks_from_300_units_in_each_arm() -> None:
    found = means.difference(Sample(MEAN_UNITS, 1.0, 1.0), Sample(MEAN_UNITS, 2.0, 1.0))
    below = means.difference(Sample(900, 1.0, 1.0), Sample(MEAN_UNITS - 1, 2.0, 1.0))
    assert (found.open, below.open) == (True, False)
    assert below.missing == "300 units in each arm (now 299)"


def test_unequal_shares_take_the_larger_of_both_variances() -> None:
    quiet, loud = Sample(300, 0.0, 1.0), Sample(9000, 0.0, 9.0)
    found = means.difference(loud, quiet)
    assert se_of(found) ** 2 > 1 / 300 + 9 / 9000  # the pooled one: the small arm's own variance may be luck


@pytest.mark.parametrize("units", [0, 1])
def test_one_unit_is_no_sample(units: int) -> None:
    totals = binary_totals(500, 100)
    for found in (
        means.difference(Sample(units, 1.0, 0.0), Sample(500, 1.0, 1.0)),
        means.lift(Sample(units, 1.0, 0.0), Sample(500, 1.0, 1.0)),
        ratios.difference(totals, binary_totals(units, 0)),
        ratios.share_difference(totals, binary_totals(units, 0)),
        ratios.lift(totals, binary_totals(units, 0)),
    ):
        assert found.se is None
        assert found.missing


def test_reports_of_one_unit_that_go_together_count_as_one_unit() -> None:
    """1,000 units of ten reports each, all ten alike: as much information as 1,000 units, not 10,000."""
    clustered = Totals(1000, 10_000, 5000 * F, 100_000, 50_000 * F, 50_000 * F * F)
    found = ratios.share_difference(clustered, clustered)
    single = ratios.share_difference(binary_totals(1000, 500), binary_totals(1000, 500))
    assert found.se == pytest.approx(single.se)


def test_a_clustered_arm_without_events_takes_the_clustering_of_the_other() -> None:
    clustered = Totals(900, 9000, 3000 * F, 90_000, 30_000 * F, 30_000 * F * F)
    silent = Totals(300, 3000, 0, 30_000, 0, 0)
    found = ratios.share_difference(clustered, silent)
    as_if_independent = math.sqrt(0.25 * 0.75 * (1 / 9000 + 1 / 3000))
    assert se_of(found) > 2 * as_if_independent


def test_a_ratio_is_gated_like_a_mean_and_equals_it_for_one_report_a_unit() -> None:
    arm0, arm1 = binary_totals(400, 100), binary_totals(400, 140)
    found = ratios.difference(arm0, arm1)
    samples = [Sample(400, x / 400, x * (400 - x) / (400 * 399)) for x in (100, 140)]
    plain = means.difference(samples[0], samples[1])
    assert found.effect == pytest.approx(plain.effect)
    assert found.se == pytest.approx(plain.se)
    assert found.open


@given(st.lists(st.tuples(counts(), counts()), min_size=1, max_size=6), st.sampled_from([0.9, 1.0, 1.5]))
def test_arrays_of_proportions_say_what_numbers_say(
    rows: list[tuple[tuple[int, int], tuple[int, int]]], factor: float
) -> None:
    full = [(*a, *b) for a, b in rows if a[0] and b[0]]
    assume(full)
    n0, x0, n1, x1 = np.array(full).T
    found = proportions.differences(n0, x0, n1, x1, factor)
    one_by_one = [gather([proportions.difference(*row, factor)]) for row in full]
    assert found.information == pytest.approx([one.a for one in one_by_one], rel=1e-9)
    assert found.weighted == pytest.approx([one.b for one in one_by_one], rel=1e-9, abs=1e-9)


samples = st.builds(Sample, st.integers(2, 2000), st.floats(-10, 10), st.floats(0, 50))


@given(st.lists(st.tuples(samples, samples), min_size=1, max_size=6), st.sampled_from([0.9, 1.0, 1.5]))
def test_arrays_of_means_say_what_numbers_say(rows: list[tuple[Sample, Sample]], factor: float) -> None:
    (n0, mean0, var0), (n1, mean1, var1) = (
        [np.array(column) for column in zip(*arm, strict=True)] for arm in zip(*rows, strict=True)
    )
    found = means.differences(n0, mean0, var0, n1, mean1, var1, factor)
    one_by_one = [gather([means.difference(*row, factor)]) for row in rows]
    assert found.information == pytest.approx([one.a for one in one_by_one], rel=1e-9)
    assert found.weighted == pytest.approx([one.b for one in one_by_one], rel=1e-9, abs=1e-9)


def test_small_samples_have_degrees_of_freedom_instead_of_a_gate() -> None:
    found = means.small(Sample(3, 1.0, 4.0), Sample(6, 2.0, 4.0))
    assert found is not None
    assert tuple(found) == pytest.approx((1.0, math.sqrt(2.0), 7, 2.0))
    assert means.small(Sample(1, 1.0, 0.0), Sample(2, 2.0, 1.0)) is None
    assert means.small(Sample(5, 1.0, 0.0), Sample(5, 2.0, 0.0)) is None
    assert means.small(Sample(0, 0.0, 0.0), Sample(5, 2.0, 1.0)) is None
