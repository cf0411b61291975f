"""Plans of what routes and experiments share: segments, layers and holdouts, as files and as last applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from router.bucketing import PPM
from router.change import Change, file_text, key_of
from router.document import Document
from router.errors import Problem
from router.files import KINDS, Files
from router.flag import Flag
from router.lanes import Holdout, Slice
from router.layers import allocate, owners
from router.population import HoldoutFile, LayerFile, SegmentFile
from router.rules import OPERATORS
from router.run import FINAL, plain_values

# What of a file may not change while a live run stands on it; the rest may.
FROZEN = {"layer": ("unit", "shuffle"), "holdout": ("unit", "share")}


class Population:
    """Segments, layers and holdouts: those last applied, and over them those of the files."""

    def __init__(self, applied: Mapping[str, str], runs: Mapping[str, dict[str, Any]], now: int) -> None:
        self.problems: list[Problem] = []
        self._applied = applied
        self._runs = dict(runs)
        self._now = now
        self._known: dict[str, dict[str, BaseModel]] = {"segment": {}, "layer": {}, "holdout": {}}
        for key, text in applied.items():
            kind, _, name = key.partition(":")
            if kind in self._known:
                self._known[kind][name] = KINDS[kind].model_validate(json.loads(text))

    def changes(self, files: Files) -> list[Change]:
        """One change for each segment, layer and holdout that is written in the files."""
        changes = []
        for kind, known in self._known.items():
            for name, (model, document) in files.of(kind).items():
                key, text = key_of(kind, name), file_text(document)
                before = known.get(name)
                action = "create" if before is None else "nothing" if before == model else "change"
                if before is not None:
                    self._frozen(kind, name, before, model, document)
                known[name] = model
                changes.append(Change(kind, name, action, _differences(before, model), key, text))
        return changes

    def _frozen(self, kind: str, name: str, before: BaseModel, model: BaseModel, document: Document) -> None:
        users = [
            run["run"]
            for run in self._runs.values()
            if run["state"] not in FINAL
            and name in (run["spec"].get("layer"), *run["spec"].get("holdouts", ()))
        ]
        for field in FROZEN.get(kind, ()):
            if users and getattr(before, field) != getattr(model, field):
                expected = f"{getattr(before, field)!r} while run {users[0]} stands on it"
                self.problems.append(document.problem((field,), expected, repr(getattr(model, field))))

    def with_segments(self, flag: Flag, document: Document | None) -> Flag:
        """The flag with the values of every segment that it names, as they stand now."""
        conditions = [one for rule in flag.rules for one in rule.when]
        conditions += [one for running in flag.experiments for one in running.audience]
        named = sorted({name for one in conditions if OPERATORS[one.op].names for name in one.values})
        segments = []
        for name in named:
            found = self._known["segment"].get(name)
            if isinstance(found, SegmentFile):
                segments.append((name, tuple(found.values)))
            elif document is not None:
                self.problems.append(document.problem((), "a segment that exists", repr(name)))
        return msgspec.structs.replace(flag, segments=tuple(segments))

    def part_of(
        self,
        spec: Mapping[str, Any],
        run: str,
        flag: Flag,
        superseded: Mapping[str, Any] | None,
        document: Document | None,
    ) -> tuple[tuple[Holdout, ...], Slice | None] | None:
        """What a new run gets of its holdouts and its layer; None, and a problem, when it cannot have it."""
        count = len(self.problems)
        holdouts = []
        for i, name in enumerate(spec.get("holdouts", ())):
            found = self._known["holdout"].get(name)
            if self._fits(found, ("holdouts", i), name, flag, document) and isinstance(found, HoldoutFile):
                holdouts.append(found.compiled())
        layer = self._slice(spec, run, flag, superseded, document) if "layer" in spec else None
        return (tuple(holdouts), layer) if len(self.problems) == count else None

    def _fits(
        self,
        found: BaseModel | None,
        path: tuple[str | int, ...],
        name: str,
        flag: Flag,
        document: Document | None,
    ) -> bool:
        """Whether a layer or a holdout exists and has the route's kind of unit."""
        unit = getattr(found, "unit", None)
        if unit == flag.unit.kind:
            return True
        expected = f"units of kind {flag.unit.kind}, as route {flag.route} has"
        self._refuse(document, path, expected, f"{name!r} of {unit}" if unit else f"no {name!r}")
        return False

    def _slice(
        self,
        spec: Mapping[str, Any],
        run: str,
        flag: Flag,
        superseded: Mapping[str, Any] | None,
        document: Document | None,
    ) -> Slice | None:
        name, share = spec["layer"], spec["layer_share"]
        found = self._known["layer"].get(name)
        if not self._fits(found, ("layer",), name, flag, document) or not isinstance(found, LayerFile):
            return None
        before = (superseded or {}).get("layer")
        others = {
            key: one for key, one in self._runs.items() if superseded is None or key != superseded["run"]
        }
        taken = owners(others, name, found.cooldown, self._now)
        ranges = allocate(taken, share)
        if (
            before
            and before["layer"] == name
            and sum(end - start for start, end in before["ranges"]) == share
        ):
            ranges = tuple((start, end) for start, end in before["ranges"])
        if ranges is None:
            resting = sum(one.end - one.start for one in taken if one.until is not None)
            left = PPM - sum(one.end - one.start for one in taken)
            hint = f"{resting / 10_000:g}% rests after ended experiments" if resting else ""
            expected = f"at most {left / 10_000:g}%, the free part of layer {name}"
            self._refuse(document, ("layer_share",), expected, f"{share / 10_000:g}%", hint)
            return None
        made = Slice(name, found.salt, ranges)
        self._runs[run] = {
            "run": run,
            "state": "held",
            "ended": None,
            "layer": plain_values(made),
            "spec": spec,
        }
        return made

    def _refuse(
        self,
        document: Document | None,
        path: tuple[str | int, ...],
        expected: str,
        found: str,
        hint: str = "",
    ) -> None:
        made = (
            document.problem(path, expected, found, hint)
            if document
            else Problem(str(path[0]), expected, found, hint)
        )
        self.problems.append(made)


def _differences(before: BaseModel | None, after: BaseModel) -> tuple[str, ...]:
    if before is None:
        return ()
    old, new = before.model_dump(), after.model_dump()
    return tuple(f"{key}: {old[key]} -> {new[key]}" for key in new if old[key] != new[key])
