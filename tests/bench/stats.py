"""What the statistics cost: one evaluation as numbers and in arrays, and the import: reported, never asserted.

Run it with ``./run bench stats``; the last line is the same as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from stats import (
    beta,
    counts,
    cuped,
    grid,
    half_normal,
    half_student,
    means,
    normal,
    ordinal,
    proportions,
    rare,
    ratios,
    srm,
    student,
)
from stats.moments import sample
from stats.pairs import Totals

ROUNDS = 300
CALLS = 20
METRICS = 20_000
UNIT = 1_000_000
PAIR = Totals(7500, 22_500, 7500 * UNIT, 90_000, 25_000 * UNIT, 9000 * UNIT**2)


def best(step: Callable[[], object], per: int) -> float:
    """Microseconds per item: the best of several rounds, since noise only adds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return min(times) / per * 1e6


def repeated(call: Callable[[], object]) -> Callable[[], None]:
    def step() -> None:
        for _ in range(CALLS):
            call()

    return step


def verdict() -> float:
    """Five metrics from their sums, each tested for harm; the errors also for non-inferiority; and the sample ratio."""
    means_ = [
        means.difference(
            sample(7500, 7500 * UNIT, 15_000 * UNIT**2), sample(2500, 2510 * UNIT, 5000 * UNIT**2)
        )
        for _ in range(2)
    ]
    shares = [proportions.difference(7500, 750, 2500, 270) for _ in range(2)]
    ratio = ratios.difference(PAIR, PAIR)
    total = sum(grid.log_evalue(e.information, e.weighted, 0.0, 0.02) for e in (*means_, *shares, ratio))
    total += counts.log_evalue([(75, 27, 0.25)]) + rare.log_evalue(2500, 27, 0.02)
    return total + srm.log_evalue([((7500, 2500), (0.75, 0.25))])


SCALAR: dict[str, Callable[[], object]] = {
    "MDE grid": lambda: grid.log_evalue(5e4, 600.0, 0.0, 0.02),
    "MDE grid, interval": lambda: grid.interval(5e4, 600.0, 0.02, 0.05),
    "two-sided normal": lambda: normal.log_evalue(5e4, 600.0, 0.0, 4e-4),
    "half-normal": lambda: half_normal.log_evalue(5e4, 600.0, 0.0, 4e-4),
    "t, two-sided": lambda: student.log_evalue(0.3, 0.1, 30, 16.0, 0.0, 10.0),
    "t, one-sided": lambda: half_student.log_evalue(0.3, 0.1, 30, 16.0, 0.0, 10.0),
    "conditional counts": lambda: counts.log_evalue([(900, 62, 0.05)]),
    "two-sided counts": lambda: beta.log_evalue(900, 62, 0.05),
    "zero-errors rule": lambda: rare.log_evalue(1000, 3, 0.01),
    "sample ratio": lambda: srm.log_evalue([((7500, 2500), (0.75, 0.25))]),
    "difference of proportions": lambda: proportions.difference(7500, 750, 2500, 270),
    "difference of means, from sums": lambda: means.difference(
        sample(7500, 7500 * UNIT, 15_000 * UNIT**2), sample(2500, 2510 * UNIT, 5000 * UNIT**2)
    ),
    "difference of ratios, from sums": lambda: ratios.difference(PAIR, PAIR),
    "difference with a covariate, from sums": lambda: cuped.difference(cuped.Arm(PAIR), cuped.Arm(PAIR)),
    "win probability of ratings": lambda: ordinal.win_probability([50, 90, 300, 60], [20, 80, 250, 150]),
    "verdict: 5 metrics, errors, sample ratio": verdict,
}


def vectorised() -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(1)
    a, b = np.full(METRICS, 5e4), rng.normal(600, 200, METRICS)
    x0, x1 = rng.poisson(700, METRICS), rng.poisson(230, METRICS)
    n0, n1 = np.full(METRICS, 7500), np.full(METRICS, 2500)
    return {
        "MDE grid": lambda: grid.log_evalues(a, b, 0.0, 0.02),
        "two-sided normal": lambda: normal.log_evalues(a, b, 0.0, 4e-4),
        "half-normal": lambda: half_normal.log_evalues(a, b, 0.0, 4e-4),
        "conditional counts": lambda: counts.log_evalues(x0, x1, 0.25),
        "zero-errors rule": lambda: rare.log_evalues(n1, x1, 0.2),
        "difference of proportions": lambda: proportions.differences(n0, x0, n1, x1),
        "difference of means": lambda: means.differences(n0, b, a, n1, b, a),
    }


def import_ms() -> float:
    """Of every module of the package in a fresh process, numpy and scipy included; best of five."""
    program = (
        "import time; began = time.perf_counter()\n"
        "import importlib, pkgutil, stats\n"
        "for module in pkgutil.iter_modules(stats.__path__): importlib.import_module('stats.' + module.name)\n"
        "print(time.perf_counter() - began)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    return min(float(run.stdout) for run in runs) * 1e3


def rows() -> Iterator[tuple[str, str, float]]:
    for name, call in SCALAR.items():
        yield name, "us a call", best(repeated(call), CALLS)
    for name, call in vectorised().items():
        yield f"{name}, in arrays", "us a metric", best(call, METRICS)
    yield "import of all of stats", "ms", import_ms()


def main() -> None:
    measured = []
    for name, unit, value in rows():
        print(f"{name:<50} {value:>10.3f} {unit}", flush=True)
        measured.append({"step": name, "unit": unit, "value": round(value, 4)})
    print(json.dumps({"bench": "stats", "steps": measured}))


if __name__ == "__main__":
    main()
