"""Attributes of a request: one reader for each that a flag declares, by its place.

Octets that are no UTF-8 stay themselves. An empty value is an absent one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from router.gateway.head import Head
from router.gateway.identify import cookie_reader, json_value
from router.rules import Values

HeadReader = Callable[[Head], Values]
BodyReader = Callable[[bytes], Values]


class AttributeReader:
    """One declared attribute: read from the head, or from the body."""

    __slots__ = ("of_body", "of_head")

    def __init__(self, kind: str, name: str) -> None:
        self.of_head: HeadReader | None = READERS[kind](name) if kind != "json" else None
        self.of_body: BodyReader | None = _json(name) if kind == "json" else None


def _values(octets: bytes | None) -> Values:
    return (octets.decode("utf-8", "surrogateescape"),) if octets else None


def _header(name: str) -> HeadReader:
    wanted = name.encode()
    return lambda head: _values(head.field(wanted))


def _header_list(name: str) -> HeadReader:
    wanted = name.encode()

    def read(head: Head) -> Values:
        field = head.field(wanted)
        if not field:
            return None
        parts = (part.strip() for part in field.decode("utf-8", "surrogateescape").split(","))
        return tuple(part for part in parts if part) or None

    return read


def _cookie(name: str) -> HeadReader:
    read = cookie_reader(name.encode())
    return lambda head: _values(read(head, 0))


def _query(name: str) -> HeadReader:
    wanted = name.encode()

    def read(head: Head) -> Values:
        found = []
        for pair in head.query.split(b"&") if head.query else ():
            key, _, value = pair.partition(b"=")
            if value and (key == wanted or (b"%" in key and unquote_to_bytes(key) == wanted)):
                found.append(unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "surrogateescape"))
        return tuple(found) or None

    return read


def _path(name: str) -> HeadReader:
    if not name:
        return lambda head: _values(unquote_to_bytes(head.path))
    number = int(name)

    def read(head: Head) -> Values:
        segments = head.path.split(b"/")
        return _values(unquote_to_bytes(segments[number])) if number < len(segments) else None

    return read


def _host(_: str) -> HeadReader:
    def read(head: Head) -> Values:
        name, colon, port = head.host.lower().rpartition(b":")
        return _values(name if colon and port.isdigit() else head.host.lower())

    return read


def _method(_: str) -> HeadReader:
    return lambda head: _values(head.method)


# One row per place of an attribute that is not in the body.
READERS: Mapping[str, Callable[[str], HeadReader]] = {
    "header": _header,
    "header-list": _header_list,
    "cookie": _cookie,
    "query": _query,
    "path": _path,
    "host": _host,
    "method": _method,
}


def _json(pointer: str) -> BodyReader:
    find = json_value(pointer)

    def read(body: bytes) -> Values:
        found = find(body)
        if isinstance(found, list):
            return tuple(text for one in found if (text := _scalar(one)) is not None)
        text = _scalar(found)
        return None if text is None else (text,)

    return read


def _scalar(value: Any) -> str | None:
    """A text, number or truth of JSON as text; nothing else is an attribute."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, int | float) else None
