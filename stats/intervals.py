"""What an interval is, and how one is found where no closed form inverts the e-value.

An effect lies outside exactly when its e-value reaches 1/alpha, so interval and test never disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

BISECTIONS = 45  # of a range of 2: to 6e-14


class Interval(NamedTuple):
    """From low to high, both ends included."""

    low: float
    high: float


def least_shown(shown: Callable[[float], bool], low: float, high: float) -> float:
    """The least value for which a rising condition holds, by bisection; ``high`` if it never does."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if shown(middle):
            high = middle
        else:
            low = middle
    return high
