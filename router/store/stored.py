"""What is read of flags and runs; of many, one that cannot be read stops no other and is named with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from router.errors import SpecError
from router.flag import Flag


@dataclass(frozen=True, slots=True)
class Moved:
    """A page of changes: the flags, those that cannot be read, those deleted; the position after it, whose store, its latest."""

    changed: dict[str, Flag]
    corrupt: dict[str, str]
    gone: frozenset[str]
    position: int
    store_id: str
    latest: int


@dataclass(frozen=True, slots=True)
class Live:
    """All that is stored about routing: flags by route, runs by name, latest run by experiment, files as applied.

    ``deleted`` are the flags of routes that were deleted, by route.
    """

    flags: dict[str, Flag]
    runs: dict[str, dict[str, Any]]
    latest: dict[str, str]
    files: dict[str, str]
    corrupt: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, Flag] = field(default_factory=dict)


def parse_flags(texts: Mapping[str, bytes]) -> tuple[dict[str, Flag], dict[str, str]]:
    """Flags that can be read, and why the others cannot."""
    flags: dict[str, Flag] = {}
    corrupt: dict[str, str] = {}
    for route, text in texts.items():
        try:
            flags[route] = Flag.parse(text)
        except SpecError as problem:
            corrupt[route] = str(problem)
    return flags, corrupt


def documents_of(texts: Mapping[str, bytes]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """JSON objects that can be read, and why the others cannot."""
    read: dict[str, dict[str, Any]] = {}
    broken: dict[str, str] = {}
    for name, text in texts.items():
        try:
            read[name] = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            broken[name] = str(problem)
    return read, broken


def text_keys(rows: Any) -> dict[str, bytes]:
    """A hash as Redis answers it, its field names as text."""
    return {name.decode(): value for name, value in rows.items()}
