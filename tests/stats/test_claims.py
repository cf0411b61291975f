"""The four claims, absolute and relative: the right boundary, the right direction, and intervals that agree."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import claims, grid, half_normal, half_student, means, proportions, relative
from stats.claims import Claim
from stats.estimates import Estimate
from stats.moments import Sample
from stats.strata import NOTHING, Information, gather

LEVEL, MARGIN = 2.0, 0.1
# By claim: its builder, and in which direction (1: good) the boundary of its null lies from no effect.
CLAIMS: dict[str, tuple[Callable[[str, bool], Claim], int]] = {
    "superiority": (lambda better, relative: claims.superiority(better), 0),
    "non-inferiority": (lambda b, r: claims.non_inferiority(b, MARGIN, relative=r), -1),
    "harm": (lambda better, r: claims.harm(better, MARGIN, relative=r), -1),
    "harm without tolerance": (lambda better, r: claims.harm(better, 0.0, relative=r), 0),
    "futility": (lambda better, r: claims.futility(better, MARGIN, relative=r), 1),
}
SHOWS_GOOD = {"superiority", "non-inferiority"}
every_claim = pytest.mark.parametrize("name", CLAIMS)
either_direction = pytest.mark.parametrize("better", ["higher", "lower"])
either_margin = pytest.mark.parametrize("is_relative", [False, True], ids=["absolute", "relative"])


def information_of(level1: float, claim: Claim, *, is_relative: bool) -> Information:
    arms = Sample(4000, LEVEL, 1.0), Sample(4000, level1, 1.0)
    estimate = means.difference(*arms, claim.factor)
    return gather([estimate.over(LEVEL) if is_relative else estimate])


def log_es(level1: float, claim: Claim, *, is_relative: bool) -> list[float]:
    """By each one-sided test."""
    found = information_of(level1, claim, is_relative=is_relative)
    assert found.effect is not None
    signed = claim.sign * found.b
    return [
        grid.log_evalue(found.a, signed, claim.null, MARGIN),
        half_normal.log_evalue(found.a, signed, claim.null, MARGIN**2),
        half_student.log_evalue(claim.sign * found.effect, found.a**-0.5, 7998, 2000.0, claim.null, 10.0),
    ]


@every_claim
@either_direction
@either_margin
def test_each_claim_has_its_boundary_and_its_direction(name: str, better: str, is_relative: bool) -> None:
    build, towards = CLAIMS[name]
    claim = build(better, is_relative)
    good = 1 if better == "higher" else -1
    margin = MARGIN * LEVEL if is_relative else MARGIN
    boundary = LEVEL + good * towards * margin
    at = information_of(boundary, claim, is_relative=is_relative)
    assert claim.sign * at.b == pytest.approx(claim.null * at.a, abs=1e-6 * at.a)
    to_claim = good if name in SHOWS_GOOD else -good
    beyond = boundary + to_claim * 2 * margin
    inside = boundary - to_claim * 2 * margin
    assert all(value > math.log(100) for value in log_es(beyond, claim, is_relative=is_relative))
    assert all(value < 0 for value in log_es(inside, claim, is_relative=is_relative))


@either_direction
def test_harm_beyond_and_non_inferiority_within_one_margin_exclude_each_other(better: str) -> None:
    harm, within = claims.harm(better, MARGIN), claims.non_inferiority(better, MARGIN)
    assert (harm.sign, harm.null) == (-within.sign, -within.null)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claims.superiority("up"), "better: expected 'higher' or 'lower', found 'up'"),
        (
            lambda: claims.non_inferiority("higher", -0.1),
            "margin: expected a finite number above 0, found -0.1",
        ),
        (lambda: claims.non_inferiority("higher", 0.0), "margin: expected a finite number above 0"),
        (lambda: claims.non_inferiority("higher", 1.0, relative=True), "margin: .* below 1, found 1.0"),
        (lambda: claims.harm("lower", -1e-9), "tolerance: expected a finite number of at least 0"),
        (lambda: claims.harm("higher", 2.0, relative=True), "tolerance: .* below 1, found 2.0"),
        (lambda: claims.futility("lower", 1.5, relative=True), "mde: .* below 1, found 1.5"),
        (lambda: claims.futility("higher", math.nan), "mde: expected a finite number above 0, found nan"),
    ],
)
def test_a_margin_on_the_wrong_side_is_an_error(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_levels_may_double_where_that_is_possible() -> None:
    assert claims.non_inferiority("lower", 2.0, relative=True).factor == 3.0
    assert claims.futility("higher", 2.0, relative=True).factor == 3.0


# ---- lifts ----------------------------------------------------------------------------------------------------------

counts = st.integers(400, 4000).flatmap(lambda n: st.tuples(st.just(n), st.integers(60, n - 60)))


@given(counts, counts, st.floats(0.01, 0.5), st.booleans())
def test_a_lift_is_outside_exactly_when_the_relative_claim_is_shown(
    control: tuple[int, int], treatment: tuple[int, int], margin: float, is_upper: bool
) -> None:
    level = control[1] / control[0]

    def at(factor: float) -> Information:
        return gather([proportions.difference(*control, *treatment, factor).over(level)])

    alpha = 0.1
    found = relative.interval(at, 0.05, alpha)
    claim = claims.non_inferiority("lower" if is_upper else "higher", margin, relative=True)
    there = at(claim.factor)
    if found is None:
        assert not there.open
        return
    log_e = grid.log_evalue(there.a, claim.sign * there.b, claim.null, 0.05)
    if abs(log_e - math.log(2 / alpha)) > 1e-6:
        inside = found.high < margin if is_upper else found.low > -margin
        assert inside is (log_e > math.log(2 / alpha))
    assert found.low <= treatment[1] * control[0] / (treatment[0] * control[1]) - 1 <= found.high


def test_a_lift_needs_a_level() -> None:
    none, some = Sample(400, 0.0, 1.0), Sample(400, 1.0, 1.0)
    for found in (means.lift(none, some), proportions.lift(400, 0, 400, 100)):
        assert found == Estimate(None, None, "a level of control above 0")
    assert means.difference(none, some).over(0.0).effect is None
    assert relative.interval(lambda factor: NOTHING, 0.05, 0.1) is None


# ---- strata ---------------------------------------------------------------------------------------------------------


def test_a_gated_stratum_adds_nothing_and_says_what_it_waits_for() -> None:
    spoken, gated = Estimate(0.5, 0.1), Estimate(9.0, 0.1, "300 units in each arm (now 7)")
    assert gather([gated, spoken]) == gather([spoken])
    assert gather([spoken])[:2] == pytest.approx((100, 50))
    assert gather([gated]) == (0.0, 0.0, gated.missing)
    assert gather([]) == NOTHING
    assert gather([gated]).effect is None


def test_closed_strata_are_two_numbers() -> None:
    parts = [Estimate(0.5, 0.1), Estimate(-0.2, 0.4), Estimate(0.1, 0.3)]
    whole, folded = gather(parts), gather(parts[2:], gather(parts[:2]))
    assert folded[:2] == pytest.approx(whole[:2])
    assert folded.effect == pytest.approx(whole.b / whole.a)
