from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.events import FIXED_POINT as F
from router.moments import Moments
from router.reading import (
    BINARY,
    MEAN,
    RATIO,
    SHARE_OF_REPORTS,
    Reading,
    Stratum,
    information,
    point,
)

READINGS = {"binary": BINARY, "mean": MEAN, "ratio": RATIO, "share of reports": SHARE_OF_REPORTS}
LOWER = {"better": "lower"}
HIGHER = {"better": "higher"}


def summed(reading: Reading, units: list[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(reading.part(y, n) for y, n in units), strict=True)))


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_a_part_has_one_number_for_each_named_sum_and_counts_its_unit_first(reading: Reading) -> None:
    part = reading.part(3 * F, 4)
    assert len(part) == len(reading.names)
    assert part[0] == 1
    assert reading.names[0] == "n"


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@given(
    st.lists(st.tuples(st.integers(-5 * F, 5 * F), st.integers(1, 9)), min_size=2, max_size=30), st.randoms()
)
def test_units_sum_up_alike_in_any_order(
    reading: Reading, units: list[tuple[int, int]], random: object
) -> None:
    shuffled = sorted(units, key=lambda unit: hash((unit, id(random))))
    assert summed(reading, units) == summed(reading, shuffled)


def test_a_changed_value_enters_as_new_minus_old() -> None:
    before, after = [(F, 1), (2 * F, 3)], [(F, 1), (5 * F, 4)]
    moved = tuple(
        total - old + new
        for total, old, new in zip(
            summed(RATIO, before), RATIO.part(2 * F, 3), RATIO.part(5 * F, 4), strict=True
        )
    )
    assert moved == summed(RATIO, after)


def test_levels_are_in_the_metrics_own_unit() -> None:
    assert BINARY.level((200, 3)) == (200, 0.015, 3)
    assert MEAN.level((4, 10 * F, 0)).value == 2.5
    assert RATIO.level((2, 8, 4 * F, 0, 0, 0)).value == 0.5


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_no_units_have_no_level(reading: Reading) -> None:
    level = reading.level((0,) * len(reading.names))
    assert (level.n, level.value) == (0, None)


def test_any_yes_of_a_unit_is_one_event() -> None:
    assert [BINARY.part(y, 1)[1] for y in (0, 1, F, 7 * F, -F)] == [0, 1, 1, 1, 0]


def test_evidence_of_strata_adds_and_a_gated_stratum_is_left_out() -> None:
    large, small = Stratum((3000, 600), (1000, 240), 0.25), Stratum((30, 6), (10, 9), 0.25)
    alone = information(BINARY, [large], LOWER)
    assert information(BINARY, [large, small], LOWER) == alone
    assert information(BINARY, [large, large], LOWER).a == pytest.approx(2 * alone.a)
    assert information(BINARY, [small], LOWER).missing.startswith("50 units with and without the event")
    assert not information(BINARY, [small], LOWER).open


def test_information_is_of_treatment_minus_control_whatever_the_direction() -> None:
    row = [Stratum((3000, 600), (1000, 240), 0.25)]
    assert information(BINARY, row, LOWER).b > 0
    assert information(BINARY, row, HIGHER) == information(BINARY, row, LOWER)


def test_no_strata_wait_for_units() -> None:
    assert information(BINARY, [], LOWER) == (0.0, 0.0, "units in both arms")


def test_constants_that_differ_are_shown_but_are_no_evidence() -> None:
    ones, twos = (500, 500 * F, 500 * F * F), (500, 1000 * F, 2000 * F * F)
    row = [Stratum(ones, twos, 0.5)]
    assert point(MEAN, row, LOWER) == 1.0
    assert information(MEAN, row, LOWER).missing == "a difference that varies"


def test_one_unit_in_each_arm_is_shown_as_it_is() -> None:
    assert point(MEAN, [Stratum((1, F, F * F), (1, 3 * F, 9 * F * F), 0.5)], LOWER) == 2.0


def test_the_point_is_the_information_weighted_mean_of_strata() -> None:
    rows = [Stratum((3000, 600), (1000, 240), 0.25), Stratum((300, 90), (300, 60), 0.5)]
    low, high = (point(BINARY, [row], LOWER) for row in rows[::-1])
    found = point(BINARY, rows, LOWER)
    assert low is not None
    assert high is not None
    assert found is not None
    assert low < found < high


def test_nothing_has_no_point() -> None:
    assert point(BINARY, [], LOWER) is None


RUN = {
    "epoch": 4,
    "spec": {"lanes": [{"role": "treatment", "share": 100_000}, {"role": "control", "share": 300_000}]},
}


def test_moments_are_read_by_stratum_arm_and_metric_and_what_is_not_there_is_zero() -> None:
    moments = Moments({"3|0|m|c|n": 5, "3|0|m|c|x": 1, "3|1|m|c|n": 2, "4|0|m|c|n": 9, "4|0||u|n": 11}, RUN)
    assert moments.strata == ["3", "4"]
    assert moments.share == 0.25
    assert moments.sums("m", BINARY, "c") == [Stratum((5, 1), (2, 0), 0.25)]
    assert moments.level_sums("m", BINARY, "c", 0) == (14, 1)
    assert moments.count(0, "u") == 11
    assert Moments({}, RUN).strata == ["4"]


def test_reports_are_counted_over_the_units_whose_window_of_that_metric_has_closed() -> None:
    values = {"4|0||c|n": 10, "4|0|m|m|n": 40, "4|0|m|p|n": 30, "4|1||c|n": 5, "4|1|m|p|n": 7}
    assert Moments(values, RUN).reports("m") == [((40, 30), (5, 5))]


def test_more_units_analysed_than_exposed_contradict_each_other() -> None:
    whole = {"4|0||u|n": 8, "4|0||x|n": 2, "4|0|m|r|n": 10, "4|0||c|n": 9}
    assert Moments(whole, RUN).contradictions(["m"]) == []
    del whole["4|0||u|n"]
    assert Moments(whole, RUN).contradictions(["m"]) == [
        "counts contradict each other: 2 control units exposed, 10 analysed"
    ]
