"""Keys that an issuer publishes as a JWK set: read beside the requests, again and again, the last good ones kept.

A request only looks into what is held. A token under a key that is not held asks for the set to be read again soon, not
more than once in ``AGAIN_S``: whoever invents key names makes nobody fetch. Keys are public ones for signatures; of each is
made one for every algorithm that it fits, so that what verifies a token is bound to the algorithm the token names.

Never here: a wait on the path of a request, or a redirect that is followed to somewhere else.

Source:
    RFC 7517, JSON Web Key.
"""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from router.errors import Problem, SpecError

REFRESH_S = 300.0
AGAIN_S = 15.0  # after a failure, or when a token names a key that is not held
TIMEOUT_S = 5.0
LONGEST = 262_144  # octets of a set
KEYS_MOST = 64
FILE: Final = "file:"

log = logging.getLogger("pointsman.gateway")
Keys = Mapping[str, Mapping[str, Any]]  # by key id ("" without one): by algorithm, what verifies


class KeySet:
    """What was last read at one place; no keys at all until it was once."""

    def __init__(self, place: str, due: float) -> None:
        self.place = place
        self.documents: tuple[dict[str, Any], ...] = ()
        self.version = 0  # counts changes of the documents
        self.due = due  # when it is to be read, by the monotonic clock
        self._trouble = ""
        self._earliest = due

    def wanted(self) -> None:
        """A token names a key that is not held: read again, though not before its time."""
        self.due = min(self.due, self._earliest)

    def read(self) -> tuple[dict[str, Any], ...]:
        """The keys at the place as they are now; blocks.

        Raises:
            SpecError: they cannot be had, or are none.
        """
        try:
            octets = _octets(self.place)
            found = msgspec.json.decode(octets, type=_Set).keys
        except (OSError, HTTPException, ValueError, msgspec.DecodeError, RecursionError) as problem:
            raise SpecError([Problem("unit.jwt.jwks", f"a JWK set at {self.place}", str(problem))]) from None
        documents = tuple(one for one in found[:KEYS_MOST] if _verifies(one))
        if not documents:
            raise SpecError([Problem("unit.jwt.jwks", f"public keys for signatures at {self.place}", "none")])
        return documents

    def take(self, documents: tuple[dict[str, Any], ...], now: float) -> None:
        """These are the keys from now on."""
        if documents != self.documents:
            self.documents, self.version = documents, self.version + 1
        self.due, self._earliest, self._trouble = now + REFRESH_S, now + AGAIN_S, ""

    def failed(self, now: float, trouble: str) -> None:
        """They could not be read; the last good ones stay. It is said once, not at every reading."""
        self.due = self._earliest = now + AGAIN_S
        if trouble != self._trouble:
            log.warning("%s; the last good keys stay: %d", trouble, len(self.documents))
        self._trouble = trouble

    def keys(self, jwt: Any, algorithms: tuple[str, ...]) -> Keys:
        """What verifies tokens of these algorithms."""
        table: dict[str, dict[str, Any]] = {}
        for number, document in enumerate(self.documents):
            kid = document.get("kid")
            row = table.setdefault(kid if isinstance(kid, str) and kid else f"\0{number}", {})
            for algorithm in algorithms:
                if document.get("alg", algorithm) == algorithm and algorithm not in row:
                    try:
                        row[algorithm] = jwt.PyJWK(document, algorithm)
                    except (jwt.PyJWTError, TypeError, ValueError):
                        continue
        return table


class KeySets:
    """All sets that routes of this worker use; one that no route uses any more is forgotten."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sets: WeakValueDictionary[str, KeySet] = WeakValueDictionary()
        self.came = asyncio.Event()  # a set that was not read yet

    def at(self, place: str) -> KeySet:
        """The set of a place. That of a file is read at once, that of an address beside the requests.

        Raises:
            SpecError: the file holds no set of keys.
        """
        found = self._sets.get(place)
        if found is None:
            found = KeySet(place, self._now())
            if place.startswith(FILE):
                found.take(found.read(), self._now())
            self._sets[place] = found
            self.came.set()
        return found

    def all(self) -> list[KeySet]:
        """Those in use."""
        return list(self._sets.values())

    async def refresh(self) -> None:
        """Read what is due."""
        self.came.clear()
        due = [one for one in self.all() if one.due <= self._now()]
        await asyncio.gather(*(self._read(one) for one in due))

    async def _read(self, one: KeySet) -> None:
        try:
            documents = await asyncio.to_thread(one.read)
        except SpecError as problem:
            one.failed(self._now(), str(problem))
        else:
            one.take(documents, self._now())


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


class _Stay(urllib.request.HTTPRedirectHandler):
    """An issuer's keys stand where the route says, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """No."""


def _octets(place: str) -> bytes:
    if place.startswith(FILE):
        octets = Path(place.removeprefix(FILE)).read_bytes()
    else:
        with urllib.request.build_opener(_Stay).open(place, timeout=TIMEOUT_S) as answer:
            octets = bytes(answer.read(LONGEST + 1))
    if len(octets) > LONGEST:
        raise ValueError(f"more than {LONGEST} octets")
    return octets


def _verifies(document: dict[str, Any]) -> bool:
    """Whether a key is a public one, and is not meant for something else than signatures."""
    operations = document.get("key_ops")
    return (
        document.get("kty") in ("RSA", "EC", "OKP")
        and "d" not in document
        and document.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )
