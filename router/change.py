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
        action: create, change, start, restart, roll or nothing.
        lines: what changes, in words.
        flag: the flag to write; None leaves it.
        run: the run state to write; None leaves it.
        superseded: the run state that this change ends first.
        moves: (from arm, to arm, ppm of all units) computed from the lanes.
        removes: what is taken away, by name.
        discards: whose evidence a new epoch leaves behind.
        drift: what is live and not as the file said, with who or what changed it; it stays.
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
    removes: tuple[str, ...] = ()
    discards: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether all evidence stays valid: no epoch ends by it."""
        return not self.discards

    def text(self) -> str:
        """The change as people read it."""
        mark = {"create": "+", "start": "+", "nothing": " "}.get(self.action, "~")
        head = f"{mark} {self.kind} {self.name}: {self.action}"
        moved = [f"moves {ppm / 10_000:g} % of units from {old} to {new}" for old, new, ppm in self.moves]
        return "\n".join(
            [head, *(f"    {line}" for line in (*self.lines, *self.discards, *moved, *self.drift))]
        )

    def document(self) -> dict[str, Any]:
        """The change as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "what": list(self.lines),
            "safe": self.safe,
            "removes": list(self.removes),
            "discards": list(self.discards),
            "drift": list(self.drift),
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
        """The plan as people read it: what is taken away first, then each change."""
        taken = [*self.removes, *(line for change in self.changes for line in change.discards)]
        return "\n".join([*(f"- {line}" for line in taken), *(change.text() for change in self.changes)])

    @property
    def removes(self) -> list[str]:
        """Everything that is taken away, of all changes."""
        return [f"{line} is removed" for change in self.changes for line in change.removes]


def key_of(kind: str, name: str) -> str:
    """Under which name a file is kept as last applied."""
    return f"{kind}:{name}"


def file_text(document: Document) -> str:
    """A document as it is kept for the next three-way comparison."""
    return json.dumps(document.data, sort_keys=True)
