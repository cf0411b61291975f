"""Constants that a metric takes from a baseline before the run starts, and never moves again.

A cap for heavy-tailed values, or a quantile whose exceedance is counted. Any constant keeps the tests valid as long as
it is fixed before the first unit of the run; moved by the run's own data it would not. What the baseline decides is
only how much the test sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stats import histogram

BEYOND = 10  # baseline values beyond a quantile, for it to be more than luck


class Frozen(NamedTuple):
    """A constant, or why there is none yet.

    Attributes:
        value: in fixed point; None while the baseline is too small.
        missing: what the baseline still lacks, in words.
    """

    value: int | None
    missing: str = ""


def quantile(baseline: Mapping[int, int], share: float) -> Frozen:
    """The baseline's quantile: to count the units above it, or as a cap.

    Args:
        baseline: counts by bucket of ``histogram``, from before the start or from control's warm-up alone.
        share: within (0, 1): 0.99 for a slow tail, 0.999 for a cap.

    Returns:
        Frozen; without a value until ten values of the baseline are expected beyond it.

    Raises:
        ValueError: share out of range.
    """
    value, n = histogram.upper_edge(baseline, share), sum(baseline.values())
    needed = round(BEYOND / (1 - share))
    if value is None or n < needed:
        return Frozen(None, f"{needed} values of the baseline (now {n})")
    return Frozen(value)
