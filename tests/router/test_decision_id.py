"""Decision ids: what was signed is read back, and nothing else is."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.decision_id import HEAD, DecisionId, Signer, unit_digest, unit_digester
from router.errors import Refused

KEY, OTHER = b"k" * 32, b"o" * 32
WEB = DecisionId("better.1", 1, 7, 1, True, 2**64 - 1, 1_764_000_000_000, 12345)


def signed(signer: Signer, one: DecisionId = WEB) -> str:
    return signer.sign(
        one.run.encode(),
        one.epoch,
        one.revision,
        one.arm_index,
        one.analysed,
        one.unit,
        one.time,
        one.request,
    ).decode()


def refusal(signer: Signer, text: str) -> str:
    with pytest.raises(Refused) as caught:
        signer.read(text)
    return caught.value.reason


@given(
    st.text(max_size=60), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(-1, 63), st.booleans(),
    st.integers(0, 2**64 - 1), st.integers(0, 2**63), st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_what_was_signed_is_read_back(
    run: str, epoch: int, revision: int, arm: int, analysed: bool, unit: int, time: int, request: int
) -> None:
    run = run.encode("utf-8", "replace").decode()
    one = DecisionId(run, epoch, revision, arm, analysed, unit, time, request)
    assert Signer({1: KEY}).read(signed(Signer({1: KEY}), one)) == one


def test_every_flip_of_one_bit_is_refused() -> None:
    signer = Signer({1: KEY})
    text = signed(signer)
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        reason = refusal(signer, urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode())
        assert reason == ("unknown_key" if bit < 8 else "forged")


def test_every_change_of_one_character_is_refused() -> None:
    signer = Signer({1: KEY})
    text = signed(signer)
    for at in range(len(text)):
        for other in "A-_=. é":
            if text[at] != other:
                refusal(signer, text[:at] + other + text[at + 1 :])


def test_an_id_has_one_spelling() -> None:
    signer = Signer({1: KEY})
    text = signed(signer, WEB._replace(run="better.10"))
    spellings = [text + "=", text + "==", text + "\n", " " + text, text[:5] + "\n" + text[5:], text + "A"]
    assert {refusal(signer, spelling) for spelling in spellings} <= {"malformed", "forged"}


@pytest.mark.parametrize("text", ["", "A", "AAAA", "a" * 401, "ü" * 20, "!" * 90, "AQ", "\x00" * 80])
def test_what_is_no_id_is_malformed(text: str) -> None:
    assert refusal(Signer({1: KEY}), text) == "malformed"


@given(st.text(max_size=120))
def test_any_text_is_refused_and_never_raises_otherwise(text: str) -> None:
    refusal(Signer({0: KEY}), text)


@given(st.binary(max_size=200))
def test_any_octets_are_refused(raw: bytes) -> None:
    refusal(Signer({1: KEY}), urlsafe_b64encode(raw).rstrip(b"=").decode())


def test_keys_rotate_without_refusing_what_is_on_its_way() -> None:
    old, both, new = Signer({1: KEY}), Signer({1: KEY, 2: OTHER}), Signer({2: OTHER})
    early, late = signed(old), signed(both)
    assert both.read(early) == both.read(late) == WEB
    assert new.read(late) == WEB
    assert refusal(new, early) == "unknown_key"
    assert refusal(old, late) == "unknown_key"


def test_the_same_number_with_another_key_is_a_forgery() -> None:
    assert refusal(Signer({1: OTHER}), signed(Signer({1: KEY}))) == "forged"


def test_keys_that_cannot_sign_are_refused_at_the_start() -> None:
    for keys in ({}, {1: b""}, {256: KEY}, {-1: KEY}):
        with pytest.raises(ValueError, match="decision keys"):
            Signer(keys)


def test_an_id_is_short_and_safe_in_a_header_and_a_url() -> None:
    text = signed(Signer({1: KEY}), WEB._replace(run="x" * 60))
    assert len(text) < 160
    assert text.replace("-", "").replace("_", "").isalnum()


def test_the_frame_is_frozen() -> None:
    assert HEAD.format == "<BbBIIQQQ"
    body = HEAD.pack(1, 1, 1, 1, 7, 2**64 - 1, 1_764_000_000_000, 12345) + b"better.1"
    tag = hashlib.blake2b(body, key=KEY, digest_size=16, person=b"pm-decision").digest()
    assert signed(Signer({1: KEY})) == urlsafe_b64encode(body + tag).rstrip(b"=").decode()


def test_a_unit_digest_depends_on_key_and_unit_and_is_frozen() -> None:
    assert unit_digest(KEY, b"user-1") == unit_digester(KEY)(b"user-1")
    assert len({unit_digest(key, unit) for key in (KEY, OTHER) for unit in (b"a", b"b", b"")}) == 6
    plain = hashlib.blake2b(b"user-1", key=KEY, digest_size=8, person=b"pm-unit").digest()
    assert unit_digest(KEY, b"user-1") == int.from_bytes(plain, "little")
