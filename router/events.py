"""Events in packed columns: what gateways and the API write, and the controller folds.

One entry of the log carries the rows of one (run, partition, revision, flush) as one binary column per field, with its
writer and a sequence number contiguous per (writer, run, partition), so that loss is seen. A request row is 20 octets.

An exposure is recorded when the unit is assigned, the built-in outcomes when the request has ended; when both fall
into one flush they are one row. An outcome's event time is the row's time plus its latency.
"""

from __future__ import annotations

import hashlib
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from router.errors import Problem, SpecError

FORMAT = 1
FIXED_POINT = 1_000_000  # values are whole numbers of millionths
LARGEST_VALUE = 10**12
UNKNOWN_TIME = -1

# The bits of a request row's `where`: 20 of bucket, 6 of arm index, 6 of facts.
BUCKET_BITS = 20
ARM_BITS = 6
BUCKET_MASK = (1 << BUCKET_BITS) - 1
ARM_MASK = (1 << ARM_BITS) - 1
FACTS_SHIFT = BUCKET_BITS + ARM_BITS
EXPOSURE, OUTCOME, ERROR, SLOW, REFUSED, FALLBACK = (1 << bit for bit in range(6))
LATENCY_MAX_US = 2**32 - 1


def pack_where(bucket: int, arm_index: int, facts: int) -> int:
    """Bucket, arm and facts of a request row as one number of 32 bits."""
    return bucket | arm_index << BUCKET_BITS | facts << FACTS_SHIFT


def to_fixed(value: float | int) -> int:
    """A value as a whole number of millionths.

    Raises:
        ValueError: not finite, or beyond 10^12.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    if abs(value) > LARGEST_VALUE:
        raise ValueError(f"expected a number of at most {LARGEST_VALUE:g}")
    return round(value * FIXED_POINT)


def key_digest(text: str) -> int:
    """The 64-bit digest that stands for an idempotency key."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"pm-key").digest(), "little")


class RequestRows:
    """Columns of request rows: unit digest, assignment time after the base, where, latency in microseconds."""

    __slots__ = ("latency", "time", "unit", "where")

    def __init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.unit)


class OutcomeRows:
    """Columns of outcomes reported later: by the API, or by a model server in an answer's header."""

    __slots__ = ("arm", "asked", "key", "metric", "time", "unit", "value")

    def __init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.unit)


@dataclass(slots=True)
class Entry:
    """One entry of the event log.

    Attributes:
        seq: 1, 2, 3 … for each (writer, run, partition); an entry that is sent again keeps its number.
        until: every event of this writer before this time (ms) is sent with this entry or an earlier one.
        dropped: rows of (control, treatments) lost since this writer's last entry that arrived.
        base: what the times of request rows count from, ms.
        names: metric names that outcome rows point into.
    """

    writer: str
    seq: int
    epoch: int
    revision: int
    until: int
    base: int = 0
    dropped: tuple[int, int] = (0, 0)
    requests: RequestRows = field(default_factory=RequestRows)
    outcomes: OutcomeRows = field(default_factory=OutcomeRows)
    names: tuple[str, ...] = ()


REQUEST_COLUMNS = (("ru", "unit"), ("rt", "time"), ("rw", "where"), ("rl", "latency"))
OUTCOME_COLUMNS = (
    ("ou", "unit"),
    ("om", "metric"),
    ("ov", "value"),
    ("ot", "time"),
    ("oa", "asked"),
    ("ok", "key"),
    ("ox", "arm"),
)


# Times and counts beyond 2^53 are no times and counts, and would overflow where they are added.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Writer = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    format: int
    writer: _Writer
    seq: _Count
    epoch: _Count
    revision: _Count
    until: _Count
    base: _Count
    dropped: tuple[_Count, _Count]
    names: tuple[str, ...]


def _octets(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return column.tobytes()


def encode(entry: Entry) -> dict[str, bytes]:
    """The stream fields of an entry: ``h`` is its head, then one field per column; empty tables have no columns."""
    head = _Head(
        FORMAT,
        entry.writer,
        entry.seq,
        entry.epoch,
        entry.revision,
        entry.until,
        entry.base,
        entry.dropped,
        entry.names,
    )
    fields = {"h": msgspec.msgpack.encode(head)}
    if len(entry.requests):
        fields |= {name: _octets(getattr(entry.requests, column)) for name, column in REQUEST_COLUMNS}
    if len(entry.outcomes):
        fields |= {name: _octets(getattr(entry.outcomes, column)) for name, column in OUTCOME_COLUMNS}
    return fields


_head_decoder = msgspec.msgpack.Decoder(_Head)


def decode(fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry.

    Raises:
        SpecError: unknown format, missing or torn columns, values out of range.
    """
    try:
        head = _head_decoder.decode(fields[b"h"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SpecError([Problem("entry.h", "the head of an entry", str(problem))]) from problem
    if head.format != FORMAT:
        raise SpecError(
            [Problem("entry.format", str(FORMAT), str(head.format), "a newer writer than this reader?")]
        )
    requests, outcomes = RequestRows(), OutcomeRows()
    _fill(requests, REQUEST_COLUMNS, fields)
    _fill(outcomes, OUTCOME_COLUMNS, fields)
    if len(outcomes) and max(outcomes.metric) >= len(head.names):
        raise SpecError([Problem("entry.om", f"indices below {len(head.names)}", str(max(outcomes.metric)))])
    return Entry(
        head.writer,
        head.seq,
        head.epoch,
        head.revision,
        head.until,
        head.base,
        head.dropped,
        requests,
        outcomes,
        head.names,
    )


def _fill(rows: object, columns: tuple[tuple[str, str], ...], fields: Mapping[bytes, bytes]) -> None:
    if not any(name.encode() in fields for name, _ in columns):
        return
    length = -1
    for name, column in columns:
        target: array[int] = getattr(rows, column)
        octets = fields.get(name.encode(), b"")
        if len(octets) % target.itemsize:
            raise SpecError([Problem(f"entry.{name}", "whole values", f"{len(octets)} octets")])
        target.frombytes(octets)
        if sys.byteorder == "big":
            target.byteswap()
        if length not in (-1, len(target)):
            raise SpecError([Problem(f"entry.{name}", f"{length} values", str(len(target)))])
        length = len(target)
