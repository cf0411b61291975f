"""Three arms and six metrics that go together, all without an effect: any false claim, at any look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stats import grid, many
from stats.evalues import threshold
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, rate, rng_of

ALPHA = 0.05
TREATMENTS, METRICS, LOOKS = 3, 6, 200
TOGETHER = 0.5  # correlation of the metrics, and of treatments through the control they share
MDE = 0.2  # in standard deviations of the last look's score it is 2.8: the horizon is n80


def scores(rng: np.random.Generator, reps: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """Scores of shape (replications, looks, tests), with unit information a look."""

    def paths(count: int) -> np.ndarray[tuple[int, int, int, int], np.dtype[np.float64]]:
        shape = (reps, LOOKS, count, 1), (reps, LOOKS, count, METRICS)
        common, own = (rng.standard_normal(size) for size in shape)
        return np.asarray(np.sqrt(TOGETHER) * common + np.sqrt(1 - TOGETHER) * own)

    steps = (paths(TREATMENTS) - paths(1)) / np.sqrt(2)
    return np.asarray(steps.reshape(reps, LOOKS, -1).cumsum(axis=1))


def study(reps: int, seed: int) -> Result:
    """Eighteen one-sided tests, a decision after every look."""
    score = scores(rng_of(seed, "many"), reps)
    log_e = grid.log_evalues(np.arange(1.0, LOOKS + 1)[:, None], score, 0.0, MDE)
    best = np.maximum.accumulate(log_e, axis=1)
    rows: list[Row] = [
        rate(
            "uncorrected: any false claim",
            (best[:, -1] >= threshold(ALPHA)).any(axis=1),
            peers=words("any false claim of 18"),
        )
    ]
    closure: Callable[[Sequence[float], float], list[int]] = lambda values, alpha: [  # noqa: E731
        i for i, value in enumerate(many.closed(values)) if value >= threshold(alpha)
    ]
    strict: Callable[[Sequence[float], float], list[int]] = lambda values, alpha: [  # noqa: E731
        i for i, value in enumerate(values) if value >= many.bonferroni(len(values), alpha)
    ]
    for name, procedure in (
        ("Bonferroni on e-values", strict),
        ("Holm on e-values", many.holm),
        ("closure by averaging", closure),
        ("e-BH", many.e_bh),
    ):
        hits = np.array([_any_claim(procedure, course) for course in log_e])
        rows.append(rate(f"{name}: any false claim", hits, ALPHA))
    return Result(
        "multiplicity",
        "Many metrics and treatments",
        f"{TREATMENTS} treatments × {METRICS} metrics (correlation {TOGETHER:g}, one control), nothing true, {LOOKS} looks; "
        "any claim at any look counts.",
        reps,
        seed,
        rows,
    )


def _any_claim(
    procedure: Callable[[Sequence[float], float], list[int]],
    course: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> bool:
    """Whether any look claims anything; looks without an e-value of 1/alpha cannot, and are passed over."""
    rows = course[course.max(axis=1) >= threshold(ALPHA)]
    return any(procedure(row.tolist(), ALPHA) for row in rows)
