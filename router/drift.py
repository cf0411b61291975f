"""Three ways: a route's file as last applied, its file now, and the flag as it stands.

What the file changed since it was last applied is applied, everything else stays as it is. Where the flag is no longer
what its file said, the audit log knows who or what changed it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from router.flag import Arm, Flag
from router.route import Route, flag_of

# What a route's file says of its flag; the rest of a flag is the product's own.
WRITTEN = (
    "match", "unit", "arms", "default", "expose", "first_byte_timeout_ms", "total_timeout_ms", "protocol", "retries",
    "repeatable", "fallback", "serving", "enabled", "schedule",
    "requires", "units", "attributes", "rules", "algorithm",
)  # fmt: skip
NAMED = frozenset({"arms", "attributes", "units"})
# What no file says, and what it is where nobody has touched it.
SWITCHES: Mapping[str, Any] = {"kill": False, "killed": ()}


def rebuilt(old: Arm, new: Arm) -> bool:
    """Whether an arm differs in nothing that it is but in what its answers are declared to say: a build of the same."""
    same = all(getattr(old, name) == getattr(new, name) for name in ("upstream", "set", "value"))
    return same and old.declares != new.declares


def as_applied(text: str | None, now: int) -> Flag | None:
    """The flag that a file as last applied asks for; None without one, or where today's reader refuses it."""
    try:
        return flag_of(Route.model_validate(json.loads(text))).with_schedule_at(now) if text else None
    except ValidationError:
        return None


def merged(base: Flag | None, wanted: Flag, live: Flag) -> Flag:
    """The live flag with everything that the file changed since it was last applied."""
    changed = {
        name: getattr(wanted, name)
        for name in WRITTEN
        if base is None or _said(wanted, name) != _said(base, name)
    }
    return msgspec.structs.replace(live, **changed)


def drifted(wanted: Flag, live: Flag) -> Iterator[tuple[str, Any, Any]]:
    """(field, as the file says, as it is) of everything that is not as the file says."""
    for name in WRITTEN:
        if _said(wanted, name) != _said(live, name):
            yield name, getattr(wanted, name), getattr(live, name)
    for name, untouched in SWITCHES.items():
        if getattr(live, name) != untouched:
            yield name, untouched, getattr(live, name)


def _said(flag: Flag, name: str) -> Any:
    """A field as far as people wrote it: no order of named things, and nothing of the clock."""
    value = getattr(flag, name)
    if name in NAMED:
        return sorted(msgspec.to_builtins(value), key=str)
    return msgspec.structs.replace(value, inside=False) if name == "schedule" and value else value


def drift_lines(wanted: Flag, live: Flag, audit: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The drift in words: what the file says, what is live, and the entry of the log that made it so.

    Args:
        wanted: the flag as the file says.
        live: the flag as it stands.
        audit: entries about this route, newest first.
    """
    lines = []
    for name, said, stands in drifted(wanted, live):
        values = f"{name} {_shown(name, said)}, live {_shown(name, stands)}"
        lines.append(f"file behind: {values}, {_who(name, audit)}")
        if name == "default":
            lines.append(f"patch: -default: {said}  +default: {stands}")
    return tuple(lines)


def _shown(name: str, value: object) -> str:
    """Short values whole, long ones by their number."""
    if isinstance(value, tuple) and name != "killed":
        return f"{len(value)} {name}"
    if isinstance(value, msgspec.Struct):
        return msgspec.json.encode(value).decode()
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _who(name: str, audit: Sequence[Mapping[str, Any]]) -> str:
    """Who made a field what it is: the newest entry that tells of another value before."""
    for entry in audit:
        old, new = entry.get("old") or {}, entry.get("new") or {}
        if name in old and name in new and old[name] != new[name]:
            when = datetime.fromtimestamp(entry["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            why = f": {entry['reason']}" if entry.get("reason") else ""
            return f"{entry.get('action')} by {entry.get('actor')} at {when} UTC{why}"
    return "by whom the audit log no longer tells"
