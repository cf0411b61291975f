"""After a promotion: has the rate of an event risen above what it was? Detectors with a known average run length.

Each component compares one larger rate with the baseline and restarts for ever: Shiryaev-Roberts adds evidence over all
possible starts of a change, CUSUM keeps the best one. The alarm goes when the average over components reaches A; until
a change the mean time to a false alarm is at least A. State is one number a component.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stats import arguments

Floats = NDArray[np.float64]

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0)
ALARM = 1e5  # mean number of outcomes to a false alarm, at least


def increments(baseline: float, ratios: Sequence[float] = RATIOS) -> Floats:
    """Log likelihood ratios of one outcome, by component.

    Args:
        baseline: rate of the event before a change, within (0, 1): the upper confidence limit of the promoted arm.
        ratios: how many times larger the rate of each component is, above 1; those that would reach 1 are left out.

    Returns:
        Shape (2, components): row 0 for an outcome without the event, row 1 for one with it.

    Raises:
        ValueError: baseline out of range, or no ratio left.

    Not valid:
        With a baseline below the true one: false alarms are then more frequent than promised.
    """
    arguments.between("baseline", baseline, 0.0, 1.0)
    rates = np.asarray([ratio for ratio in ratios if ratio > 1 and ratio * baseline < 1], float)
    if not len(rates):
        raise arguments.wrong("ratios", f"one above 1 and below {1 / baseline:g}", tuple(ratios))
    return np.stack([np.log1p(-rates * baseline) - math.log1p(-baseline), np.log(rates)])


def holdback_increments(share: float, ratios: Sequence[float] = RATIOS) -> Floats:
    """The same without a baseline, against a control that is held back: in which arm did an event fall?

    Args:
        share: the treatment's share of the units of both arms, within (0, 1).
        ratios: rate of the treatment over that of the control, by component, above 1.

    Returns:
        Shape (2, components): row 0 for an event of the control, row 1 for one of the treatment. Time is then counted
        in events, and so is the average run length.

    Raises:
        ValueError: share out of range, or a ratio not above 1.

    Source:
        Lindon, Malek (2022), Anytime-valid inference for multinomial count data, for the conditional increment.
    """
    arguments.between("share", share, 0.0, 1.0)
    rates = np.asarray(ratios, float)
    arguments.between("ratios", rates, 1.0, math.inf)
    growth = np.log1p((rates - 1) * share)
    return np.stack([-growth, np.log(rates) - growth])


def start(components: int) -> Floats:
    """The state of either detector before the first outcome: M = 0, as logs."""
    return np.full(components, -math.inf)


def shiryaev_roberts(state: Floats, log_ratio: Any) -> Floats:
    """One outcome: ``M = (M + 1) * e``, as logs.

    Args:
        state: log M by component, last axis; leading axes are independent streams.
        log_ratio: log e of this outcome by component, such as ``increments(...)[event]``.

    Source:
        Shin, Ramdas, Rinaldo (2024), E-detectors: a nonparametric framework for sequential change detection.
    """
    return np.asarray(np.logaddexp(state, 0.0) + log_ratio)


def cusum(state: Floats, log_ratio: Any) -> Floats:
    """One outcome: ``M = max(M, 1) * e``, as logs; slower than Shiryaev-Roberts at the same alarm level.

    Args:
        state: as in ``shiryaev_roberts``.
        log_ratio: as in ``shiryaev_roberts``.

    Source:
        Shin, Ramdas, Rinaldo (2024), E-detectors; Page (1954), Continuous inspection schemes.
    """
    return np.asarray(np.maximum(state, 0.0) + log_ratio)


def log_evidence(state: Floats) -> Any:
    """Log of the average of M over components: alarm at ``log(ALARM)``; -inf before the first outcome."""
    return np.logaddexp.reduce(state, axis=-1) - math.log(state.shape[-1])
