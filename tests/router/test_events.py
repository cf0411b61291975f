"""Packed events: what is encoded is decoded, and every torn or poisoned entry is one clear error."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SpecError
from router.event_rows import (
    ARM_MASK,
    BUCKET_BITS,
    BUCKET_MASK,
    ERROR,
    EXPOSURE,
    FACTS_SHIFT,
    FALLBACK,
    LATENCY_MAX_US,
    NO_COVARIATE,
    OTHER_SEGMENT,
    OUTCOME,
    REFUSED,
    SLOW,
    OutcomeRows,
    RequestRows,
    pack_where,
)
from router.events import Entry, Sighting, decode, encode, key_digest, to_fixed

u64, i64, u32 = st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1)
count = st.integers(0, 2**53)


def wire(entry: Entry) -> dict[bytes, bytes]:
    return {name.encode(): octets for name, octets in encode(entry).items()}


def rows(table: RequestRows | OutcomeRows) -> list[tuple[int, ...]]:
    columns = ("unit", "time", "where", "latency")
    if isinstance(table, OutcomeRows):
        columns = ("unit", "metric", "value", "time", "asked", "key", "arm")  # type: ignore[assignment]
    return list(zip(*(getattr(table, column) for column in columns), strict=True))


def sample() -> Entry:
    entry = Entry(
        "host-1-2-ab", 7, 1, 9, 1_764_000_000_000, 1_763_999_999_900, (3, 4), names=("corrected", "seconds")
    )
    entry.requests.append(2**64 - 1, 17, pack_where(999_999, 1, EXPOSURE | OUTCOME), LATENCY_MAX_US)
    entry.requests.append(5, 18, pack_where(0, 0, EXPOSURE), 0)
    entry.outcomes.append(5, 1, to_fixed(-2.5), 1_764_000_000_001, -1, key_digest("k"), -1)
    return entry


@given(
    st.lists(st.tuples(u64, u32, u32, u32), max_size=30),
    st.lists(st.tuples(u64, st.integers(0, 1), i64, i64, i64, u64, st.integers(-1, 63)), max_size=30),
    st.tuples(count, count), count, count,
)  # fmt: skip
def test_what_is_encoded_is_decoded(
    requests: list[tuple[int, int, int, int]],
    outcomes: list[tuple[int, int, int, int, int, int, int]],
    dropped: tuple[int, int], seq: int, until: int,
) -> None:  # fmt: skip
    entry = Entry("writer", seq, 1, 2, until, 3, dropped, names=("a", "é"))
    for request in requests:
        entry.requests.append(*request)
    for outcome in outcomes:
        entry.outcomes.append(*outcome)
    read = decode(wire(entry))
    assert rows(read.requests) == requests
    assert rows(read.outcomes) == outcomes
    assert (read.writer, read.seq, read.epoch, read.revision, read.until, read.base, read.dropped, read.names) == (
        "writer", seq, 1, 2, until, 3, dropped, ("a", "é"),
    )  # fmt: skip


def test_the_wire_form_is_frozen() -> None:
    assert {name: octets.hex() for name, octets in encode(sample()).items()} == {
        "h": "9901ab686f73742d312d322d6162070109cf0000019ab697e800cf0000019ab697e79c92030492a9636f72726563746564"
        "a77365636f6e6473",
        "ru": "ffffffffffffffff0500000000000000",
        "rt": "1100000012000000",
        "rw": "3f421f0c00000004",
        "rl": "ffffffff00000000",
        "ou": "0500000000000000",
        "om": "0100",
        "ov": "60dad9ffffffffff",
        "ot": "01e897b69a010000",
        "oa": "ffffffffffffffff",
        "ok": "91865e0b720f879b",
        "ox": "ff",
    }


@given(
    st.lists(st.none() | st.tuples(i64, st.integers(0, 255)), max_size=20),
    st.lists(st.integers(0, 1_000_000), max_size=20),
)
def test_what_few_rows_have_is_encoded_and_decoded(
    described: list[tuple[int, int] | None], probabilities: list[int]
) -> None:
    entry = Entry("writer", 1, 1, 1, 1, names=("a",))
    for index, attributes in enumerate(described):
        entry.requests.append(index, 1, 1, 1)
        if attributes is not None:
            entry.requests.describe(index, *attributes)
    for index, probability in enumerate(probabilities):
        entry.outcomes.append(index, 0, 1, 1, 1, index, -1)
        if probability:
            entry.outcomes.sampled(probability)
    fields = wire(entry)
    read = decode(fields)
    wanted = [(NO_COVARIATE, OTHER_SEGMENT) if one is None else one for one in described]
    for column, i, missing in (("covariate", 0, NO_COVARIATE), ("segment", 1, OTHER_SEGMENT)):
        values = [one[i] for one in wanted]
        found = list(getattr(read.requests, column))
        assert found == (values if any(value != missing for value in values) else [])
    assert list(read.outcomes.probability) == (probabilities if any(probabilities) else [])
    assert msgspec.msgpack.decode(fields[b"h"])[0] == (1 if set(fields) <= PLAIN else 2)


PLAIN = {b"h", b"ru", b"rt", b"rw", b"rl", b"ou", b"om", b"ov", b"ot", b"oa", b"ok", b"ox"}


name = st.text(min_size=1, max_size=200)


@given(st.lists(st.builds(Sighting, name, name, count, count), max_size=8))
def test_which_models_answered_is_encoded_and_decoded(told: list[Sighting]) -> None:
    entry = Entry("writer", 1, 1, 1, 1, sightings=tuple(told))
    fields = wire(entry)
    assert decode(fields).sightings == entry.sightings
    assert msgspec.msgpack.decode(fields[b"h"])[0] == (2 if told else 1)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\xc1", msgspec.msgpack.encode([["v1", "", 1, 1]]), msgspec.msgpack.encode([["v1", "2", -1, 1]])],
)
def test_names_of_models_that_cannot_be_read_are_one_clear_error(octets: bytes) -> None:
    with pytest.raises(SpecError, match=r"entry\.s: expected names of models by arm"):
        decode({**wire(sample()), b"s": octets})


def test_an_entry_sent_again_is_the_same() -> None:
    entry = sample()
    entry.requests.describe(1, 5_000_000, 3)
    entry.outcomes.sampled(250_000)
    assert wire(entry) == wire(entry)
    assert list(decode(wire(entry)).requests.covariate) == [NO_COVARIATE, 5_000_000]


def test_a_request_row_takes_twenty_octets() -> None:
    entry = Entry("w", 1, 1, 1, 1)
    small = sum(map(len, encode(entry).values()))
    for _ in range(100):
        entry.requests.append(1, 1, 1, 1)
    assert sum(map(len, encode(entry).values())) - small == 2_000


def test_an_empty_entry_is_only_its_head() -> None:
    assert list(encode(Entry("w", 1, 1, 1, 5))) == ["h"]
    read = decode(wire(Entry("w", 1, 1, 1, 5)))
    assert (len(read.requests), len(read.outcomes), read.until) == (0, 0, 5)


@given(st.integers(0, 999_999), st.integers(0, 63), st.integers(0, 63))
def test_bucket_arm_and_facts_do_not_touch_each_other(bucket: int, arm: int, facts: int) -> None:
    where = pack_where(bucket, arm, facts)
    assert where < 2**32
    assert (where & BUCKET_MASK, where >> BUCKET_BITS & ARM_MASK, where >> FACTS_SHIFT) == (
        bucket,
        arm,
        facts,
    )


def test_each_fact_has_its_own_bit() -> None:
    assert (EXPOSURE, OUTCOME, ERROR, SLOW, REFUSED, FALLBACK) == (1, 2, 4, 8, 16, 32)


def head(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "format": 1, "writer": "w", "seq": 1, "epoch": 1, "revision": 1, "until": 1, "base": 1, "dropped": (0, 0),
        "names": ("m",),
    }  # fmt: skip
    return msgspec.msgpack.encode(list({**fields, **changes}.values()))


REQUESTS = {b"ru": b"\0" * 8, b"rt": b"\0" * 4, b"rw": b"\0" * 4, b"rl": b"\0" * 4}
OUTCOMES = {
    b"ou": b"\0" * 8, b"om": b"\0" * 2, b"ov": b"\0" * 8, b"ot": b"\0" * 8, b"oa": b"\0" * 8, b"ok": b"\0" * 8, b"ox": b"\0",
}  # fmt: skip
POISON: dict[str, dict[bytes, bytes]] = {
    "nothing": {},
    "no head": dict(REQUESTS),
    "empty head": {b"h": b""},
    "head of noise": {b"h": b"\xff\xfe\xfd"},
    "head with torn text": {b"h": head()[:-1]},
    "head that is no text": {b"h": head().replace(b"\xa1w", b"\xa1\xff")},
    "head of nested lists": {b"h": b"\x91" * 100_000},
    "head that promises too much": {b"h": b"\xdd\xff\xff\xff\xff"},
    "another format": {b"h": head(format=3)},
    "one field more": {b"h": msgspec.msgpack.encode([*msgspec.msgpack.decode(head()), 1])},
    "no writer": {b"h": head(writer="")},
    "endless writer": {b"h": head(writer="w" * 256)},
    "negative sequence": {b"h": head(seq=-1)},
    "time beyond counting": {b"h": head(until=2**63)},
    "negative base": {b"h": head(base=-5)},
    "negative drops": {b"h": head(dropped=(-1, 0))},
    "drops of one arm": {b"h": head(dropped=(1,))},
    "fractional time": {b"h": head(until=1.5)},
    "torn request column": {b"h": head(), **REQUESTS, b"ru": b"\0" * 7},
    "short request column": {b"h": head(), **REQUESTS, b"rl": b""},
    "long request column": {b"h": head(), **REQUESTS, b"rl": b"\0" * 8},
    "metric without a name": {b"h": head(), **OUTCOMES, b"om": b"\1\0"},
    "no names at all": {b"h": head(names=()), **OUTCOMES},
    "torn covariates": {b"h": head(format=2), **REQUESTS, b"rc": b"\0" * 7},
    "segments of more rows": {b"h": head(format=2), **REQUESTS, b"rs": b"\0" * 2},
    "covariates without rows": {b"h": head(format=2), b"rc": b"\0" * 8},
    "probabilities of fewer rows": {b"h": head(format=2), **OUTCOMES, b"op": b""},
    **{
        f"no {name.decode()}": {b"h": head(), **{k: v for k, v in REQUESTS.items() if k != name}}
        for name in REQUESTS
    },
    **{
        f"no {name.decode()}": {b"h": head(), **{k: v for k, v in OUTCOMES.items() if k != name}}
        for name in OUTCOMES
    },
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_one_clear_error(name: str) -> None:
    with pytest.raises(SpecError, match=r"^entry\.\w+: expected "):
        decode(POISON[name])


def test_the_samples_of_poison_differ_from_good_entries_only_in_the_poison() -> None:
    assert len(decode({b"h": head(), **REQUESTS, **OUTCOMES}).requests) == 1


@given(st.data())
def test_an_entry_with_one_octet_changed_decodes_or_is_refused(data: st.DataObject) -> None:
    fields = wire(sample())
    name = data.draw(st.sampled_from(sorted(fields)))
    octets = bytearray(fields[name])
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SpecError):
        decode({**fields, name: bytes(octets)})


def test_values_are_whole_numbers_of_millionths() -> None:
    assert [to_fixed(value) for value in (0, 1, True, 0.25, -1.5, 1e-7, 10**12)] == [
        0, 1_000_000, 1_000_000, 250_000, -1_500_000, 0, 10**18,
    ]  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**12 + 1, -1e13, 10**400])
def test_what_is_no_finite_moderate_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected a"):
        to_fixed(value)


def test_the_digest_of_a_key_is_frozen() -> None:
    assert key_digest("visit-1/right") == 430356448442291205
