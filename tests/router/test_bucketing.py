"""Salt and unit to bucket: frozen values, and a second implementation from the published algorithm."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.bucketing import ALGORITHM, PPM, bucket, hash32, prepared

MASK = 0xFFFFFFFF
# Frozen for ever: changing one of these moves every unit of every running experiment.
GOLDEN = (
    ("ranker:1#arm", "user-1", 632008),
    ("ranker:1#arm", "ユーザー", 690206),
    ("ranker:1#in", "user-1", 984318),
    ("layer:search:1", "0", 456168),
)


def murmur3(data: bytes, seed: int = 0) -> int:
    """MurmurHash3 x86 32 bit, after Appleby's public-domain description."""
    h = seed
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        h ^= _mixed(int.from_bytes(data[at : at + 4], "little"))
        h = (h << 13 | h >> 19) & MASK
        h = (h * 5 + 0xE6546B64) & MASK
    if data[whole:]:
        h ^= _mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> shift
        h = h * factor & MASK
    return h ^ h >> 16


def _mixed(k: int) -> int:
    k = k * 0xCC9E2D51 & MASK
    k = (k << 15 | k >> 17) & MASK
    return k * 0x1B873593 & MASK


@pytest.mark.parametrize(("salt", "unit", "expected"), GOLDEN)
def test_golden_buckets_never_change(salt: str, unit: str, expected: int) -> None:
    assert bucket(salt, unit) == expected
    assert bucket(salt, unit.encode()) == expected
    assert prepared(salt)(unit.encode()) == expected


def test_golden_hash_never_changes() -> None:
    assert hash32("ranker:1#arm", b"user-1") == 2714455170


def test_the_algorithm_has_the_name_that_flags_carry() -> None:
    assert (ALGORITHM, PPM) == ("murmur3-32/v1", 1_000_000)


@given(st.text(max_size=40), st.binary(max_size=80))
@example("", b"")
@example("a", b"\x00\xff\xfe")
def test_the_library_equals_the_published_algorithm(salt: str, unit: bytes) -> None:
    salt = salt.encode("utf-8", "replace").decode()
    assert hash32(salt, unit) == murmur3(salt.encode() + b"/" + unit)


@given(st.text(alphabet="abc:#0123", max_size=12), st.binary(max_size=40))
def test_a_bucket_is_a_whole_number_of_parts_per_million(salt: str, unit: bytes) -> None:
    assert 0 <= bucket(salt, unit) < PPM


def test_the_edges_of_the_hash_map_to_the_edges_of_the_buckets() -> None:
    assert 0 * PPM >> 32 == 0
    assert MASK * PPM >> 32 == PPM - 1


def test_one_salt_says_nothing_about_another() -> None:
    both = sum(
        bucket("r:1#in", f"u{i}") < PPM // 2 and bucket("r:1#arm", f"u{i}") < PPM // 2 for i in range(20_000)
    )
    assert abs(both - 5_000) < 5 * 62
