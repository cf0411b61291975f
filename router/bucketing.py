"""Salt and unit to bucket: ``murmur3-32/v1``, frozen for ever.

A unit's bucket is a whole number of parts per million. Changing anything here reassigns every unit of every running
experiment, so the golden values of the tests are literals that may not change.

Source: Appleby, MurmurHash3, x86 32 bit, public domain; computed by the library mmh3.
"""

from __future__ import annotations

from collections.abc import Callable

import mmh3

ALGORITHM = "murmur3-32/v1"
PPM = 1_000_000


def hash32(salt: str, unit: bytes) -> int:
    """murmur3_x86_32 of ``salt + "/" + unit``, seed 0, unsigned."""
    return mmh3.hash(salt.encode() + b"/" + unit, 0, signed=False)


def bucket(salt: str, unit: bytes | str) -> int:
    """The bucket of a unit, 0 .. 999,999; text is hashed as UTF-8."""
    octets = unit.encode() if isinstance(unit, str) else unit
    return hash32(salt, octets) * PPM >> 32


def prepared(salt: str) -> Callable[[bytes], int]:
    """``bucket`` for one salt, for the hot path."""
    prefix = salt.encode() + b"/"
    compute = mmh3.hash

    def of(unit: bytes) -> int:
        return compute(prefix + unit, 0, False) * PPM >> 32

    return of
