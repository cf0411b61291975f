"""Applying files again: what the file changed is applied, what the product changed stays, and the plan says so."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from router.change import Change
from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Flag
from router.plan import Planner

NOW = 1_000_000
ROUTE = """
route: web
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://h:1"}, v2: {upstream: "http://h:2"}, v3: {upstream: "http://h:3"}}
default: v1
"""
EXPERIMENT = """
experiment: e
route: web
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 2 pp}
ramp: [5%, 25%]
"""


@dataclass
class Store:
    """A store in memory."""

    flags: dict[str, Flag] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def plan(self, *texts: str) -> list[Change]:
        documents = [document for text in texts for document in load(text, "f.yaml")]
        planner = Planner(self.flags, self.runs, self.latest, self.files, NOW)
        return planner.plan(parse_documents(documents, {"route": self.flags})).changes

    def apply(self, *texts: str) -> list[Change]:
        changes = self.plan(*texts)
        for change in changes:
            self.files[change.file_key] = change.file_text
            if change.flag is not None:
                self.flags[change.flag.route] = change.flag
            if change.run is not None:
                self.runs[change.run["run"]] = change.run
                self.latest[change.run["experiment"]] = change.run["run"]
        return changes

    def end(self, state: str, default: str) -> None:
        """The product's own change: the run is over, and its route has this default."""
        run = self.runs[self.latest["e"]]
        flag = self.flags["web"].without_experiment(run["run"]).with_default(default)
        self.flags["web"] = flag.with_revision(flag.revision + 1)
        self.runs[run["run"]] = {**run, "state": state}


@pytest.fixture
def store() -> Store:
    made = Store()
    made.apply(ROUTE, EXPERIMENT)
    return made


def refusal(store: Store, *texts: str) -> str:
    with pytest.raises(SpecError) as problem:
        store.plan(*texts)
    return str(problem.value)


def test_unchanged_files_change_nothing_at_any_moment(store: Store) -> None:
    assert [change.action for change in store.plan(ROUTE, EXPERIMENT)] == ["nothing", "nothing"]
    store.end("promoted", "v2")
    route, experiment = store.plan(ROUTE, EXPERIMENT)
    assert (route.action, route.flag) == ("nothing", None)
    assert route.drift == (
        "file behind: default v1, live v2, by whom the audit log no longer tells",
        "patch: -default: v1  +default: v2",
    )
    assert (experiment.action, experiment.lines) == (
        "nothing",
        ("run e.1 is promoted; 'attempt: 2' starts another",),
    )


def test_another_change_of_the_file_leaves_the_promoted_default(store: Store) -> None:
    store.end("promoted", "v2")
    (change,) = store.apply(ROUTE.replace("http://h:3", "http://h:33"))
    assert change.flag is not None
    assert (change.action, change.flag.default) == ("change", "v2")
    assert change.drift[0].startswith("file behind: default v1, live v2")
    assert change.flag.arm("v3").upstream == "http://h:33"


@pytest.mark.parametrize("wanted", ["v2", "v3"])
def test_a_default_that_the_file_changes_is_applied(store: Store, wanted: str) -> None:
    store.end("promoted", "v2")
    (change,) = store.apply(ROUTE.replace("default: v1", f"default: {wanted}"))
    assert store.flags["web"].default == wanted
    assert change.drift == ()
    assert [row.action for row in store.plan(ROUTE.replace("default: v1", f"default: {wanted}"))] == [
        "nothing"
    ]


def test_a_default_changed_and_changed_back_is_applied_both_times(store: Store) -> None:
    store.end("rolled_back", "v1")
    for default in ("v3", "v1"):
        (change,) = store.apply(ROUTE.replace("default: v1", f"default: {default}"))
        assert change.flag is not None
        assert change.flag.default == default


def test_the_live_default_cannot_leave_the_arms(store: Store) -> None:
    store.end("promoted", "v2")
    without = ROUTE.replace(', v2: {upstream: "http://h:2"}', "")
    assert "arms: expected the live default 'v2' among the arms" in refusal(store, without)


def test_a_file_read_by_a_newer_version_with_other_defaults_restarts_nothing(store: Store) -> None:
    """What an unwritten key means may change between versions; a run keeps what it began with."""
    run = store.runs["e.1"]
    older = json.loads(json.dumps(run["spec"]))
    older["metrics"][0] |= {"grace_ms": 1, "tolerance": 0.5}
    store.runs["e.1"] = {**run, "spec": older}
    assert [change.action for change in store.plan(EXPERIMENT)] == ["nothing"]
    (changed,) = store.plan(EXPERIMENT + "deadline: 1 d")
    assert changed.action == "restart"


def test_an_ended_experiment_starts_again_only_by_another_attempt(store: Store) -> None:
    store.end("rolled_back", "v1")
    changed = EXPERIMENT.replace("2 pp", "3 pp")
    assert "expected attempt: 2 to start again after rolled_back, found attempt 1" in refusal(store, changed)
    (change,) = store.apply(EXPERIMENT + "attempt: 2")
    assert change.run is not None
    assert (change.action, change.run["attempt"], change.run["run"], change.run["epoch"]) == (
        "start",
        2,
        "e.2",
        2,
    )


def test_what_is_done_at_the_deadline_may_change_while_the_run_lives(store: Store) -> None:
    assert store.runs["e.1"]["spec"]["at_deadline"] == "hold"
    before = store.flags["web"]
    (change,) = store.apply(EXPERIMENT + "deadline: 1 d\nat_deadline: rollback")
    assert change.run is not None
    assert (change.action, change.run["run"]) == ("change", "e.1")
    assert change.flag == before.with_revision(before.revision + 1)
    assert (change.run["spec"]["at_deadline"], change.run["spec"]["deadline_ms"]) == ("rollback", 86_400_000)
