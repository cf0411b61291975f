"""Who a request is made for: the first of a route's unit sources that holds one.

A unit is never empty: an empty field is an absent one. Header and cookie are taken as raw octets, a query parameter
is percent-decoded, a JSON string is its UTF-8 and a JSON whole number its digits; anything else there is no unit. For
a JSON pointer a msgspec type is generated when the snapshot is built, which skips all else in the body.

Never here: a look into a compressed body, or two readings of one body (of two equal keys the last one counts, as it
does for model servers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from router.flag import UnitSource
from router.gateway.head import Head
from router.gateway.keysets import KeySets
from router.gateway.pointer import parts_of, value_at
from router.gateway.tokens import Refused, Verifier

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Reader = Callable[[Head, int], bytes | None]
JsonReader = Callable[[bytes], bytes | None]
Place = Callable[[Any, int], bytes | None]


class NeedsBody(Enum):
    """The answer that only the body can give the unit."""

    NEEDS_BODY = "needs_body"


NEEDS_BODY: Final = NeedsBody.NEEDS_BODY


class Identifier:
    """A route's unit sources, compiled."""

    __slots__ = ("_readers", "cookie", "kind", "on_missing", "secure")

    def __init__(
        self,
        source: UnitSource,
        keysets: KeySets | None = None,
        refused: Refused = lambda reason: None,
    ) -> None:
        self.kind = source.kind
        self.on_missing = source.on_missing
        self.secure = "auto" if source.secure is msgspec.UNSET else source.secure
        self.cookie = next((name for kind, name in source.places if kind == "cookie"), "")
        verifier = None if source.jwt is None else Verifier(source.jwt, keysets=keysets, refused=refused)
        kinds = [kind for kind, _ in source.places]
        self._readers = [
            _reader(kind, name, verifier, again="json" not in kinds[:at])
            for at, (kind, name) in enumerate(source.places)
        ]

    @classmethod
    def of(cls, source: UnitSource) -> Identifier:
        """The same one for all flags that name the same unit; of a source without tokens."""
        return _shared(source)

    def find(self, head: Head, body: bytes | None, request: int, limit: int) -> bytes | NeedsBody | None:
        """The unit; ``NEEDS_BODY`` when it may stand in a body that is not held yet; None when there is none."""
        for read, from_body, again in self._readers:
            if not from_body:
                unit = (read if body is None else again)(head, request)
            elif body is None:
                if may_hold(head, limit):
                    return NEEDS_BODY
                continue
            else:
                unit = read(body, request) if body else None
            if unit:
                return unit
        return None


@lru_cache(4096)
def _shared(source: UnitSource) -> Identifier:
    return Identifier(source)


def may_hold(head: Head, limit: int) -> bool:
    """Whether there is a body that could be held and read."""
    encoding = head.field(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        return False
    return head.chunked or 0 < (head.length or 0) <= limit


def _reader(kind: str, name: str, verifier: Verifier | None, *, again: bool) -> tuple[Place, bool, Place]:
    """One place as a function, whether it reads the body, and as a function once the body is there.

    Args:
        kind: of place.
        name: what it names.
        verifier: of tokens.
        again: whether it has been read already when the body is there; then a refused token does not count again.
    """
    if kind == "json":
        of_body = json_reader(name)

        def read(body: Any, _: int) -> bytes | None:
            return of_body(body)

        return read, True, read
    if verifier is not None and kind == "jwt":
        return verifier.claim(name), False, verifier.claim(name, counted=not again)
    of_head = READERS[kind](name.encode())
    return of_head, False, of_head


def _header(name: bytes) -> Reader:
    wanted = name.lower()
    return lambda head, _: head.field(wanted)


def cookie_reader(name: bytes) -> Reader:
    """A function from a head to the value of a cookie."""
    prefix = name + b"="

    def read(head: Head, _: int) -> bytes | None:
        field = head.field(b"cookie")
        if field is None or prefix not in field:
            return None
        for pair in field.split(b";"):
            pair = pair.strip()
            if pair.startswith(prefix):
                return pair[len(prefix) :].strip(b'"') or None
        return None

    return read


def _query(name: bytes) -> Reader:
    def read(head: Head, _: int) -> bytes | None:
        if not head.query:
            return None
        for pair in head.query.split(b"&"):
            key, _equals, value = pair.partition(b"=")
            if key == name or (b"%" in key and unquote_to_bytes(key) == name):
                return unquote_to_bytes(value.replace(b"+", b" ")) or None
        return None

    return read


def _path(name: bytes) -> Reader:
    if not name:
        return lambda head, _: unquote_to_bytes(head.path)
    number = int(name)

    def read(head: Head, _: int) -> bytes | None:
        segments = head.path.split(b"/", number + 1)
        return unquote_to_bytes(segments[number]) or None if number < len(segments) else None

    return read


def _request(_: bytes) -> Reader:
    return lambda head, request: b"%016x" % request


# One row per place of a unit that is not in the body.
READERS: Mapping[str, Callable[[bytes], Reader]] = {
    "header": _header,
    "cookie": cookie_reader,
    "query": _query,
    "path": _path,
    "request": _request,
}


def json_reader(pointer: str) -> JsonReader:
    """A function from a JSON body to the unit at the pointer (RFC 6901)."""
    parts = parts_of(pointer)
    if any(part.isdigit() for part in parts):  # may be an array's index: only the value itself can tell
        find = json_value(pointer)
        return lambda body: _as_unit(find(body))
    wanted: Any = str | int | None
    for depth, part in enumerate(reversed(parts)):
        struct = msgspec.defstruct(f"Body{depth}", [("value", wanted, None)], rename={"value": part})
        wanted = struct if depth == len(parts) - 1 else struct | None
    decoder = msgspec.json.Decoder(wanted)

    def read(body: bytes) -> bytes | None:
        try:
            found: Any = decoder.decode(body)
        except UNREADABLE:
            return None
        for _ in parts:
            if found is None:
                return None
            found = found.value
        return _as_unit(found)

    return read


def json_value(pointer: str) -> Callable[[bytes], Any]:
    """A function from a JSON body to whatever stands at the pointer; None when nothing does."""
    decoder, parts = msgspec.json.Decoder(), parts_of(pointer)

    def find(body: bytes) -> Any:
        try:
            return value_at(decoder.decode(body), parts)
        except UNREADABLE:
            return None

    return find


def _as_unit(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    return None
