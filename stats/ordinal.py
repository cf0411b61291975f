"""Ratings 1 .. K from their counts by category: the mean score, and the chance that the treatment's is better.

The mean score reads categories as equally far apart; the win probability asks only for their order. Show both.
"""

from __future__ import annotations

from collections.abc import Sequence

from stats import arguments, means
from stats.estimates import Estimate, estimate, no_value, units_missing
from stats.moments import Sample, sample

Counts = Sequence[int]


def _check(counts0: Counts, counts1: Counts) -> None:
    if len(counts0) != len(counts1) or len(counts0) < 2:
        raise arguments.wrong(
            "counts1", f"as many categories as counts0 ({len(counts0)}), at least 2", counts1
        )
    for name, counts in (("counts0", counts0), ("counts1", counts1)):
        for count in counts:
            arguments.count(name, count)


def scores(counts: Counts) -> Sample:
    """Mean and variance of the categories 1, 2, 3 ... as numbers, exactly.

    Args:
        counts: units by category, worst first; at least two categories.

    Raises:
        ValueError: negative counts, or fewer than two categories.
    """
    _check(counts, counts)
    sx = sum(j * count for j, count in enumerate(counts, start=1))
    sxx = sum(j * j * count for j, count in enumerate(counts, start=1))
    return sample(sum(counts), sx, sxx, scale=1)


def mean_score(counts0: Counts, counts1: Counts, factor: float = 1.0) -> Estimate:
    """Difference of mean scores, in categories; gate as for means.

    Args:
        counts0: units of control by category, worst first.
        counts1: units of treatment.
        factor: of control, above 0; 1 plus or minus a relative margin.

    Raises:
        ValueError: negative counts, or categories that differ in number.
    """
    _check(counts0, counts1)
    return means.difference(scores(counts0), scores(counts1), factor)


def win_probability(counts0: Counts, counts1: Counts) -> Estimate:
    """P(treatment above control) + P(tie)/2, minus a half: 0 when neither wins.

    Args:
        counts0: units of control by category, worst first.
        counts1: units of treatment.

    Returns:
        The estimate with the larger of DeLong's standard error and that of equal distributions (tied ranks). Gate as
        for means.

    Raises:
        ValueError: negative counts, or categories that differ in number.

    Not valid:
        Over strata whose ratings differ in meaning. For a null of unequal distributions with equal chances DeLong's
        part is the valid one; the larger of both is never smaller.

    Source:
        DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
        characteristic curves; Lehmann (1975), Nonparametrics, for tied ranks.
    """
    _check(counts0, counts1)
    n0, n1 = sum(counts0), sum(counts1)
    if min(n0, n1) == 0:
        return no_value()
    wins1 = _ridits(counts0)  # by category of a treatment unit, its chance against control
    wins0 = _ridits(counts1)
    chance = sum(count * win for count, win in zip(counts1, wins1, strict=True)) / n1
    if min(n0, n1) < 2:
        return Estimate(chance - 0.5, None, means.TWO_UNITS)
    delong = _variance(counts1, wins1) / n1 + _variance(counts0, wins0) / n0
    pooled = [a + b for a, b in zip(counts0, counts1, strict=True)]
    tied = _variance(pooled, _ridits(pooled)) * (1 / n0 + 1 / n1)
    return estimate(chance - 0.5, max(delong, tied), units_missing(min(n0, n1)))


def _ridits(counts: Counts) -> list[float]:
    """By category, the share of units below it and half of those in it."""
    n, below, result = sum(counts), 0, []
    for count in counts:
        result.append((below + count / 2) / n)
        below += count
    return result


def _variance(counts: Counts, values: Sequence[float]) -> float:
    n = sum(counts)
    mean = sum(count * value for count, value in zip(counts, values, strict=True)) / n
    return sum(count * (value - mean) ** 2 for count, value in zip(counts, values, strict=True)) / (n - 1)
