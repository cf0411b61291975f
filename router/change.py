"""A plan as a value: each change in words, with what is written for it and which units it moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from router.document import Document
from router.flag import Flag


@dataclass(frozen=True, slots=True)
class Change:
    """One planned change.

    Attributes:
        kind, name: of the document: segment, layer, holdout, route or experiment.
        action: create, change, start, restart or nothing.
        lines: what changes, in words.
        flag: the flag to write; None leaves it.
        run: the run state to write; None leaves it.
        superseded: the run state that this change ends first.
        moves: (from arm, to arm, ppm of all units) computed from the lanes.
    """

    kind: str
    name: str
    action: str
    lines: tuple[str, ...]
    file_key: str
    file_text: str
    flag: Flag | None = None
    run: dict[str, Any] | None = None
    superseded: dict[str, Any] | None = None
    moves: tuple[tuple[str, str, int], ...] = ()

    def text(self) -> str:
        """The change as people read it."""
        mark = {"create": "+", "start": "+", "nothing": " "}.get(self.action, "~")
        head = f"{mark} {self.kind} {self.name}: {self.action}"
        moved = [f"moves {ppm / 10_000:g} % of units from {old} to {new}" for old, new, ppm in self.moves]
        return "\n".join([head, *(f"    {line}" for line in (*self.lines, *moved))])

    def document(self) -> dict[str, Any]:
        """The change as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "what": list(self.lines),
            "moves": [{"from": old, "to": new, "ppm": ppm} for old, new, ppm in self.moves],
            "revision": self.flag.revision if self.flag else None,
        }


@dataclass(slots=True)
class Plan:
    """All changes, in the order in which they are made."""

    changes: list[Change] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return all(change.action == "nothing" for change in self.changes)

    def text(self) -> str:
        """The plan as people read it."""
        return "\n".join(change.text() for change in self.changes)


def key_of(kind: str, name: str) -> str:
    """Under which name a file is kept as last applied."""
    return f"{kind}:{name}"


def file_text(document: Document) -> str:
    """A document as it is kept for the next three-way comparison."""
    return json.dumps(document.data, sort_keys=True)
