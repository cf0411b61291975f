"""Log e-values in general: how they are mixed, averaged, compared with alpha and turned into a p.

Each test has a file of its own with up to three call shapes, whose arguments stand in one order everywhere:

* ``boundary(information, tuning, alpha)``: the score at which the test rejects;
* ``log_evalue(data, null, tuning)``: a natural-log e-value (``log_evalues`` for arrays);
* ``interval(data, tuning, alpha)``: the nulls that are not rejected, by inverting that same e-value.

``data`` is ``information, weighted`` (A and B: the sums over strata of 1/se^2 and of effect/se^2) for tests of an
estimate, and counts for exact tests. ``score`` is ``weighted - null * information``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from stats import arguments

Array = NDArray[np.float64]


def log_sum_exp(terms: Iterable[float]) -> float:
    """``log(sum(exp(t)))`` without overflow; -inf for no terms.

    Args:
        terms: natural logs; -inf stands for 0.
    """
    values = terms if isinstance(terms, list) else list(terms)
    if not values:
        return -math.inf
    top = max(values)
    if top == -math.inf:
        return top
    total = 0.0
    for value in values:
        total += math.exp(value - top)
    return top + math.log(total)


def log_mixtures(log_ratios: Array, weights: Sequence[float]) -> Array:
    """The mixture of log-likelihood ratios, for many tests at once.

    Args:
        log_ratios: of shape (components, ...), finite; overwritten, since copying it is most of the cost.
        weights: one per component, adding up to 1.

    Returns:
        Of shape (...): ``log(sum(weight * exp(log_ratio)))``.
    """
    top = log_ratios.max(axis=0)
    log_ratios -= top
    np.exp(log_ratios, out=log_ratios)
    return np.asarray(top + np.log(np.tensordot(np.asarray(weights), log_ratios, axes=1)))


def average(log_e: Sequence[float]) -> float:
    """The log of the average of e-values, which is an e-value whatever their dependence.

    Args:
        log_e: at least one log e-value.

    Source:
        Vovk, Wang (2021), E-values: calibration, combination and applications.
    """
    return log_sum_exp(log_e) - math.log(len(log_e))


def threshold(alpha: float) -> float:
    """The log e-value that rejects at ``alpha``.

    Raises:
        ValueError: alpha is outside (0, 1/2).

    Source:
        Ville (1939): a nonnegative supermartingale that starts at 1 ever reaches 1/alpha with probability at most alpha.
    """
    arguments.alpha(alpha)
    return -math.log(alpha)


def anytime_p(highest: float) -> float:
    """A p-value that is valid at every look: ``min(1, exp(-highest))``.

    Args:
        highest: the running maximum of the log e-value so far. With the present value instead, p could rise again.

    Returns:
        Within [0, 1]; it only ever falls.

    Raises:
        ValueError: ``highest`` is no number.

    Source:
        Johari, Koomen, Pekelis, Walsh (2022), Always valid inference, section 3.
    """
    arguments.between("highest", highest, -math.inf, math.inf)
    return math.exp(-highest) if highest > 0 else 1.0
