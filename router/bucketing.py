"""Salt and unit to bucket: named algorithms, each frozen for ever. A flag carries the name of its own.

A unit's bucket is a whole number of parts per million, the high end of the hash times a million. Changing anything here
reassigns every unit of every running experiment, so the golden values of the tests are literals that may not change.

``murmur3-32/v1`` is the default. ``flagd-v2`` deals as flagd's ``fractional`` does for weights that sum to a million, for
people who move from there; it has no separator, so ``("a", "bc")`` and ``("ab", "c")`` are one. ``sha256-64/v1`` is for
people who compute assignments again in SQL; ``config/README.md`` has the statements.

Source:
    Appleby, MurmurHash3, x86 32 bit, public domain; computed by the library mmh3. flagd's fractional operation, version
    of 0.16. FIPS 180-4 (SHA-256).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import mmh3

ALGORITHM: Final = "murmur3-32/v1"
PPM = 1_000_000
Hash = Callable[[str, bytes], int]
Prepare = Callable[[str], Callable[[bytes], int]]


def hash32(salt: str, unit: bytes) -> int:
    """murmur3_x86_32 of ``salt + "/" + unit``, seed 0, unsigned."""
    return mmh3.hash(salt.encode() + b"/" + unit, 0, signed=False)


def hash_flagd(salt: str, unit: bytes) -> int:
    """murmur3_x86_32 of salt and unit without anything between them, seed 0, unsigned."""
    return mmh3.hash(salt.encode() + unit, 0, signed=False)


def hash64(salt: str, unit: bytes) -> int:
    """The first eight octets of SHA-256 of ``salt + "/" + unit``, big-endian."""
    return int.from_bytes(hashlib.sha256(salt.encode() + b"/" + unit).digest()[:8], "big")


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


def prepared_flagd(salt: str) -> Callable[[bytes], int]:
    """``flagd-v2`` for one salt."""
    prefix = salt.encode()
    compute = mmh3.hash
    return lambda unit: compute(prefix + unit, 0, False) * PPM >> 32


def prepared_sha256(salt: str) -> Callable[[bytes], int]:
    """``sha256-64/v1`` for one salt."""
    return lambda unit: hash64(salt, unit) * PPM >> 64


# One row per algorithm: its hash, as explained to people, and its bucket for one salt, as used on the hot path.
ALGORITHMS: Mapping[str, tuple[Hash, Prepare]] = {
    ALGORITHM: (hash32, prepared),
    "flagd-v2": (hash_flagd, prepared_flagd),
    "sha256-64/v1": (hash64, prepared_sha256),
}
