"""JSON pointers (RFC 6901): the parts of one, and what stands there in a document that is read already."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

NOWHERE = 1 << 62  # beyond every array


@cache
def parts_of(pointer: str) -> tuple[str, ...]:
    """The names and indices on the way; pointers come from flags and tables, so there are few."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def value_at(document: Any, parts: Sequence[str]) -> Any:
    """Whatever stands there; None when nothing does."""
    for part in parts:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and index_of(part) < len(document):
            document = document[index_of(part)]
        else:
            return None
    return document


def index_of(part: str) -> int:
    """An array's index as the RFC writes it; one beyond every array for any other text."""
    plain = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
    return int(part) if plain and len(part) < 10 else NOWHERE
