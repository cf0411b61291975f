from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.claims import grid_unit
from router.events import FIXED_POINT as F
from router.metric import KINDS, Kind
from router.reading import Stratum
from stats import counts

SHARE = 0.25


def metric(kind: str = "proportion", **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "better": "lower", "mde": 0.02, "margin": 0.02, "tolerance": 0.0} | changes


def binary(x0: int, n0: int, x1: int, n1: int) -> list[Stratum]:
    return [Stratum((n0, x0), (n1, x1), SHARE)]


def reports(x0: int, n0: int, x1: int, n1: int) -> list[Stratum]:
    """One report a unit."""
    control, treatment = ((n, n, x * F, n, x * F, x * F * F) for n, x in ((n0, x0), (n1, x1)))
    return [Stratum(control, treatment, SHARE)]


def values(n0: int, mean0: float, n1: int, mean1: float, spread: float = 1.0) -> list[Stratum]:
    """Half of the units `spread` below the mean and half above."""
    sums = []
    for n, mean in ((n0, mean0), (n1, mean1)):
        low, high = round((mean - spread) * F), round((mean + spread) * F)
        sums.append((n, n // 2 * (low + high), n // 2 * (low * low + high * high)))
    return [Stratum(sums[0], sums[1], SHARE)]


def harm(kind: str, strata: list[Stratum], **changes: Any) -> float:
    return KINDS[kind].harm(KINDS[kind].running, strata, metric(kind, **changes))


def promoting(kind: str, strata: list[Stratum], **changes: Any) -> dict[str, float]:
    return KINDS[kind].promoting(strata, metric(kind, **changes))


# ---- each kind ------------------------------------------------------------------------------------------------------

Units = list[tuple[int, tuple[int, int]]]  # how many units have which value: fixed-point y, and n


class Case(NamedTuple):
    """3,000 units of control, and 1,000 of a treatment that is worse, and of one that is the same."""

    terms: dict[str, Any]
    control: Units
    worse: Units
    same: Units


def events(of_3000: int, worse: int, n: int = 1, **terms: Any) -> Case:
    control, bad, same = (
        [(x, (F, n)), (units - x, (0, n))]
        for units, x in ((3000, of_3000), (1000, worse), (1000, of_3000 // 3))
    )
    return Case(terms, control, bad, same)


def numbers(worse: int, n: int = 1, scale: int = F, **terms: Any) -> Case:
    """Half of control at 2, half at 4; the worse treatment so much above."""
    low, high = 2 * scale, 4 * scale
    moved = worse * scale
    bad: Units = [(500, (low + moved, n)), (500, (high + moved, n))]
    return Case(terms, [(1500, (low, n)), (1500, (high, n))], bad, [(500, (low, n)), (500, (high, n))])


SOME: dict[str, Any] = {"margin": 0.5, "mde": 0.5}
TIMES: dict[str, Any] = {"relative": True, "margin": 1.0, "mde": 0.5}
CASES = {
    "proportion": events(1290, 580, margin=0.1),
    "rare_proportion": events(0, 12),
    "rate": events(600, 400, n=2, **TIMES),
    "mean": numbers(1, **SOME),
    "winsorised_mean": numbers(1, cap=9 * F, **SOME),
    "ratio": numbers(2, n=2, **SOME),
    "edit_rate": numbers(2, scale=F // 10, margin=0.05, mde=0.05),
    "exceedance": events(6, 20, over=7 * F),
    "rating": numbers(1, **SOME),
    "time_to_event": events(600, 400, n=3, **TIMES),
}


def strata_of(name: str, key: str, treatment: str, terms: dict[str, Any]) -> list[Stratum]:
    reading = KINDS[name].reading(terms, key)
    sums = []
    for units in (CASES[name].control, getattr(CASES[name], treatment)):
        parts = [[count * part for part in reading.part(*value)] for count, value in units]
        sums.append(tuple(map(sum, zip(*parts, strict=True))))
    return [Stratum(sums[0], sums[1], SHARE)]


def test_each_kind_has_its_cases_and_its_line() -> None:
    lines = (Path(__file__).parent.parent.parent / "config" / "README.md").read_text().splitlines()
    assert list(CASES) == list(KINDS)
    assert [name for name in KINDS if not any(line.startswith(f"| `{name}` |") for line in lines)] == []
    assert all(kind.name == name and kind.about for name, kind in KINDS.items())


@pytest.mark.parametrize("name", KINDS)
def test_harm_of_each_kind_is_shown_by_running_sums_where_it_is_and_only_there(name: str) -> None:
    kind, terms = KINDS[name], metric(name, **CASES[name].terms)
    shown = {
        treatment: kind.harm(kind.reading(terms, "r"), strata_of(name, "r", treatment, terms), terms)
        for treatment in ("worse", "same")
    }
    assert shown["worse"] > math.log(300)
    assert shown["same"] < math.log(20)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_promotes_what_is_the_same_and_not_what_is_worse(name: str) -> None:
    kind, terms = KINDS[name], metric(name, **CASES[name].terms)
    key = kind.promotes_on(terms)
    shown = {
        treatment: kind.promoting(strata_of(name, key, treatment, terms), terms)
        for treatment in ("worse", "same")
    }
    assert shown["same"]["non_inferiority"] > math.log(20)
    assert shown["same"]["superiority"] < math.log(20)
    assert shown["worse"]["non_inferiority"] < math.log(20)
    assert shown["worse"]["futility"] > math.log(20)
    found = kind.interval(
        kind.reading(terms, key), strata_of(name, key, "worse", terms), terms, terms["margin"], 0.1
    )
    assert found is not None
    assert 0 <= found[0] < found[1]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.weighted])
def test_labels_sampled_alike_are_read_as_if_all_had_been_asked_for(name: str) -> None:
    kind = KINDS[name]
    terms = metric(name, **CASES[name].terms | {"sampled": True})
    sums = [tuple(map(sum, zip(*parts, strict=True))) for parts in _weighted(name, kind, terms)]
    rows = [Stratum(sums[0], sums[1], SHARE)]
    assert kind.harm(kind.reading(terms, "r"), rows, terms) > math.log(300)
    level = kind.reading(terms, "c").level(rows[0].control).value
    assert level == pytest.approx(
        kind.running.level(strata_of(name, "r", "worse", metric(name))[0].control).value
    )


def _weighted(name: str, kind: Kind, terms: dict[str, Any]) -> list[list[list[int]]]:
    """Each label stands for four reports."""
    weight = 4 * F
    return [
        [
            [count * part for part in kind.reading(terms, "c").part(weight * y, weight * n)]
            for count, (y, n) in units
        ]
        for units in (CASES[name].control, CASES[name].worse)
    ]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.adjusted])
def test_a_covariate_narrows_the_interval_and_a_missing_one_drops_nobody(name: str) -> None:
    kind, plain = KINDS[name], metric(name, **CASES[name].terms)
    terms = plain | {"covariate": True}
    reading = kind.reading(terms, "c")
    sums = []
    for units in (CASES[name].control, CASES[name].same):
        parts = [
            [
                count // 2 * (known + missing)
                for known, missing in zip(
                    reading.part(*value, value[0]), reading.part(*value, None), strict=True
                )
            ]
            for count, value in units
        ]
        sums.append(tuple(map(sum, zip(*parts, strict=True))))
    rows = [Stratum(sums[0], sums[1], SHARE)]
    narrow = kind.interval(reading, rows, terms, 0.1, 0.1)
    wide = kind.interval(kind.closed, strata_of(name, "c", "same", plain), plain, 0.1, 0.1)
    assert narrow is not None
    assert wide is not None
    assert narrow[1] - narrow[0] < 0.8 * (wide[1] - wide[0])
    assert reading.level(sums[0]) == kind.closed.level(strata_of(name, "c", "same", plain)[0].control)


def test_first_events_are_compared_by_their_age_where_the_file_says_so() -> None:
    kind, terms = KINDS["time_to_event"], metric("time_to_event", test="log_rank", **TIMES)
    assert kind.promotes_on(terms) == "c"
    shown = kind.promoting(strata_of("time_to_event", "c", "same", terms), terms)
    assert shown["non_inferiority"] > math.log(20)
    worse = kind.promoting(
        strata_of("time_to_event", "c", "worse", terms), terms | {"better": "higher", "margin": 0.5}
    )
    assert worse["superiority"] > math.log(20)


def test_the_quantile_of_the_file_picks_the_tests_of_an_exceedance() -> None:
    kind = KINDS["exceedance"]
    few = binary(0, 300, 12, 100)  # behind the gate of the grid
    assert harm("exceedance", few, quantile=0.99) > math.log(300)
    assert harm("exceedance", few, quantile=0.5) == 0.0
    assert [kind.exact(metric(quantile=share)) for share in (0.99, 0.5)] == [True, False]


def test_the_win_probability_of_a_rating_stands_beside_it() -> None:
    kind = KINDS["rating"]
    assert kind.beside is not None
    terms = metric("rating", scale=5)
    same = kind.beside(strata_of("rating", "c", "same", terms), terms)["win_probability"]
    higher = kind.beside(strata_of("rating", "c", "worse", terms), terms)["win_probability"]
    assert same == pytest.approx(0.5)
    assert higher == pytest.approx(0.75)
    assert kind.beside([], terms) == {"win_probability": None}


# ---- relative differences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proportion", "mean", "ratio"])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_relative_interval_leaves_the_margin_exactly_when_non_inferiority_is_shown(
    name: str, better: str
) -> None:
    kind = KINDS[name]
    for margin in (0.02, 0.05, 0.1, 0.15, 0.2):
        terms = metric(name, relative=True, margin=margin, mde=margin, better=better)
        rows = strata_of(name, "c", "same", terms)
        found = kind.interval(kind.closed, rows, terms, margin, 0.1)
        log_e = kind.promoting(rows, terms)["non_inferiority"]
        assert found is not None
        worst = found[1] if better == "lower" else -found[0]
        assert (worst < margin) is (log_e > math.log(20)), margin


def test_a_relative_claim_does_not_depend_on_the_unit_of_the_metric() -> None:
    shown = []
    for scale in (F, 1000 * F):
        reading = KINDS["mean"].closed
        parts = [
            [[count * part for part in reading.part(y * scale, 1)] for count, y in units]
            for units in (((1500, 2), (1500, 4)), ((500, 2), (500, 4)))
        ]
        sums = [tuple(map(sum, zip(*rows, strict=True))) for rows in parts]
        terms = metric("mean", relative=True, margin=0.1, mde=0.1)
        shown.append(KINDS["mean"].promoting([Stratum(sums[0], sums[1], SHARE)], terms)["non_inferiority"])
    assert shown[0] == pytest.approx(shown[1], rel=1e-12)
    assert shown[0] > math.log(20)


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


def test_no_units_say_nothing() -> None:
    for name, kind in KINDS.items():
        assert kind.harm(kind.running, [], metric(name, **CASES[name].terms)) == pytest.approx(0.0, abs=1e-12)
        assert all(
            abs(value) < 1e-12 for value in kind.promoting([], metric(name, **CASES[name].terms)).values()
        )
        assert kind.interval(kind.closed, [], metric(name, **CASES[name].terms), 0.02, 0.1) is None


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
