"""A mergeable histogram of whole numbers, for quantiles to show: never a test.

Buckets grow with the value, so that a quantile is right to one part in 128. Whole-number arithmetic: the same value
falls in the same bucket on every machine, and counts merge by adding, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping

from stats import arguments

BITS = 6  # buckets per doubling: 2^6
_EXACT = 1 << (BITS + 1)  # below this a value has a bucket of its own


def bucket(value: int) -> int:
    """The bucket of a fixed-point value; it rises with the value.

    Args:
        value: a whole number of at least 0.

    Raises:
        ValueError: it is not.

    Source:
        The log-linear buckets of HdrHistogram (Tene), whose width is a power of two.
    """
    arguments.count("value", value)
    shift = max(0, value.bit_length() - BITS - 1)
    return (shift << BITS) + (value >> shift)


def edges(index: int) -> tuple[int, int]:
    """The least and the largest value of a bucket.

    Raises:
        ValueError: the index is no whole number of at least 0.
    """
    arguments.count("index", index)
    if index < _EXACT:
        return index, index
    shift = (index >> BITS) - 1
    low = (index - (shift << BITS)) << shift
    return low, low + (1 << shift) - 1


def merge(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    """The counts of both by bucket."""
    return {index: one.get(index, 0) + other.get(index, 0) for index in sorted({*one, *other})}


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """The value that a share of all values does not exceed, to show.

    Args:
        counts: of values by bucket.
        share: within (0, 1): 0.99 for the 99th percentile.

    Returns:
        In fixed point, the middle of the bucket that holds it; None without a value.

    Raises:
        ValueError: an argument out of range.
    """
    index = _holding(counts, share)
    return None if index is None else sum(edges(index)) / 2


def _holding(counts: Mapping[int, int], share: float) -> int | None:
    """The first bucket up to which at least the share of all values lies."""
    arguments.between("share", share, 0.0, 1.0)
    for count in counts.values():
        arguments.count("counts", count)
    wanted, seen = share * sum(counts.values()), 0
    if wanted <= 0:
        return None
    for index in sorted(counts):
        seen += counts[index]
        if seen >= wanted:
            return index
    return max(counts)  # a share so near to 1 that rounding lifts it above the total


def upper_edge(counts: Mapping[int, int], share: float) -> int | None:
    """The largest value of the bucket that holds the quantile: what ``frozen`` makes a constant of; None without one.

    Raises:
        ValueError: an argument out of range.
    """
    index = _holding(counts, share)
    return None if index is None else edges(index)[1]
