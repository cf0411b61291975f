"""An earlier revision made the present one; and all that is applied, written out as files again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from router.document import dump
from router.errors import Problem, SpecError
from router.files import KINDS
from router.flag import Flag
from router.plan import WHO
from router.run import FINAL

# What the product changes on its own, so that it stays.
LIVE_FIELDS = ("epoch", "experiments", "kill", "killed")


def restored(live: Flag, kept: Flag) -> Flag:
    """The flag as it was at an earlier revision, as the revision after the present one.

    Running experiments, kill switches and the count of epochs stay as they are: they are no part of what people wrote.

    Raises:
        SpecError: a run would be disturbed by it.
    """
    if live.experiments:
        _disturbs(live, kept)
    own = {field: getattr(live, field) for field in LIVE_FIELDS}
    arms = {arm.name for arm in kept.arms}
    own["killed"] = tuple(arm for arm in live.killed if arm in arms)
    flag = msgspec.structs.replace(kept, **own, revision=live.revision + 1).with_units_forgotten()
    flag.check()
    return flag


def _disturbs(live: Flag, kept: Flag) -> None:
    names = {lane.arm for running in live.experiments for lane in running.lanes}
    present = {arm.name: arm.identity for arm in kept.arms}
    changed = [name for name in ("default", "unit", *WHO) if getattr(live, name) != getattr(kept, name)]
    changed += [f"arms.{name}" for name in sorted(names) if present.get(name) != live.arm(name).identity]
    if changed:
        run = live.experiments[0].run
        hint = f"revision {kept.revision} has others: roll the run back first"
        raise SpecError([Problem(name, f"what run {run} compares", "a change", hint) for name in changed])


def exported(
    files: Mapping[str, str], flags: Mapping[str, Flag], runs: Mapping[str, Any], latest: Mapping[str, str]
) -> str:
    """Everything that is applied, as files: shared things, routes with their live default arm, experiments that live.

    Applied where it comes from it changes nothing; applied to an empty store it makes the same routes and starts the
    same experiments anew.
    """
    parts = []
    for kind in KINDS:
        for key, text in sorted(files.items()):
            if key.partition(":")[0] != kind or not text:
                continue
            document = json.loads(text)
            name = document[kind]
            if kind == "route":
                if name not in flags:
                    continue  # deleted
                document["default"] = flags[name].default
            if kind == "experiment" and runs.get(latest.get(name, ""), {}).get("state", "ended") in FINAL:
                continue
            parts.append(dump({kind: name, **document}))
    return "---\n".join(parts)
