"""Measures what the tests do in practice: ``./run simulate [NAME…] [--reps N] [--seed S] [--tables]``.

Each study's result is kept as JSON; tables and pictures of ``stats/README.md`` are written from what is kept, so that
they can be rebuilt (``--tables``) without running anything again. Ends with 1 when a promise is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.simulate import (
    canary,
    coverage,
    degradation,
    efficiency,
    error_rates,
    kinds,
    mismatch,
    multiplicity,
    other_tests,
    plans,
    report,
    through_router,
    together,
    traps,
    weights,
)
from tests.simulate.results import Result, load, save, timed

# Name -> the study, its replications; in the order of the tables.
STUDIES: dict[str, tuple[Callable[[int, int], Result], int]] = {
    "error_rates": (error_rates.study, 4000),
    "other_tests": (other_tests.study, 4000),
    "through_router": (through_router.study, 200),
    "kinds": (kinds.study, 300),
    "plans": (plans.study, 250),
    "together": (together.study, 200),
    "traps": (traps.study, 4000),
    "efficiency": (efficiency.study, 4000),
    "weights": (weights.study, 2000),
    "horizon": (efficiency.horizon, 4000),
    "canary": (canary.study, 4000),
    "promotion": (canary.promotion, 4000),
    "mismatch": (mismatch.study, 8000),
    "coverage": (coverage.study, 4000),
    "multiplicity": (multiplicity.study, 4000),
    "degradation": (degradation.study, 2000),
}


def main() -> int:
    """0 when all promises are kept."""
    parser = argparse.ArgumentParser(prog="./run simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(STUDIES))
    parser.add_argument("--reps", type=int, help="replications, instead of each study's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tables", action="store_true", help="only rewrite tables and pictures from kept results"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in STUDIES]
    if unknown or (options.reps is not None and options.reps < 2):
        found = ", ".join(unknown) or f"--reps {options.reps}"
        print(
            f"simulate: expected some of {', '.join(STUDIES)} and at least 2 reps, found {found}",
            file=sys.stderr,
        )
        return 2
    for name in [] if options.tables else options.names or STUDIES:
        study, reps = STUDIES[name]
        print(f"== {name}", flush=True)
        result = timed(study, options.reps or reps, options.seed)
        save(result)
        print(report.table(result), flush=True)
    kept = load(STUDIES)
    report.write(kept)
    missed = [
        f"{result.name}: {row.what} {row.column}" for result in kept for row in result.rows if row.missed
    ]
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
