"""Under the null the expectation of e is at most 1: by enumeration where a test is exact, by quadrature where the null is normal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from stats import beta, counts, grid, half_normal, half_student, normal, rare, srm, student
from stats.evalues import average

MIXTURES = pytest.mark.parametrize(
    ("mixture", "null"),
    [
        pytest.param(counts.MORE, 1.0, id="more events"),
        pytest.param(counts.FEWER, 1.0, id="fewer events"),
        pytest.param(counts.within(2.0), 2.0, id="below twice as many"),
        pytest.param(counts.within(0.9), 0.9, id="no tenth fewer"),
    ],
)


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


def inside(share: float, ratio: float) -> float:
    """The chance that an event falls in the treatment."""
    return ratio * share / (ratio * share + 1 - share)


# ---- enumeration ----------------------------------------------------------------------------------------------------


@MIXTURES
@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("events", [1, 7, 60])
def test_the_conditional_test_expects_exactly_one_at_its_null(
    events: int, share: float, mixture: counts.Mixture, null: float
) -> None:
    mass = binomial(events, inside(share, null))
    expectation = sum(
        p * math.exp(counts.log_evalue([(events - x, x, share)], null, mixture)) for x, p in enumerate(mass)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


@MIXTURES
@pytest.mark.parametrize("beyond", [1.01, 1.4, 5.0])
def test_the_conditional_test_expects_less_further_inside_its_null(
    beyond: float, mixture: counts.Mixture, null: float
) -> None:
    share, towards = 0.25, -1 if max(mixture.ratios) > null else 1
    mass = binomial(60, inside(share, null * beyond**towards))
    values = [counts.log_evalue([(60 - x, x, share)], null, mixture) for x in range(61)]
    assert sum(p * math.exp(value) for p, value in zip(mass, values, strict=True)) < 1


@pytest.mark.parametrize("shares", [(0.05, 0.5), (0.25, 0.75)])
def test_the_conditional_test_is_exact_over_strata_of_different_shares(shares: tuple[float, float]) -> None:
    first, second = binomial(12, shares[0]), binomial(9, shares[1])
    expectation = sum(
        p * q * math.exp(counts.log_evalue([(12 - x, x, shares[0]), (9 - y, y, shares[1])]))
        for (x, p), (y, q) in itertools.product(enumerate(first), enumerate(second))
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("null", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_two_sided_test_of_counts_expects_exactly_one(share: float, null: float) -> None:
    mass = binomial(50, inside(share, null))
    expectation = sum(p * math.exp(beta.log_evalue(50 - x, x, share, null)) for x, p in enumerate(mass))
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("margin", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 30, 300])
def test_the_zero_errors_rule_expects_one_at_the_margin_and_less_beyond(n: int, margin: float) -> None:
    for rate in (margin, min(1.0, 1.5 * margin), 1.0):
        mass = binomial(n, rate)
        expectation = sum(p * math.exp(rare.log_evalue(n, x, margin)) for x, p in enumerate(mass) if p > 0)
        assert expectation <= 1 + 1e-9
        if rate == margin:
            assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("asked", [(0.75, 0.25), (0.5, 0.3, 0.2), (0.4, 0.3, 0.2, 0.1)])
def test_the_mismatch_test_expects_one_under_the_asked_shares(asked: tuple[float, ...]) -> None:
    n, expectation = 9, 0.0
    for row in itertools.product(range(n + 1), repeat=len(asked)):
        if sum(row) == n:
            ways = math.factorial(n) / math.prod(math.factorial(count) for count in row)
            chance = math.prod(share**count for share, count in zip(asked, row, strict=True))
            expectation += ways * chance * math.exp(srm.log_evalue([(row, asked)], 50))
    assert expectation == pytest.approx(1.0, abs=1e-9)


# ---- quadrature -----------------------------------------------------------------------------------------------------

Test = Callable[[float, float, float], float]
NORMAL_TESTS: dict[str, Test] = {
    "grid": lambda a, b, null: grid.log_evalue(a, b, null, 0.05),
    "half-normal": lambda a, b, null: half_normal.log_evalue(a, b, null, 0.001),
    "two-sided": lambda a, b, null: normal.log_evalue(a, b, null, 0.001),
}


def expected(test: Test, information: float, null: float, effect: float) -> float:
    """By the trapezoid rule, which for a smooth density over the whole line is as good as any."""
    z = np.linspace(-30, 30, 12_001)
    log_density = -z * z / 2 - 0.5 * math.log(2 * math.pi)
    estimates = (effect + z / math.sqrt(information)).tolist()
    log_e = np.array([test(information, information * estimate, null) for estimate in estimates])
    return float(np.exp(log_e + log_density).sum() * (z[1] - z[0]))


@pytest.mark.parametrize("name", NORMAL_TESTS)
@pytest.mark.parametrize("information", [0.5, 400.0, 4000.0])
@pytest.mark.parametrize("null", [-0.3, 0.0, 0.2])
def test_the_normal_mixtures_expect_one_at_the_null(name: str, information: float, null: float) -> None:
    assert expected(NORMAL_TESTS[name], information, null, null) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", ["grid", "half-normal"])
@pytest.mark.parametrize("below", [0.001, 0.05, 1.0])
def test_the_one_sided_mixtures_expect_less_below_the_null(name: str, below: float) -> None:
    assert expected(NORMAL_TESTS[name], 400.0, 0.1, 0.1 - below) < 1


@pytest.mark.parametrize("freedom", [1, 4, 60])
@pytest.mark.parametrize("units", [2.0, 40.0])
def test_the_t_versions_expect_one_at_the_null_at_every_sample_size(freedom: int, units: float) -> None:
    v = np.linspace(0, 1, 40_002)[1:-1]  # t by its quantiles: the mean of e over them
    angle = math.pi * (v - 0.5)
    t = np.tan(angle)  # Cauchy, then weighed by the density of t
    weight = np.exp(
        special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2) - 0.5 * math.log(freedom * math.pi)
        - (freedom + 1) / 2 * np.log1p(t * t / freedom)
    ) * math.pi * (1 + t * t)  # fmt: skip
    for module in (student, half_student):
        e = np.array([math.exp(module.log_evalue(x, 1.0, freedom, units, 0.0, 5.0)) for x in t.tolist()])
        assert float((e * weight).sum() * (v[1] - v[0])) == pytest.approx(1.0, abs=2e-3)


# ---- crossing at any look, by exact recursion -----------------------------------------------------------------------


def chance_to_cross(steps: int, p: float, target: float, log_e: Callable[[int, int], float]) -> float:
    """Every path of a coin with chance ``p`` is followed, with a look after each toss: no simulation."""
    crossed, alive = 0.0, {0: 1.0}
    for n in range(1, steps + 1):
        after: dict[int, float] = {}
        for x, mass in alive.items():
            after[x] = after.get(x, 0.0) + mass * (1 - p)
            after[x + 1] = after.get(x + 1, 0.0) + mass * p
        alive = {}
        for x, mass in after.items():
            if log_e(n, x) >= target:
                crossed += mass
            elif mass > 1e-15:
                alive[x] = mass
    return crossed


def test_harm_is_claimed_wrongly_in_at_most_one_percent_of_all_futures_of_400_events() -> None:
    crossed = chance_to_cross(400, 0.25, math.log(100), lambda n, x: counts.log_evalue([(n - x, x, 0.25)]))
    assert 0.001 < crossed <= 0.01


def test_twice_as_many_events_pass_a_margin_of_two_in_at_most_five_percent_of_all_futures() -> None:
    mixture, share = counts.within(2.0), 0.25
    crossed = chance_to_cross(
        300,
        inside(share, 2.0),
        math.log(20),
        lambda n, x: counts.log_evalue([(n - x, x, share)], 2.0, mixture),
    )
    assert 0.01 < crossed <= 0.05


def test_rare_errors_at_the_margin_are_passed_in_at_most_five_percent_of_all_futures_of_1000_units() -> None:
    crossed = chance_to_cross(1000, 0.02, math.log(20), lambda n, x: rare.log_evalue(n, x, 0.02))
    assert 0.01 < crossed <= 0.05


def test_zero_errors_promote_after_434_units_at_a_margin_of_one_point() -> None:
    """Averaged with a grid that is still gated and counts as 1."""
    shown = [average([rare.log_evalue(n, 0, 0.01), 0.0]) >= math.log(20) for n in (433, 434)]
    assert shown == [False, True]
