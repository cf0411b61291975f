"""Events in packed columns: what gateways and the API write, and the controller folds.

One entry of the log carries the rows of one (run, partition, revision, flush) as one binary column per field, with its
writer and a sequence number contiguous per (writer, run, partition), so that loss is seen. A request row is 20 octets.

An exposure is recorded when the unit is assigned, the built-in outcomes when the request has ended; when both fall
into one flush they are one row. An outcome's event time is the row's time plus its latency.

Columns go by name. Those that few runs need (a covariate, a segment, the probability of a sampled label), and which models
said that they answered, are written only where there are some; an entry with any has the second format, all others the first.
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
from router.event_rows import CERTAIN, NO_COVARIATE, OTHER_SEGMENT, OutcomeRows, RequestRows, pad

FORMAT = 1
FORMAT_EXTENDED = 2  # with a column that not every entry has
FIXED_POINT = 1_000_000  # values are whole numbers of millionths
LARGEST_VALUE = 10**12
UNKNOWN_TIME = -1


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


# Times and counts beyond 2^53 are no times and counts, and would overflow where they are added.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Writer = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Sighting(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Answers of an arm came from a model of this name, to requests assigned from ``first`` to ``last``, ms."""

    arm: _Name
    name: _Name
    first: _Count
    last: _Count


@dataclass(slots=True)
class Entry:
    """One entry of the event log.

    Attributes:
        seq: 1, 2, 3 … for each (writer, run, partition); an entry that is sent again keeps its number.
        until: every event of this writer before this time (ms) is sent with this entry or an earlier one.
        dropped: rows of (control, treatments) lost since this writer's last entry that arrived.
        base: what the times of request rows count from, ms.
        names: metric names that outcome rows point into.
        sightings: which models said that they answered.
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
    sightings: tuple[Sighting, ...] = ()


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
# Columns of few runs: where none has a value the column is not there, and each row has the last of these instead.
Rows = RequestRows | OutcomeRows
Extras = tuple[tuple[str, str, int], ...]
REQUEST_EXTRAS: Extras = (("rc", "covariate", NO_COVARIATE), ("rs", "segment", OTHER_SEGMENT))
OUTCOME_EXTRAS: Extras = (("op", "probability", CERTAIN),)


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
    extras = _extras(entry.requests, REQUEST_EXTRAS) | _extras(entry.outcomes, OUTCOME_EXTRAS)
    if entry.sightings:
        extras["s"] = msgspec.msgpack.encode(entry.sightings)
    format_number = FORMAT_EXTENDED if extras else FORMAT
    head = _Head(format_number, *(getattr(entry, name) for name in _Head.__struct_fields__[1:]))
    fields = {"h": msgspec.msgpack.encode(head)}
    if len(entry.requests):
        fields |= {name: _octets(getattr(entry.requests, column)) for name, column in REQUEST_COLUMNS}
    if len(entry.outcomes):
        fields |= {name: _octets(getattr(entry.outcomes, column)) for name, column in OUTCOME_COLUMNS}
    return fields | extras


def _extras(rows: RequestRows | OutcomeRows, extras: tuple[tuple[str, str, int], ...]) -> dict[str, bytes]:
    """Those of the optional columns that say something, filled up to the length of the table."""
    fields = {}
    for name, column, missing in extras:
        values: array[int] = getattr(rows, column)
        if values.count(missing) < len(values):
            pad(values, len(rows), missing)
            fields[name] = _octets(values)
    return fields


_head_decoder = msgspec.msgpack.Decoder(_Head)
_sightings_decoder = msgspec.msgpack.Decoder(tuple[Sighting, ...])


def decode(fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry.

    Raises:
        SpecError: unknown format, missing or torn columns, values out of range.
    """
    try:
        head = _head_decoder.decode(fields[b"h"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SpecError([Problem("entry.h", "the head of an entry", str(problem))]) from problem
    if head.format not in (FORMAT, FORMAT_EXTENDED):
        known = f"{FORMAT} or {FORMAT_EXTENDED}"
        raise SpecError(
            [Problem("entry.format", known, str(head.format), "a newer writer than this reader?")]
        )
    requests, outcomes = RequestRows(), OutcomeRows()
    _fill(requests, REQUEST_COLUMNS, fields)
    _fill(outcomes, OUTCOME_COLUMNS, fields)
    _fill_extras(requests, REQUEST_EXTRAS, fields)
    _fill_extras(outcomes, OUTCOME_EXTRAS, fields)
    if len(outcomes) and max(outcomes.metric) >= len(head.names):
        raise SpecError([Problem("entry.om", f"indices below {len(head.names)}", str(max(outcomes.metric)))])
    named = {name: getattr(head, name) for name in _Head.__struct_fields__[1:]}
    return Entry(**named, requests=requests, outcomes=outcomes, sightings=_sightings(fields.get(b"s")))


def _sightings(octets: bytes | None) -> tuple[Sighting, ...]:
    if octets is None:
        return ()
    try:
        return _sightings_decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SpecError([Problem("entry.s", "names of models by arm", str(problem))]) from problem


def _fill(rows: object, columns: tuple[tuple[str, str], ...], fields: Mapping[bytes, bytes]) -> None:
    if any(name.encode() in fields for name, _ in columns):
        lengths = [_column(rows, name, column, fields.get(name.encode(), b"")) for name, column in columns]
        for (name, _), length in zip(columns, lengths, strict=True):
            if length != lengths[0]:
                raise SpecError([Problem(f"entry.{name}", f"{lengths[0]} values", str(length))])


def _fill_extras(rows: Rows, extras: Extras, fields: Mapping[bytes, bytes]) -> None:
    for name, column, _ in extras:
        octets = fields.get(name.encode())
        if octets is not None and (length := _column(rows, name, column, octets)) != len(rows):
            raise SpecError([Problem(f"entry.{name}", f"{len(rows)} values", str(length))])


def _column(rows: object, name: str, column: str, octets: bytes) -> int:
    target: array[int] = getattr(rows, column)
    if len(octets) % target.itemsize:
        raise SpecError([Problem(f"entry.{name}", "whole values", f"{len(octets)} octets")])
    target.frombytes(octets)
    if sys.byteorder == "big":
        target.byteswap()
    return len(target)
