"""Salt and unit to bucket: frozen values, and a second implementation from the published algorithm."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.bucketing import ALGORITHM, ALGORITHMS, PPM, bucket, hash32, prepared

MASK = 0xFFFFFFFF
# Frozen for ever: changing one of these moves every unit of every running experiment.
GOLDEN = (
    ("ranker:1#arm", "user-1", 632008),
    ("ranker:1#arm", "ユーザー", 690206),
    ("ranker:1#in", "user-1", 984318),
    ("layer:search:1", "0", 456168),
    ("layer:search:1", "user-1", 167796),
    ("ranker:1#arm", "5c3d8535-f81a-4478-a6d3-afaa4d51199e", 733109),
    ("ranker:1#in", "ユーザー", 226574),
)
# The other algorithms, frozen as well.
GOLDEN_BY_NAME = (
    ("flagd-v2", "ranker:1#arm", "user-1", 571521842, 133067),
    ("sha256-64/v1", "ranker:1#arm", "user-1", 8163251529808919742, 442530),
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


@pytest.mark.parametrize(("algorithm", "salt", "unit", "expected_hash", "expected"), GOLDEN_BY_NAME)
def test_golden_values_of_the_other_algorithms_never_change(
    algorithm: str, salt: str, unit: str, expected_hash: int, expected: int
) -> None:
    compute, prepare = ALGORITHMS[algorithm]
    assert (compute(salt, unit.encode()), prepare(salt)(unit.encode())) == (expected_hash, expected)


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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_hundred_pairs_of_salts_are_independent(algorithm: str) -> None:
    """Chi-square of the 2x2 table, one degree of freedom; 100 pairs and 3 algorithms exceed 28 by chance once in 2e4."""
    prepare = ALGORITHMS[algorithm][1]
    units = [f"user-{i}".encode() for i in range(2_000)]
    half = PPM // 2
    sides = []
    for number in range(101):
        where = prepare(f"route:{number}#arm")
        sides.append([where(unit) < half for unit in units])
    worst = 0.0
    for one, other in itertools.pairwise(sides):
        both, first, second = sum(map(bool.__and__, one, other)), sum(one), sum(other)
        expected = first * second / len(units)
        spread = expected * (len(units) - first) * (len(units) - second) / len(units) ** 2
        worst = max(worst, (both - expected) ** 2 / spread)
    assert worst < 28
