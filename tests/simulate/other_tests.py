"""Tests with data of their own: covariates, ratings, small samples, caps, labels, hazards, relative margins, strata."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stats import (
    claims,
    counts,
    cuped,
    grid,
    half_student,
    logrank,
    means,
    missing,
    ordinal,
    proportions,
    student,
)
from stats.estimates import Estimate, estimate, no_value, units_missing
from stats.evalues import threshold
from stats.moments import FIXED_POINT, sample
from stats.pairs import Totals
from tests.simulate import worlds
from tests.simulate.results import Result, Row, rate, rng_of
from tests.simulate.shipped import Question, by_grid, of_estimates, of_means
from tests.simulate.streams import Float, Whole, batches, rows_of

LOOKS = 40
BATCH = (75, 25)  # units of control and treatment between looks
MILLI = 1000
ALPHAS = (0.05, 0.01)
Looks = Callable[[np.random.Generator, int], list[Float]]
Rng = np.random.Generator


def course_of(values: npt.NDArray[Any]) -> Whole:
    """Sums over the units (last axis) of every look so far."""
    return np.asarray(values.sum(axis=2).cumsum(axis=1))


def with_covariate(rng: Rng, reps: int) -> list[Float]:
    """CUPED: correlation .7, one unit in five without the covariate."""
    arms = []
    for units in BATCH:
        size = (reps, LOOKS, units)
        before = rng.standard_normal(size)
        y = np.rint((0.7 * before + math.sqrt(0.51) * rng.standard_normal(size)) * MILLI).astype(np.int64)
        x, there = np.rint(before * MILLI).astype(np.int64), rng.random(size) < 0.8
        pairs = [course_of(there * part) for part in (np.ones_like(x), x, y, x * x, x * y, y * y)]
        alone = [course_of(~there * part) for part in (np.ones_like(x), y, y * y)]
        f = FIXED_POINT // MILLI
        present = [
            Totals(n, sx * f, sy * f, sxx * f * f, sxy * f * f, syy * f * f)
            for n, sx, sy, sxx, sxy, syy in zip(*rows_of(*pairs), strict=True)
        ]
        absent = [(n, sy * f, syy * f * f) for n, sy, syy in zip(*rows_of(*alone), strict=True)]
        arms.append([cuped.Arm(*both) for both in zip(present, absent, strict=True)])
    found = [cuped.difference(*pair) for pair in zip(*arms, strict=True)]
    return by_grid(of_estimates(found, (reps, LOOKS)), Question(0.1))


def ratings(effect: Callable[[Sequence[int], Sequence[int]], Estimate]) -> Looks:
    """Five categories, most of them good."""

    def looks(rng: Rng, reps: int) -> list[Float]:
        chances = (0.05, 0.05, 0.1, 0.3, 0.5)
        arms = [
            rng.multinomial(units, chances, (reps, LOOKS)).cumsum(axis=1).reshape(-1, 5).tolist()
            for units in BATCH
        ]
        found = [effect(*pair) for pair in zip(*arms, strict=True)]
        return by_grid(of_estimates(found, (reps, LOOKS)), Question(0.05))

    return looks


def small_samples(test: Callable[[means.Small, int], float], signs: Sequence[int]) -> Looks:
    """Normal values, one more in each arm at every look, from two on; no gate."""

    def looks(rng: Rng, reps: int) -> list[Float]:
        samples = []
        for _ in (0, 1):
            values = np.rint(rng.standard_normal((reps, 60)) * MILLI).astype(np.int64)
            n = np.broadcast_to(np.arange(1, 61), values.shape)
            sums = (n, values.cumsum(axis=1), (values**2).cumsum(axis=1))
            samples.append(
                [sample(size, sx, sxx, MILLI) for size, sx, sxx in zip(*rows_of(*sums), strict=True)]
            )
        found = [means.small(*pair) for pair in zip(*samples, strict=True)]
        return [
            np.array([test(small, sign) if small else 0.0 for small in found]).reshape(reps, 60)
            for sign in signs
        ]

    return looks


PRIOR = 10.0


def _half_student(small: means.Small, sign: int) -> float:
    return half_student.log_evalue(sign * small.effect, small.se, small.freedom, small.units, 0.0, PRIOR)


def _student(small: means.Small, sign: int) -> float:
    return student.log_evalue(small.effect, small.se, small.freedom, small.units, 0.0, PRIOR)


def capped(rng: Rng, reps: int) -> list[Float]:
    """Lognormal σ 2 at a share of 5 %, capped at the 99th percentile."""
    sizes, cap = batches(100, 20_000, 70), math.exp(2 * 2.326348)
    stream = worlds.values(
        rng, reps, 0.05, lambda n: rng.lognormal(0.0, 2.0, n), sizes=sizes, cap=cap, window=0
    )
    return by_grid(of_means(stream.running, stream.resolution), Question(1.0))


def labels(rng: Rng, reps: int) -> list[Float]:
    """Labels of one unit in ten, and of all suspicious ones, in which the event is five times as likely."""
    arms = []
    for units in BATCH:
        size = (reps, LOOKS, 4 * units)
        suspicious = rng.random(size) < 0.2
        y = rng.random(size) < np.where(suspicious, 0.5, 0.1)
        w = np.where(suspicious, 1.0, 10.0) * (suspicious | (rng.random(size) < 0.1))
        sums = [course_of(part) for part in (w, w * y, w * w, w * w * y, w * w * y * y, w > 0)]
        arms.append(
            [missing.Weighted(*row[:5]) if row[5] >= 2 else None for row in zip(*rows_of(*sums), strict=True)]
        )
    found = []
    labelled = (np.arange(reps * LOOKS) % LOOKS + 1) * BATCH[
        1
    ]  # about a label in three and a half units of four
    for pair, units in zip(zip(*arms, strict=True), labelled.tolist(), strict=True):
        levels = [missing.inverse_probability(arm) if arm else None for arm in pair]
        if levels[0] is None or levels[1] is None:
            found.append(no_value())
            continue
        variance = levels[0].variance + levels[1].variance
        found.append(estimate(levels[1].value - levels[0].value, variance, units_missing(units)))
    return by_grid(of_estimates(found, (reps, LOOKS)), Question(0.04))


def relative_margin(rng: Rng, reps: int) -> list[Float]:
    """Worse by just the margin of 20 % of control's share."""
    stream = worlds.proportions(rng, reps, 0.25, 0.1, 0.12, sizes=batches(400, 40_000, 100), window=0)
    claim = claims.non_inferiority("lower", 0.2, relative=True)
    n0, x0, n1, x1 = (part for arm in stream.running for part in (arm.n, arm.hit))
    said = proportions.differences(n0, x0, n1, x1, claim.factor)
    return [grid.log_evalues(said.information, claim.sign * said.weighted, claim.null, 0.02)]


AGES = 20


def hazards(rng: Rng, reps: int) -> list[Float]:
    """The safe log-rank test: units join at every look, one in five converts within its first 20 looks."""
    chances = np.append(np.full(AGES, 0.01), 1 - 0.01 * AGES)
    looks: list[Float] = [np.zeros((reps, LOOKS)) for _ in (0, 1)]
    for replication in range(reps):
        arms = []
        for units in BATCH:
            converted = rng.multinomial(units, chances, LOOKS)  # by look of entry and age
            at_risk = converted[:, ::-1].cumsum(axis=1)[:, ::-1]
            arms.append((at_risk.cumsum(axis=0).tolist(), converted.cumsum(axis=0).tolist()))
        (risk0, events0), (risk1, events1) = arms
        for look in range(LOOKS):
            ages = [
                logrank.Age(*(part[look - age][age] for part in (risk0, risk1, events0, events1)))
                for age in range(min(AGES, look + 1))
            ]
            for log_e, mixture in zip(looks, (counts.MORE, counts.FEWER), strict=True):
                log_e[replication, look] = logrank.log_evalue(ages, 1.0, mixture)
    return looks


def unlike_strata(rng: Rng, reps: int) -> list[Float]:
    """Three strata, one after another, with variances of 1, 10 and 100; the evidence adds."""
    variances = np.repeat((1.0, 10.0, 100.0), 40)
    steps = rng.standard_normal((reps, 120)) * np.sqrt(25 * variances) / variances
    a, b = np.broadcast_to((25 / variances).cumsum(), steps.shape), steps.cumsum(axis=1)
    return [grid.log_evalues(a, sign * b, 0.0, 0.3) for sign in (1, -1)]


# Name, the looks of it, by how much its replications are fewer.
TESTS: list[tuple[str, Looks, int]] = [
    ("CUPED, covariate missing in a fifth", with_covariate, 8),
    ("rating, mean score", ratings(ordinal.mean_score), 4),
    ("rating, win probability", ratings(ordinal.win_probability), 4),
    ("t version one-sided, from 2 units an arm", small_samples(_half_student, (1, -1)), 2),
    ("t version two-sided, from 2 units an arm", small_samples(_student, (1,)), 2),
    ("winsorised mean, lognormal σ 2, share .05", capped, 4),
    ("labels sampled with known chances", labels, 4),
    ("relative margin of 20 %, just reached", relative_margin, 1),
    ("safe log-rank, units joining", hazards, 8),
    ("strata of variances 1, 10, 100", unlike_strata, 1),
]


def study(reps: int, seed: int) -> Result:
    """Both false directions of each; the worse counts."""
    rows: list[Row] = []
    for name, looks, weight in TESTS:
        best = [log_e.max(axis=1) for log_e in looks(rng_of(seed, name), max(2, reps // weight))]
        for alpha in ALPHAS:
            hits = max((log_e >= threshold(alpha) for log_e in best), key=lambda hit: float(hit.mean()))
            rows.append(rate(name, hits, alpha, column="wrong claims"))
    return Result(
        "other_tests",
        "Wrong claims of tests with data of their own",
        f"{LOOKS} looks at {sum(BATCH)} units each, a quarter in the treatment, unless the line says otherwise; no "
        "effect. The covariate has a correlation of .7; the t versions look at normal values after every pair.",
        reps,
        seed,
        rows,
    )
