"""What an outcome may carry: the values that a kind of metric can read.

The outcome door refuses what does not fit; the fold counts it as malformed where no door was, as in a report that came
with an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.events import FIXED_POINT, LARGEST_VALUE

DEFAULT_SCALE = 5  # categories of a rating

Metric = Mapping[str, Any]


class Takes(NamedTuple):
    """Which values an outcome may carry; ``high`` None: the metric's scale."""

    words: str
    low: float = -LARGEST_VALUE
    high: float | None = LARGEST_VALUE
    whole: bool = False
    truth: bool = False

    def expected(self, metric: Metric) -> str:
        """What is expected, in words."""
        return f"{self.words}{metric.get('scale', DEFAULT_SCALE)}" if self.high is None else self.words

    def bounds(self, metric: Metric) -> tuple[int, int, int]:
        """The least and the largest value, and what they are multiples of, all in fixed point."""
        high = metric.get("scale", DEFAULT_SCALE) if self.high is None else self.high
        return _fixed(self.low), _fixed(high), FIXED_POINT if self.whole else 1

    def fits(self, fixed: int, metric: Metric) -> bool:
        """Whether a value in fixed point is one of them."""
        low, high, step = self.bounds(metric)
        return low <= fixed <= high and not fixed % step


def _fixed(bound: float) -> int:
    return round(bound * FIXED_POINT)


TRUTH = Takes("0, 1, true or false", 0, 1, whole=True, truth=True)
NUMBER = Takes("a number")
SHARE = Takes("a number from 0 to 1", 0, 1)
COUNT = Takes("a whole number of at least 0", 0, whole=True)
CATEGORY = Takes("a whole number from 1 to ", 1, None, whole=True)
