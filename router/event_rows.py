"""Rows of events in columns: what is written down of a request while it goes on, and of outcomes reported later.

A row of a request is 20 octets. Columns that few runs need are as long as the last row that has a value.
"""

from __future__ import annotations

from array import array
from typing import Final

# The bits of a request row's `where`: 20 of bucket, 6 of arm index, 6 of facts.
BUCKET_BITS: Final = 20
ARM_BITS: Final = 6
BUCKET_MASK: Final = (1 << BUCKET_BITS) - 1
ARM_MASK: Final = (1 << ARM_BITS) - 1
FACTS_SHIFT: Final = BUCKET_BITS + ARM_BITS
EXPOSURE: Final = 1 << 0
OUTCOME: Final = 1 << 1
ERROR: Final = 1 << 2
SLOW: Final = 1 << 3
REFUSED: Final = 1 << 4
FALLBACK: Final = 1 << 5
LATENCY_MAX_US: Final = 2**32 - 1
NO_COVARIATE: Final = -(2**63)
OTHER_SEGMENT: Final = 0
CERTAIN: Final = 0  # the probability of an outcome that was not sampled


def pack_where(bucket: int, arm_index: int, facts: int) -> int:
    """Bucket, arm and facts of a request row as one number of 32 bits."""
    return bucket | arm_index << BUCKET_BITS | facts << FACTS_SHIFT


def pad(column: array[int], length: int, missing: int) -> None:
    """Fill a column up to a length with what stands for nothing."""
    lacking = length - len(column)
    if lacking > 0:
        column.extend([missing] * lacking)


class RequestRows:
    """Columns of request rows: unit digest, assignment time after the base, where, latency in microseconds.

    ``covariate`` (fixed point) and ``segment`` (a number) are as long as the last row that has one: empty in most runs.
    """

    __slots__ = ("covariate", "latency", "segment", "time", "unit", "where")

    def __init__(self) -> None:
        self.covariate = array("q")
        self.segment = array("B")
        self.unit = array("Q")
        self.time = array("I")
        self.where = array("I")
        self.latency = array("I")

    def append(self, unit: int, time: int, where: int, latency: int) -> None:
        """One row."""
        self.unit.append(unit)
        self.time.append(time)
        self.where.append(where)
        self.latency.append(latency)

    def describe(self, index: int, covariate: int, segment: int) -> None:
        """What is known of a row's unit beside its name; rows are described in their order."""
        pad(self.covariate, index, NO_COVARIATE)
        pad(self.segment, index, OTHER_SEGMENT)
        self.covariate.append(covariate)
        self.segment.append(segment)

    def __len__(self) -> int:
        return len(self.unit)


class OutcomeRows:
    """Columns of outcomes reported later: by the API, or by a model server in an answer's header.

    ``probability`` (millionths; 0 where it was not sampled) is as long as the last row that has one.
    """

    __slots__ = ("arm", "asked", "key", "metric", "probability", "time", "unit", "value")

    def __init__(self) -> None:
        self.probability = array("I")
        self.unit = array("Q")
        self.metric = array("H")
        self.value = array("q")
        self.time = array("q")
        self.asked = array("q")
        self.key = array("Q")
        self.arm = array("b")

    def append(self, unit: int, metric: int, value: int, time: int, asked: int, key: int, arm: int) -> None:
        """One row; ``metric`` is an index into the entry's names, ``arm`` and ``asked`` may be unknown (-1)."""
        self.unit.append(unit)
        self.metric.append(metric)
        self.value.append(value)
        self.time.append(time)
        self.asked.append(asked)
        self.key.append(key)
        self.arm.append(arm)

    def sampled(self, probability: int) -> None:
        """The last row is a label that was asked for with this probability, in millionths."""
        pad(self.probability, len(self) - 1, CERTAIN)
        self.probability.append(probability)

    def __len__(self) -> int:
        return len(self.unit)
