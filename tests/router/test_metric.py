"""One table of kinds: each row has its cases here and its line in the documentation of files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from router.events import FIXED_POINT as F
from router.metric import KINDS, Kind
from router.reading import Stratum
from tests.router.sums_of import SHARE, binary, harm, metric

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


def test_no_units_say_nothing() -> None:
    for name, kind in KINDS.items():
        assert kind.harm(kind.running, [], metric(name, **CASES[name].terms)) == pytest.approx(0.0, abs=1e-12)
        assert all(
            abs(value) < 1e-12 for value in kind.promoting([], metric(name, **CASES[name].terms)).values()
        )
        assert kind.interval(kind.closed, [], metric(name, **CASES[name].terms), 0.02, 0.1) is None
