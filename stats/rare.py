"""The zero-errors rule: a treatment without errors must be able to promote.

The conditional test of counts is silent without an event, and a difference without variance has no test. But a rate
of the treatment alone that is below the margin is enough: control's rate is never negative.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stats import arguments, grid
from stats.evalues import Array, average, log_mixtures, log_sum_exp, threshold
from stats.intervals import least_shown

PARTS = (0.0, 0.25, 0.5, 0.75)  # of the margin
WEIGHTS = (0.4, 0.2, 0.2, 0.2)
_ROWS = tuple(
    (part, math.log(part) if part else -math.inf, math.log(weight))
    for part, weight in zip(PARTS, WEIGHTS, strict=True)
)


def log_evalue(n: int, x: int, margin: float) -> float:
    """Evidence that one arm's own rate is below ``margin``.

    Args:
        n: units of the arm whose window has closed, each with a recorded value.
        x: of them with at least one event, 0 .. n.
        margin: an absolute rate within (0, 1).

    Returns:
        The log e-value. Exact: each term is a supermartingale for every rate of at least the margin. Since a rate of
        the other arm is never negative, a rate below the margin implies a difference below the margin.

    Raises:
        ValueError: counts or margin out of range.

    Not valid:
        On units whose window is still open: each is without an error when it enters.

    Source:
        Ville (1939); Wald (1945) likelihood ratios of a Bernoulli rate mixed over {0, 1/4, 1/2, 3/4} of the margin.
    """
    arguments.between("margin", margin, 0.0, 1.0)
    arguments.count("n", n)
    arguments.count("x", x, n)
    without = math.log1p(-margin)
    good = n - x
    terms = [
        log_weight + (x * log_part if x else 0.0) + good * (math.log1p(-part * margin) - without)
        for part, log_part, log_weight in _ROWS
    ]
    return log_sum_exp(terms)


def log_evalues(n: NDArray[np.int64], x: NDArray[np.int64], margin: float) -> Array:
    """``log_evalue`` of many arms with one margin.

    Raises:
        ValueError: an argument out of range anywhere.
    """
    arguments.between("margin", margin, 0.0, 1.0)
    arguments.count("n", n)
    arguments.count("x", x, n)
    good, without = n - x, math.log1p(-margin)
    never = -1e300  # for 0^x: a finite log whose e is 0
    log_ratios = [
        (np.where(x > 0, never, 0.0) if not part else x * log_part)
        + good * (math.log1p(-part * margin) - without)
        for part, log_part, _ in _ROWS
    ]
    return log_mixtures(np.stack(log_ratios), WEIGHTS)


def excess_bound(n: int, x: int, information: float, weighted: float, unit: float, alpha: float) -> float:
    """Upper bound of how much one arm's rate exceeds another's, before and behind the gate.

    Args:
        n: units of the first arm.
        x: of them with the event.
        information: A of the difference first minus second; 0.0 when gated.
        weighted: B of that difference.
        unit: the margin that the grid is centred on, above 0.
        alpha: within (0, 1/2).

    Returns:
        The least margin at which the average of this rule and the grid reaches 1/alpha, within [-1, 1]: the same
        function as the test at that margin, so bound and test never disagree.
    """
    target = threshold(alpha)

    def shown(margin: float) -> bool:
        difference = grid.log_evalue(information, -weighted, -margin, unit)
        rare = log_evalue(n, x, margin) if margin > 0 else -math.inf
        return average([rare, difference]) >= target

    return least_shown(shown, -1.0, 1.0)
