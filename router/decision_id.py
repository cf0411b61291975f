"""The decision id: what a gateway decided for one request, in the clear, with a keyed digest behind it.

Whoever reports an outcome sends it back, so the API knows run, arm and unit without asking anybody, and nobody else
can make one. The raw unit never leaves the gateway: a keyed digest of 64 bits stands for it. The framing is our own by
measurement: a keyed blake2b costs half of the next cheapest tag.

Source: RFC 7693 (BLAKE2), section 2.9 keyed hashing.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from typing import NamedTuple

from router.errors import Refused

# key number, arm index, analysed, epoch, revision, unit digest, time (ms), request number; then the run's name.
HEAD = struct.Struct("<BbBIIQQQ")
# Its two halves: what one assignment's ids have in common, and what is each request's own.
COMMON, EACH = struct.Struct("<BbBII"), struct.Struct("<QQQ")
TAG_SIZE = 16
LONGEST = 400
URL_SAFE = bytes.maketrans(b"+/", b"-_")


class DecisionId(NamedTuple):
    """What one answer said about its assignment."""

    run: str
    epoch: int
    revision: int
    arm_index: int
    analysed: bool
    unit: int
    time: int
    request: int


def _keyed(key: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=key, digest_size=TAG_SIZE, person=b"pm-decision")


def unit_digester(key: bytes) -> Callable[[bytes], int]:
    """``unit_digest`` for one key, for the hot path."""
    prepared = hashlib.blake2b(key=key, digest_size=8, person=b"pm-unit")

    def digest(unit: bytes) -> int:
        state = prepared.copy()
        state.update(unit)
        return int.from_bytes(state.digest(), "little")

    return digest


def unit_digest(key: bytes, unit: bytes) -> int:
    """The 64-bit keyed digest that stands for a unit outside the gateway."""
    return unit_digester(key)(unit)


class Signer:
    """Makes and checks decision ids. The highest key number signs; all keys are accepted, for rotation."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys or not all(0 <= number <= 255 and key for number, key in keys.items()):
            raise ValueError("decision keys: expected numbers 0 .. 255 with non-empty keys")
        self._keyed = {number: _keyed(key) for number, key in keys.items()}
        self._number = max(keys)
        self._signing = self._keyed[self._number]

    def sign(
        self,
        run: bytes,
        epoch: int,
        revision: int,
        arm_index: int,
        analysed: bool,
        unit: int,
        time: int,
        request: int,
    ) -> bytes:
        """The id as base64url text without padding."""
        return self.prepared(run, epoch, revision, arm_index, analysed)(unit, time, request)

    def prepared(
        self, run: bytes, epoch: int, revision: int, arm_index: int, analysed: bool
    ) -> Callable[[int, int, int], bytes]:
        """``sign`` for one assignment, for the hot path: what all its ids begin with is packed and digested once."""
        common = COMMON.pack(self._number, arm_index, analysed, epoch, revision)
        begun = self._signing.copy()
        begun.update(common)
        pack = EACH.pack

        def sign(unit: int, time: int, request: int) -> bytes:
            own = pack(unit, time, request) + run
            state = begun.copy()
            state.update(own)
            return b2a_base64(common + own + state.digest(), newline=False).translate(URL_SAFE, b"=")

        return sign

    def read(self, text: str) -> DecisionId:
        """Check the tag and read the id, whatever its age.

        Raises:
            Refused: malformed, unknown_key or forged.
        """
        try:
            if len(text) > LONGEST:
                raise ValueError("too long")
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            # A lenient decoder skips foreign characters and ignores spare bits: one id, one spelling.
            if urlsafe_b64encode(raw).rstrip(b"=") != text.encode("ascii"):
                raise ValueError("not canonical base64url")
            body, tag = raw[:-TAG_SIZE], raw[-TAG_SIZE:]
            number, arm_index, analysed, epoch, revision, unit, time, request = HEAD.unpack(body[: HEAD.size])
        except (ValueError, struct.error) as problem:
            raise Refused(
                "malformed", "decision: expected the id from a Pointsman-Decision header", 422
            ) from problem
        keyed = self._keyed.get(number)
        if keyed is None:
            raise Refused("unknown_key", f"decision: signed with key {number}, which is not known here", 422)
        state = keyed.copy()
        state.update(body)
        if not hmac.compare_digest(state.digest(), tag):
            raise Refused("forged", "decision: its signature does not fit its content", 422)
        try:
            run = body[HEAD.size :].decode()
        except UnicodeDecodeError as problem:
            raise Refused("malformed", "decision: its run is no text", 422) from problem
        return DecisionId(run, epoch, revision, arm_index, bool(analysed), unit, time, request)
