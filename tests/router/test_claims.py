"""The tests of the kinds: what is shown, behind which gate, and the intervals that never disagree with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.claims import grid_unit
from router.events import FIXED_POINT as F
from router.metric import KINDS
from router.reading import Stratum
from stats import counts
from tests.router.sums_of import SHARE, binary, harm, metric, promoting, reports, values


@pytest.mark.parametrize(
    ("test", "changes", "unit"),
    [
        ("harm", {}, 0.02),
        ("harm", {"margin": 0.05, "tolerance": 0.01}, 0.04),
        ("harm", {"margin": 0.05, "tolerance": 0.05}, 0.05),
        ("harm", {"margin": 0.02, "tolerance": 0.05}, 0.02),
        ("non_inferiority", {"margin": 0.05}, 0.05),
        ("superiority", {"margin": 0.05}, 0.02),
        ("futility", {"margin": 0.05}, 0.02),
    ],
)
def test_the_unit_of_the_grid(test: str, changes: dict[str, Any], unit: float) -> None:
    assert grid_unit(metric(**changes), test) == pytest.approx(unit)


# ---- harm -----------------------------------------------------------------------------------------------------------


def test_harm_of_a_proportion_is_shown_in_the_bad_direction_only() -> None:
    worse, better = reports(1290, 3000, 550, 1000), reports(1650, 3000, 430, 1000)
    assert harm("proportion", worse) > math.log(300)
    assert harm("proportion", better) < 0
    assert harm("proportion", better, better="higher") > math.log(300)
    assert harm("proportion", worse, better="higher") < 0


def test_harm_must_exceed_the_tolerance() -> None:
    rows = reports(1290, 3000, 490, 1000)  # six points worse
    assert (
        harm("proportion", rows)
        > harm("proportion", rows, tolerance=0.019)
        > harm("proportion", rows, tolerance=0.05)
    )


def test_harm_of_rare_events_is_the_exact_conditional_test_without_a_gate() -> None:
    rows = binary(0, 300, 12, 100)
    assert harm("rare_proportion", rows) == counts.log_evalue([(0, 12, SHARE)])
    assert harm("rare_proportion", rows) > math.log(300)


def test_lost_conversions_are_found_by_the_reciprocal_ratios() -> None:
    rows = binary(300, 3000, 30, 1000)
    assert harm("rare_proportion", rows, better="higher") > math.log(300)
    assert harm("rare_proportion", rows) < 0


def test_rare_harm_above_an_absolute_tolerance_is_read_from_the_difference_behind_its_gate() -> None:
    slow = metric("rare_proportion", margin=0.05, tolerance=0.05)
    kind = KINDS["rare_proportion"]
    assert (
        kind.harm(kind.running, binary(0, 300, 40, 100), slow) == 0.0
    )  # 10 events expected in the treatment
    assert kind.harm(kind.running, binary(0, 900, 240, 300), slow) > math.log(300)
    doubled = binary(240, 24_000, 160, 8000)  # twice as many, yet only one point more
    assert kind.harm(kind.running, doubled, slow) < 0


# ---- promotion ------------------------------------------------------------------------------------------------------


def test_a_proportion_is_non_inferior_when_the_difference_is_shown_below_the_margin() -> None:
    shown = promoting("proportion", binary(12_900, 30_000, 4300, 10_000))
    assert shown["non_inferiority"] > math.log(20)
    assert shown["superiority"] < 0
    assert shown["futility"] > math.log(20)


def test_a_better_proportion_is_superior_and_not_futile() -> None:
    shown = promoting("proportion", binary(645, 1500, 15, 500))
    assert shown["superiority"] > math.log(20)
    assert shown["futility"] < 0


def test_behind_the_gate_nothing_is_shown() -> None:
    assert set(promoting("proportion", binary(43, 100, 3, 40)).values()) == {0.0}


def test_no_errors_at_all_can_promote_although_the_grid_is_gated() -> None:
    shown = [
        promoting("rare_proportion", binary(0, 3 * n, 0, n), margin=0.01)["non_inferiority"] >= math.log(20)
        for n in (433, 434)
    ]
    assert shown == [False, True]


def test_where_higher_is_better_the_zero_events_rule_reads_the_control() -> None:
    rows = binary(0, 5000, 3, 100)
    mirrored = [Stratum(rows[0].treatment, rows[0].control, SHARE)]
    higher = promoting("rare_proportion", rows, better="higher", margin=0.01)["non_inferiority"]
    assert higher == promoting("rare_proportion", mirrored, margin=0.01)["non_inferiority"]
    assert higher > math.log(20)


def test_a_margin_of_everything_is_left_to_the_grid() -> None:
    assert promoting("rare_proportion", binary(0, 30, 0, 10), margin=1.0)["non_inferiority"] == 0.0


def test_fewer_rare_events_are_superior_by_the_conditional_test() -> None:
    shown = promoting("rare_proportion", binary(300, 3000, 30, 1000))
    assert shown["superiority"] > math.log(20)
    assert promoting("rare_proportion", binary(300, 3000, 100, 1000))["superiority"] < 0


def test_a_rare_improvement_is_excluded_when_control_has_none_to_lose() -> None:
    assert promoting("rare_proportion", binary(0, 3000, 0, 1000), mde=0.01)["futility"] > math.log(20)


@pytest.mark.parametrize(("units", "speaks"), [(998, False), (1000, True)])
def test_a_continuous_metric_promotes_from_1000_units_in_each_arm(units: int, speaks: bool) -> None:
    rows = values(3000, 10.0, units, 10.0)
    tests = promoting("mean", rows, margin=1.0, mde=1.0)
    assert (tests["non_inferiority"] > math.log(20)) is speaks
    waits = KINDS["mean"].units_missing(rows, metric("mean"))
    assert waits == ("" if speaks else "1000 units with a closed window in each arm (now 998)")


def test_a_continuous_metric_shows_harm_from_300_units() -> None:
    sums = [(n, n, y * F, n, y * F, (y * y // n + n) * F * F) for n, y in ((900, 9000), (300, 6000))]
    assert harm("ratio", [Stratum(sums[0], sums[1], SHARE)], margin=1.0, mde=1.0) > math.log(300)


# ---- intervals ------------------------------------------------------------------------------------------------------

pairs_of_counts = st.integers(1, 4000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(
    pairs_of_counts,
    pairs_of_counts,
    st.sampled_from(["proportion", "rare_proportion"]),
    st.sampled_from(["lower", "higher"]),
)
def test_the_interval_leaves_the_margin_exactly_when_non_inferiority_is_shown(
    control: tuple[int, int], treatment: tuple[int, int], name: str, better: str
) -> None:
    kind, terms = KINDS[name], metric(name, better=better)
    strata = binary(*control, *treatment)
    found = kind.interval(kind.closed, strata, terms, terms["margin"], 0.1)
    log_e = kind.promoting(strata, terms)["non_inferiority"]
    if found is None:
        assert log_e == 0.0
    elif abs(log_e - math.log(20)) > 1e-6:
        low, high = found
        worst = high if better == "lower" else -low
        assert (worst < terms["margin"]) is (log_e > math.log(20))
    if found is not None:
        assert -1 - 1e-9 <= found[0] <= found[1] <= 1 + 1e-9 or name == "proportion"


def test_a_shown_rise_of_rare_events_leaves_no_room_below_zero() -> None:
    kind = KINDS["rare_proportion"]
    found = kind.interval(kind.running, binary(0, 300, 12, 100), metric("rare_proportion"), 0.01, 0.1)
    assert found is not None
    assert found[0] == 0.0
    assert found[1] > 0.12


def test_zero_events_have_an_interval_without_a_gate() -> None:
    kind = KINDS["rare_proportion"]
    found = kind.interval(
        kind.closed, binary(0, 1302, 0, 434), metric("rare_proportion", margin=0.01), 0.01, 0.1
    )
    assert found is not None
    assert found[1] == pytest.approx(0.01, rel=0.01)
    assert -0.01 < found[0] < 0


# ---- events per request ---------------------------------------------------------------------------------------------


def requests(*arms: list[tuple[int, int]]) -> list[Stratum]:
    """Units of two requests: how many of them have so many events."""
    reading, sums = KINDS["rate"].running, []
    for arm in arms:
        parts = [(units, reading.part(events * F, 2)) for units, events in arm]
        sums.append(tuple(sum(units * part[i] for units, part in parts) for i in range(len(reading.names))))
    return [Stratum(sums[0], sums[1], SHARE)]


def test_a_burst_of_one_unit_is_no_harm_and_the_same_events_of_many_are() -> None:
    control = [(2960, 0), (40, 1)]
    burst, many = requests(control, [(986, 0), (13, 1), (1, 60)]), requests(control, [(927, 0), (73, 1)])
    assert counts.log_evalue([(40, 73, 0.25)], 1.0, counts.MORE) > math.log(1e6)
    assert harm("rate", burst, margin=1.0, relative=True) < math.log(2)
    assert harm("rate", many, margin=1.0, relative=True) > math.log(100)


def test_few_units_show_no_rise_of_a_rate_however_many_events_they_have() -> None:
    strata = requests([(250, 0), (50, 1)], [(0, 0), (299, 4)])
    assert counts.log_evalue([(50, 1196, 0.5)], 1.0, counts.MORE) > math.log(1e6)
    assert harm("rate", strata, margin=1.0, relative=True) == 0.0


def test_the_interval_of_a_rate_leaves_room_for_no_change_after_a_burst() -> None:
    kind, terms = KINDS["rate"], metric("rate", margin=1.0, mde=1.0, relative=True)
    control = [(2960, 0), (40, 1)]
    burst = kind.interval(kind.closed, requests(control, [(986, 0), (13, 1), (1, 60)]), terms, 1.0, 0.1)
    many = kind.interval(kind.closed, requests(control, [(927, 0), (73, 1)]), terms, 1.0, 0.1)
    few = kind.interval(kind.closed, requests([(250, 0)], [(299, 1)]), terms, 1.0, 0.1)
    assert burst is not None
    assert burst[0] < 0 < burst[1]
    assert many is not None
    assert many[0] > 0
    assert few is None
