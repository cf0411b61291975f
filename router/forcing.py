"""Forced arms: a word, signed by this installation, that asks for one arm of one route until a time.

Only who has the keys can make one, so a header or a cookie from outside decides nothing by itself. A forced request is
served and never analysed; a kill switch is above it.

Source: RFC 7693 (BLAKE2), section 2.9 keyed hashing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

TAG_OCTETS = 16
LONGEST = 4096
FORCED = re.compile(r"([\w.-]{1,64})=([\w.-]{1,64}):([0-9]{1,15}):([0-9]{1,3}):([\w-]{22})", re.ASCII)


class Forcing:
    """Makes and reads forced arms. The highest key number signs; all keys are accepted, for rotation."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = dict(keys)

    def word(self, route: str, arm: str, until_ms: int) -> str:
        """What to send as ``Pointsman-Force``, or in the cookie ``pm_force``."""
        body = f"{route}={arm}:{until_ms}:{max(self._keys)}"
        return f"{body}:{self._tag(max(self._keys), body)}"

    def read(self, text: str, route: str, now_ms: int) -> str | None:
        """The arm of a route that a trusted caller asks for; None when nobody who may does.

        Several words stand side by side, parted by commas; what is malformed, foreign or too late is as absent.
        """
        for part in text[:LONGEST].split(","):
            match = FORCED.fullmatch(part.strip())
            if (
                match is None
                or match[1] != route
                or int(match[3]) <= now_ms
                or int(match[4]) not in self._keys
            ):
                continue
            body, _, tag = part.strip().rpartition(":")
            if hmac.compare_digest(self._tag(int(match[4]), body), tag):
                return match[2]
        return None

    def _tag(self, number: int, body: str) -> str:
        digest = hashlib.blake2b(
            body.encode(), key=self._keys[number], digest_size=TAG_OCTETS, person=b"pm-force"
        )
        return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
