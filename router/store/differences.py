"""What differs between what is stored and what somebody wanted to write, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from router.flag import Flag


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterable[str]:
    """What differs between two documents, a line each."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{path}{name}.")
        else:
            yield f"{path}{name}: {before!r} -> {after!r}"


def flag_difference(found: bytes, wanted: Flag) -> str:
    """What differs between a stored flag and one that was to be written."""
    if not found:
        return "the flag does not exist"
    return "\n".join(differences(msgspec.json.decode(found), wanted.document()))


SHOWN_OF_RUN = ("state", "reason", "step", "paused", "attempt", "version")


def run_difference(found: bytes, wanted: Mapping[str, Any]) -> str:
    """What differs between a stored run and one that was to be written, as far as people care."""
    if not found:
        return "the run does not exist"
    stored = msgspec.json.decode(found)
    old = {name: stored.get(name) for name in SHOWN_OF_RUN}
    return "\n".join(differences(old, {name: wanted.get(name) for name in SHOWN_OF_RUN}))
