"""Sample ratio mismatch: invented, and found."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri

from stats import srm
from stats.evalues import threshold
from tests.simulate.peers import words
from tests.simulate.results import Result, Row, average, rate, rng_of
from tests.simulate.streams import Float, Whole, each, first

ALPHA = 0.001
BATCH, LOOKS = 1000, 200
SHARES = (0.5, 0.5)


def arms(rng: np.random.Generator, reps: int, true: float) -> tuple[Whole, Whole]:
    """Units of both arms at each look."""
    n1 = rng.binomial(BATCH, true, (reps, LOOKS)).cumsum(axis=1)
    return np.arange(1, LOOKS + 1) * BATCH - n1, n1


def log_e(n0: Whole, n1: Whole) -> Float:
    """Of the asked shares."""
    return each(lambda a, b: srm.log_evalue([((a, b), SHARES)]), n0, n1)


def study(reps: int, seed: int) -> Result:
    """Looks every 1,000 units, up to 200,000."""
    n0, n1 = arms(rng_of(seed, "srm"), reps, 0.5)
    hits = log_e(n0, n1) >= threshold(ALPHA)
    square = (n1 - n0) ** 2 / (n0 + n1)
    chi = square >= chdtri(1, 0.0005)
    rows: list[Row] = [
        rate("50/50: a mismatch invented", hits.any(axis=1), ALPHA, peers=words("mismatch invented")),
        rate("the same by a chi-square at p < .0005 at every look", chi.any(axis=1)),
    ]
    for true, target, peers in ((0.51, 45_000, words("mismatch 51/49")), (0.505, None, "")):
        a, b = arms(rng_of(seed, f"srm {true}"), max(2, reps // 4), true)
        look, found = first(log_e(a, b) >= threshold(ALPHA))
        units = np.asarray((look + 1.0) * BATCH)
        rows.append(
            _median(f"{1 - true:.1%} / {true:.1%}: median units until it is found", units, target, peers)
        )
        rows.append(rate(f"{1 - true:.1%} / {true:.1%}: found by 200,000 units", found))
    steps = np.arange(len(hits[0])) + 1
    curves = {
        name: [
            [float(step * BATCH), float(hit[:, :step].any(axis=1).mean())] for step in steps[3::4].tolist()
        ]
        for name, hit in (
            ("chi-square, p < .0005, every look", chi),
            ("Dirichlet-multinomial e-value, α .001", hits),
        )
    }
    return Result(
        "mismatch",
        "Sample ratio mismatch",
        "A look every 1,000 units, up to 200,000; α .001.",
        reps,
        seed,
        rows,
        curves,
    )


def _median(what: str, units: Float, target: float | None, peers: str) -> Row:
    """With the error of a median by its order statistics."""
    ordered = np.sort(units)
    n = len(ordered)
    half = round(np.sqrt(n) / 2)
    error = float(ordered[min(n - 1, n // 2 + half)] - ordered[max(0, n // 2 - half)]) / 2
    row = average(what, units, target, peers=peers)
    return Row(row.what, float(np.median(units)), error, target, peers=peers)
