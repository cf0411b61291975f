"""A store in memory, to which files are planned and applied without Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.change import Plan
from router.document import load
from router.errors import SpecError
from router.files import KINDS, parse_documents
from router.flag import Flag
from router.plan import Planner

NOW = 1_800_000_000_000


class World:
    """A store in memory: plans are made against it and applied to it."""

    def __init__(self) -> None:
        self.flags: dict[str, Flag] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.latest: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.gone: dict[str, Flag] = {}

    def plan(self, *texts: str, now: int = NOW) -> Plan:
        known: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for key in self.files:
            known[key.partition(":")[0]].append(key.partition(":")[2])
        files = parse_documents(load("---".join(texts), "files.yaml"), known)
        planner = Planner(self.flags, self.runs, self.latest, self.files, now, deleted=self.gone)
        return planner.plan(files)

    def apply(self, *texts: str, now: int = NOW) -> Plan:
        plan = self.plan(*texts, now=now)
        for change in plan.changes:
            for run in (change.superseded, change.run):
                if run is not None:
                    self.runs[run["run"]] = json.loads(json.dumps(run))
                    self.latest[run["experiment"]] = run["run"]
            if change.flag is not None:
                before = self.flags.get(change.flag.route) or self.gone.get(change.flag.route)
                assert change.flag.revision == getattr(before, "revision", 0) + 1
                self.flags[change.flag.route] = Flag.parse(change.flag.encode())
            self.files[change.file_key] = change.file_text
        return plan

    def end(self, run: str, now: int = NOW) -> None:
        self.runs[run] |= {"state": "rolled_back", "ended": now}
        flag = self.flags["web"]
        self.flags["web"] = flag.without_experiment(run).with_revision(flag.revision + 1)


def actions(plan: Plan) -> list[tuple[str, str]]:
    return [(change.name, change.action) for change in plan.changes]


def refused(world: World, *texts: str, now: int = NOW) -> str:
    with pytest.raises(SpecError) as caught:
        world.plan(*texts, now=now)
    return str(caught.value)
