"""Error rates and efficiency with a look after every batch: a fast part of ``./run simulate``, with seeds of its own.

A test that keeps its promise fails one comparison here, through an unlucky seed, with probability below 1e-7: the bound
is the smallest count that a true error rate of alpha exceeds that rarely. There are about 300 of them, so all of this
file cries wolf for at most 1 seed in 30,000.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from tests.simulate import (
    canary,
    efficiency,
    error_rates,
    kinds,
    mismatch,
    multiplicity,
    other_tests,
    plans,
    through_router,
    together,
)
from tests.simulate.cases import CASES, Case
from tests.simulate.populations import POPULATIONS, Population
from tests.simulate.results import Row, rng_of
from tests.simulate.streams import first
from tests.stats.luck import most_allowed

SEED = 77
# Worlds that are quick and unlike each other; the slow test has them all.
FAST = (
    "p 0.1, share 0.5",
    "p 0.1, share 0.2, worse by the margin (p)",
    "p 0.01, share 0.05",
    "p 0.01, share 0.2, control without events",
    "p 0.001, share 0.2",
    "p 0.0002, share 0.05, worse by the margin (p)",
    "p 0.43, share 0.25",
    "p 0.99, share 0.25, worse by the margin",
    "lognormal σ 1, share 0.05",
    "lognormal σ 2, share 0.5, worse by the margin",
    "drift .10 → .12 under a ramp",
    "delayed conversions under a ramp, worse by the margin",
    "returning, ICC .2, all from the start",
    "returning, activity goes with outcome, ramp",
    "no event at all",
)
BY_NAME = {case.name: case for case in CASES}


def keeps(row: Row, runs: int) -> bool:
    assert row.promised is not None
    return round(row.measured * runs) <= most_allowed(runs, row.promised)


def broken(rows: list[Row], runs: int) -> list[Row]:
    assert rows
    return [row for row in rows if not keeps(row, runs)]


@pytest.mark.parametrize("name", FAST)
def test_no_formula_claims_what_is_false_more_often_than_promised(name: str) -> None:
    case = BY_NAME[name]
    runs = 160 // case.weight + 20
    assert broken(error_rates.rows_of(case, runs, SEED), runs) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_formula_claims_what_is_false_in_any_world(case: Case) -> None:
    runs = 2000 // case.weight
    assert broken(error_rates.rows_of(case, runs, SEED), runs) == []


@pytest.mark.parametrize(
    "name",
    [
        "p 0.01, share 0.2",
        "drift .10 → .12 under a ramp, worse by the margin",
        "lognormal σ 1, share 0.2",
        "returning, activity goes with outcome, ramp",
        "no event at all",
    ],
)
def test_no_verdict_of_the_router_is_false_more_often_than_promised(name: str) -> None:
    runs = 25
    assert broken(through_router.rows_of(BY_NAME[name], runs, SEED), runs) == []


QUICK = (
    "rate that falls, bursts of heavy units",
    "winsorised_mean",
    "edit_rate",
    "rating",
    "exceedance, frozen median",
    "time_to_event, log_rank",
    "proportion, sampled labels",
    "mean, segments and a roll",
)


@pytest.mark.parametrize("population", [p for p in POPULATIONS if p.name in QUICK], ids=lambda p: p.name)
def test_no_verdict_on_any_kind_is_false_more_often_than_promised(population: Population) -> None:
    runs = 8
    rows = kinds.rows_of(population, runs, SEED)
    assert broken([row for row in rows if row.column != "invalid"], runs) == []
    assert broken([row for row in rows if row.column == "invalid"], 2 * runs) == []


@pytest.mark.parametrize("method", plans.BOUNDED)
def test_a_plan_keeps_its_error_rate_for_one_goal_and_for_two(method: str) -> None:
    runs = 6
    rows = [*plans.of_ab(plans.GOALS[0], method, runs, SEED), *together.of_goals(method, runs, SEED)]
    assert broken([row for row in rows if row.side == "most"], runs) == []


@pytest.mark.parametrize(
    ("looks", "weight"), [test[1:] for test in other_tests.TESTS], ids=[test[0] for test in other_tests.TESTS]
)
def test_tests_with_data_of_their_own_keep_their_error_rate(looks: other_tests.Looks, weight: int) -> None:
    runs = 200 // weight + 20
    for alpha in other_tests.ALPHAS:
        best = [log_e.max(axis=1) for log_e in looks(rng_of(SEED, "fast"), runs)]
        assert max(int((log_e >= -math.log(alpha)).sum()) for log_e in best) <= most_allowed(runs, alpha)


def surely_above(units: npt.ArrayLike, target: float) -> bool:
    """Whether the mean is five standard errors above: a mean at the target is that high for 1 seed in 3 million."""
    values = np.asarray(units, float)
    return bool(values.mean() > target + 5 * values.std(ddof=1) / math.sqrt(len(values)))


@pytest.mark.parametrize(("p0", "p1", "size", "looks", "promised", "_peers"), canary.HARMFUL[1:])
@pytest.mark.parametrize("share", canary.SHARES)
def test_a_harmful_canary_is_rolled_back_within_its_mean_of_requests(
    share: float, p0: float, p1: float, size: int, looks: int, promised: dict[float, float], _peers: str
) -> None:
    stream = canary.stream_of(SEED, "fast", 300, share, (p0, p1), size, looks)
    look, found = first(canary.harm(stream) >= -math.log(canary.ALPHA_HARM))
    assert found.all()
    assert not surely_above(canary.treatment_units(stream, look), promised[share])


def test_a_treatment_without_errors_is_promoted_after_434_units() -> None:
    assert canary.zero_errors(rng_of(SEED, "zero"), 2, 0.0, 600).tolist() == [434.0, 434.0]


def test_the_grid_needs_no_more_units_than_promised() -> None:
    runs = 150
    for effect, target in ((0.01, 1.06), (0.02, 1.20), (0.04, 1.55)):
        said = efficiency.shares_said(rng_of(SEED, str(effect)), runs, effect)
        look, _ = first(efficiency.OPEN["MDE grid"](said, efficiency.POINT) >= 1)
        assert not surely_above((look + 1.0) * efficiency.LOOK / efficiency.n80(effect), target)


def test_a_horizon_keeps_its_power_and_its_error_rate() -> None:
    runs = 150
    null = efficiency.shares_said(rng_of(SEED, "null"), runs, 0.0)
    true = efficiency.shares_said(rng_of(SEED, "true"), runs, efficiency.POINT)
    for name, (_, wrong) in efficiency.horizon_tests(null, efficiency.N80).items():
        assert wrong.sum() <= most_allowed(runs, efficiency.ALPHA), name
    for name, (size, rejected) in efficiency.horizon_tests(true, efficiency.N80).items():
        assert (1 - rejected).sum() <= most_allowed(runs, 1 - 0.775), name
        assert not surely_above(size, 0.76), name


def test_a_mismatch_is_found_and_not_invented() -> None:
    runs = 100
    wrong = mismatch.log_e(*mismatch.arms(rng_of(SEED, "srm"), runs, 0.5)) >= -math.log(mismatch.ALPHA)
    found = mismatch.log_e(*mismatch.arms(rng_of(SEED, "srm off"), runs, 0.52)) >= -math.log(mismatch.ALPHA)
    assert wrong.any(axis=1).sum() <= most_allowed(runs, mismatch.ALPHA)
    assert found.any(axis=1).all()


def test_many_tests_make_no_false_claim_likely() -> None:
    runs = 100
    rows = multiplicity.study(runs, SEED).rows[1:]
    assert broken(rows, runs) == []
