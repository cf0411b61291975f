"""Whole-number sums to means and variances, without cancellation.

The controller keeps sums of fixed-point values as Python integers, which are exact at any size; a variance is formed
from them in whole numbers and divided once at the end.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stats import arguments

FIXED_POINT = 1_000_000


class Sample(NamedTuple):
    """A mean and the variance of one observation around it.

    Attributes:
        n: observations, at least 0.
        mean: their average, in the metric's own unit; 0.0 when n is 0.
        variance: unbiased variance of one observation, in that unit squared; 0.0 when n is below 2.
    """

    n: int
    mean: float
    variance: float


def sample(n: int, sx: int, sxx: int, scale: int = FIXED_POINT) -> Sample:
    """Mean and variance from n, the sum and the sum of squares of fixed-point values.

    Args:
        n: count, at least 0.
        sx: sum of values times ``scale``.
        sxx: sum of squared values times ``scale`` squared.
        scale: what one unit is in fixed point.

    Raises:
        ValueError: the sums contradict each other (n*sxx < sx^2).

    Source:
        The textbook form of the sample variance; the cancellation that Chan, Golub, LeVeque (1983), Algorithms for
        computing the sample variance, warn of cannot happen in whole numbers.
    """
    if n <= 0:
        return Sample(0, 0.0, 0.0)
    spread = n * sxx - sx * sx
    if spread < 0:
        raise ValueError(f"sums contradict each other: n={n}, sx={sx}, sxx={sxx}")
    variance = spread / (n * (n - 1) * scale * scale) if n > 1 else 0.0
    return Sample(n, sx / (n * scale), variance)


class Centred(NamedTuple):
    """Count, mean and centred squares: the same of numbers that are no fixed-point values, one observation at a time.

    Attributes:
        n: observations, at least 0.
        mean: their average, in the metric's own unit; 0.0 when n is 0.
        m2: sum of squared distances from the mean, in that unit squared.

    Source:
        Welford (1962), Note on a method for calculating corrected sums of squares and products, for one more;
        Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, for merging.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def add(self, value: float) -> Centred:
        """With one more observation."""
        arguments.between("value", value, -math.inf, math.inf)
        n, away = self.n + 1, value - self.mean
        mean = self.mean + away / n
        return Centred(n, mean, self.m2 + away * (value - mean))

    def merge(self, other: Centred) -> Centred:
        """Of the observations of both; the order matters only to rounding."""
        if not self.n or not other.n:
            return self if self.n else other
        n, away = self.n + other.n, other.mean - self.mean
        mean = self.mean + away * (other.n / n)
        return Centred(n, mean, self.m2 + other.m2 + away * away * (self.n * other.n / n))

    def sample(self) -> Sample:
        """As the estimates take it."""
        return Sample(self.n, self.mean, self.m2 / (self.n - 1) if self.n > 1 else 0.0)
