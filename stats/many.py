"""Many claims at once: which e-values may count as shown, and what is left for a further attempt.

Any dependence between the claims is allowed, and every look. Verdicts ask for few claims and use Bonferroni; closure by
averaging shows at least as much as Holm, which shows at least as much as Bonferroni. e-BH is for many exploratory
claims: it bounds the expected share of false ones among those shown, not the chance of any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stats import arguments

Floats = NDArray[np.float64]


def bonferroni(claims: int, alpha: float) -> float:
    """The log e-value that each of several claims must reach when each has its equal part of alpha.

    Args:
        claims: how many there are, at least 1.
        alpha: chance of any false claim, within (0, 1/2).

    Returns:
        ``log(claims / alpha)``.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.alpha(alpha)
    arguments.count("claims", claims)
    arguments.at_least("claims", claims, 1)
    return math.log(claims / alpha)


def holm(log_e: Sequence[float], alpha: float) -> list[int]:
    """Claims that are shown step by step: each that is shown frees its part of alpha for the others.

    Args:
        log_e: one log e-value a claim.
        alpha: chance of any false claim, within (0, 1/2).

    Returns:
        Indices, rising: the largest e must reach m/alpha, the next (m-1)/alpha, and so on up to the first failure.

    Raises:
        ValueError: NaN, or alpha out of range.

    Source:
        Holm (1979), A simple sequentially rejective multiple test procedure, with 1/e for p.
    """
    values = _checked(log_e, alpha)
    order = np.argsort(-values, kind="stable")
    left = len(values) - np.arange(len(values))
    passes = np.logical_and.accumulate(values[order] >= np.log(left / alpha))
    return sorted(order[passes].tolist())


def closed(log_e: Sequence[float]) -> list[float]:
    """Log e-values adjusted for each other, by closure: the least average over all sets that contain the claim.

    Args:
        log_e: one log e-value a claim.

    Returns:
        One adjusted log e-value a claim, never above its own. Those of at least log(1/alpha) may be claimed together:
        the chance that any is false is at most alpha.

    Raises:
        ValueError: NaN.

    Source:
        Vovk, Wang (2021), E-values: calibration, combination and applications, algorithm 1.
    """
    values = _checked(log_e, 0.25)
    if len(values) == 0:
        return []
    order = np.argsort(values, kind="stable")
    smallest_first = np.logaddexp.accumulate(values[order])  # log of the sum of the k smallest
    sizes = np.arange(1, len(values) + 1)
    result = np.empty(len(values))
    for rank, claim in enumerate(order.tolist()):
        # With j smaller ones, which are the worst company that j others can be.
        sums = np.logaddexp(values[claim], np.concatenate(([-math.inf], smallest_first[:rank])))
        result[claim] = np.min(sums - np.log(sizes[: rank + 1]))
    return [float(value) for value in result]


def e_bh(log_e: Sequence[float], alpha: float) -> list[int]:
    """Discoveries whose expected share of false ones is at most alpha.

    Args:
        log_e: one log e-value a claim.
        alpha: false discovery rate, within (0, 1/2).

    Returns:
        Indices of the k largest, rising, for the largest k whose k-th largest e is at least m/(alpha*k).

    Raises:
        ValueError: NaN, or alpha out of range.

    Source:
        Wang, Ramdas (2022), False discovery rate control with e-values, definition of the base e-BH procedure.
    """
    values = _checked(log_e, alpha)
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    reached = np.flatnonzero(values[order] >= np.log(len(values) / (alpha * ranks)))
    return sorted(order[: reached[-1] + 1].tolist()) if len(reached) else []


def attempt_alpha(alpha: float, attempt: int) -> float:
    """The part of an error budget that one attempt may spend, where attempts cannot share one e-process.

    Args:
        alpha: chance of a false claim in all attempts with the same treatment together, within (0, 1/2).
        attempt: 1 for the first.

    Returns:
        ``alpha / 2**attempt``: however often it is tried again, the sum stays below alpha. Open-ended tests need none
        of this: a new attempt is a further stratum of the same e-process and spends nothing twice.

    Raises:
        ValueError: attempt below 1, or alpha out of range.
    """
    arguments.alpha(alpha)
    arguments.count("attempt", attempt)
    arguments.at_least("attempt", attempt, 1)
    return math.ldexp(alpha, -attempt)


def _checked(log_e: Sequence[float], alpha: float) -> Floats:
    arguments.alpha(alpha)
    values = np.asarray(log_e, float)
    if values.ndim != 1 or bool(np.isnan(values).any()):
        raise arguments.wrong("log_e", "a list of numbers", log_e)
    return values
