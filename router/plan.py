"""The plan: what applying files would change, computed before anything is changed.

Three-way: what the file changed since it was last applied is applied; what the product changed since (a promoted
default arm, coverage) stays. So applying an unchanged file changes nothing, at any moment. Whatever would make old
evidence meaningless begins a new epoch, and the plan says what is discarded and which traffic moves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.document import Document
from router.errors import Problem, SpecError
from router.experiment import Experiment
from router.flag import Flag, RunningExperiment
from router.moves import moved
from router.ramp import step_at
from router.route import Route, flag_of
from router.run import FINAL, compares, new_run, prior_of, running_experiment

# What of a running experiment may change without a new epoch: nothing that its evidence depends on.
SAFE = frozenset({"ramp", "deadline_ms", "at_deadline"})


@dataclass(frozen=True, slots=True)
class Change:
    """One planned change.

    Attributes:
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


class Planner:
    """Plans against one state of the store: flags, run states, latest runs and files as last applied."""

    def __init__(
        self,
        flags: Mapping[str, Flag],
        runs: Mapping[str, dict[str, Any]],
        latest: Mapping[str, str],
        files: Mapping[str, str],
        now: int,
    ) -> None:
        self.flags = dict(flags)
        self.runs = runs
        self.latest = latest
        self.files = files
        self.now = now
        self.problems: list[Problem] = []
        self._restart: set[str] = set()

    def plan(
        self,
        routes: Mapping[str, tuple[Route, Document]],
        experiments: Mapping[str, tuple[Experiment, Document]],
    ) -> Plan:
        """Plan routes first, then the experiments on them.

        Raises:
            SpecError: files that cannot be applied to this state, all of them at once.
        """
        plan = Plan()
        for route, document in routes.values():
            plan.changes.append(self._route(route, document))
        for experiment, document in experiments.values():
            change = self._experiment(experiment, document)
            if change is not None:
                plan.changes.append(change)
        for name in sorted(self._restart - set(experiments)):
            plan.changes.append(self._restarted(name))
        if self.problems:
            raise SpecError(self.problems)
        return plan

    def _route(self, route: Route, document: Document) -> Change:
        name, text = route.route, file_text(document)
        key, wanted = key_of("route", name), flag_of(route)
        live = self.flags.get(name)
        if live is None:
            flag = wanted.with_revision(1)
            self.flags[name] = flag
            arms = ", ".join(f"{arm.name} ({arm.upstream})" for arm in flag.arms)
            return Change(
                "route", name, "create", (f"arms {arms}", f"default {flag.default}"), key, text, flag
            )
        before = self.files.get(key)
        behind = _behind(wanted.default, live.default)
        if before == text:
            return Change("route", name, "nothing", behind, key, text)
        old_default = json.loads(before)["default"] if before else live.default
        default = wanted.default if wanted.default != old_default else live.default
        lines = () if default == wanted.default else behind
        return self._changed_route(live, wanted, default, document, lines)

    def _changed_route(
        self, live: Flag, wanted: Flag, default: str, document: Document, lines: tuple[str, ...]
    ) -> Change:
        name = live.route
        if default not in {arm.name for arm in wanted.arms}:
            self.problems.append(
                document.problem(("arms",), f"the live default {default!r} among the arms", "none")
            )
            default = wanted.default
        running = live.experiments[0] if live.experiments else None
        merged = Flag(
            **{field_name: getattr(wanted, field_name) for field_name in wanted.__struct_fields__}
            | {
                "default": default,
                "revision": live.revision + 1,
                "epoch": live.epoch,
                "experiments": live.experiments,
                "enabled": live.enabled,
                "killed": live.killed,
            }
        )
        what = [*lines, *_route_differences(live, merged)]
        if running is not None:
            self._disturbs(live, merged, running, document, what)
        moves = moved(live, merged)
        self.flags[name] = merged
        return Change(
            "route",
            name,
            "change",
            tuple(what),
            key_of("route", name),
            file_text(document),
            merged,
            moves=moves,
        )

    def _disturbs(
        self, live: Flag, merged: Flag, running: RunningExperiment, document: Document, what: list[str]
    ) -> None:
        """A change of what is being compared: refused where it breaks the run, a new epoch where it restarts it."""
        present = {arm.name for arm in merged.arms}
        for lane in running.lanes:
            if lane.arm not in present:
                expected = f"arm {lane.arm!r}, which run {running.run} compares"
                self.problems.append(document.problem(("arms",), expected, "none", "roll the run back first"))
            elif merged.arm(lane.arm).identity != live.arm(lane.arm).identity:
                self._restart.add(running.experiment)
        if live.default != merged.default:
            expected = f"default {live.default!r} while run {running.run} lives"
            hint = "roll the run back, or promote it, first"
            self.problems.append(document.problem(("default",), expected, repr(merged.default), hint))
        if live.unit.kind != merged.unit.kind:
            self._restart.add(running.experiment)
        if running.experiment in self._restart:
            what.append(f"new epoch for {running.experiment}: its evidence restarts")

    def _experiment(self, experiment: Experiment, document: Document) -> Change | None:
        name, spec = experiment.experiment, experiment.spec()
        key, text = key_of("experiment", name), file_text(document)
        last = self.runs.get(self.latest.get(name, ""))
        restart = name in self._restart
        if last is not None and not restart:
            live = last["state"] not in FINAL
            # The files' own texts come first: a default that a newer version changed restarts no run.
            if (self.files.get(key) == text or last["spec"] == spec) and last["state"] != "superseded":
                said = f"run {last['run']} is {last['state']}"
                if not live:
                    said += f"; 'attempt: {last['attempt'] + 1}' starts another"
                return Change("experiment", name, "nothing", (said,), key, text)
            if (
                live
                and {k for k in spec if spec[k] != last["spec"].get(k)} <= SAFE
                and spec["lanes"] == last["spec"]["lanes"]
            ):
                run = self._continued(last, spec, document)
                lines = ("ramp or deadline change within the epoch; evidence stays",)
                return Change("experiment", name, "change", lines, key, text, run=run)
            if not live and last["state"] != "superseded" and spec["attempt"] <= last["attempt"]:
                expected = f"attempt: {last['attempt'] + 1} to start again after {last['state']}"
                self.problems.append(document.problem(("attempt",), expected, f"attempt {spec['attempt']}"))
                return None
        flag = self._startable(experiment, document, last)
        return None if flag is None else self._start(spec, key, text, flag, last)

    def _continued(self, last: dict[str, Any], spec: dict[str, Any], document: Document) -> dict[str, Any]:
        """A live run under a ramp or deadline of its own: it stands on the step whose coverage is live."""
        step = last["step"]
        if step >= 0:
            live = last["spec"]["ramp"][step]
            found = step_at(spec["ramp"], live["coverage"])
            if found is None:
                expected = (
                    f"a ramp with a step of {live['traffic'] / 10_000:g}%, where run {last['run']} stands"
                )
                shares = ", ".join(f"{one['traffic'] / 10_000:g}%" for one in spec["ramp"])
                self.problems.append(document.problem(("ramp",), expected, shares))
            step = step if found is None else found
        return {**last, "spec": spec, "step": step, "version": last["version"] + 1}

    def _startable(
        self, experiment: Experiment, document: Document, last: dict[str, Any] | None
    ) -> Flag | None:
        flag = self.flags.get(experiment.route)
        if flag is None:
            return None  # parse_documents has said so
        arms = {arm.name for arm in flag.arms}
        for role in ("control", "treatment"):
            if getattr(experiment, role) not in arms:
                expected = f"one of the route's arms {', '.join(sorted(arms))}"
                self.problems.append(document.problem((role,), expected, repr(getattr(experiment, role))))
                return None
        others = [one for one in flag.experiments if one.experiment != experiment.experiment]
        if others:
            expected = f"a route without another experiment; {others[0].experiment} runs on it"
            self.problems.append(document.problem(("route",), expected, repr(experiment.route)))
            return None
        if experiment.control != flag.default:
            expected = f"control {flag.default!r}, the route's live default"
            self.problems.append(document.problem(("control",), expected, repr(experiment.control)))
            return None
        return flag

    def _start(
        self, spec: dict[str, Any], key: str, text: str, flag: Flag, last: dict[str, Any] | None
    ) -> Change:
        superseded: dict[str, Any] | None = None
        discarded: tuple[str, ...] = ()
        if last is not None and last["state"] not in FINAL:
            superseded = {**last, "state": "superseded", "ended": self.now, "version": last["version"] + 1}
            superseded["reason"] = "the file changed what is compared"
            flag = flag.with_revision(flag.revision)
            discarded = (f"run {last['run']} is superseded; {_units(last)} of evidence are discarded",)
        run = new_run(spec, flag.epoch + 1, self.now) | {"compares": compares(flag, spec)}
        ended = {superseded["run"]: superseded} if superseded is not None else {}
        run["prior"] = prior_of(run, {**self.runs, **ended}.values())
        before = self.flags[flag.route]
        kept = flag.without_experiment(last["run"]) if last is not None else flag
        started = kept.with_experiment(running_experiment(spec, run["run"], run["epoch"]))
        started = started.with_revision(before.revision + 1)
        self.flags[flag.route] = started
        first = spec["ramp"][0]["traffic"] / 10_000
        lines = (
            f"run {run['run']}: {spec['control']} against {spec['treatment']}, held until the treatment is ready",
            f"first step {first:g} % of traffic, {len(spec['ramp'])} steps",
            *discarded,
            *(("promotion goes on from the evidence of earlier attempts",) if run["prior"] else ()),
        )
        action = "restart" if superseded else "start"
        return Change("experiment", spec["experiment"], action, lines, key, text, started, run, superseded)

    def _restarted(self, name: str) -> Change:
        last = self.runs[self.latest[name]]
        key = key_of("experiment", name)
        return self._start(last["spec"], key, self.files.get(key, ""), self.flags[last["route"]], last)


def _units(run: Mapping[str, Any]) -> str:
    units = (run.get("evidence") or {}).get("units", {})
    return f"{sum(row['exposed'] for row in units.values()):,} units"


def _behind(file_default: str, live_default: str) -> tuple[str, ...]:
    if file_default == live_default:
        return ()
    return (
        f"file behind: default {file_default}, live {live_default}",
        f"patch: -default: {file_default}  +default: {live_default}",
    )


def _route_differences(old: Flag, new: Flag) -> list[str]:
    lines = []
    for name in ("match", "unit", "default", "expose", "first_byte_timeout_ms", "total_timeout_ms"):
        if getattr(old, name) != getattr(new, name):
            lines.append(f"{name}: {getattr(old, name)} -> {getattr(new, name)}")
    before, after = ({arm.name: arm.upstream for arm in flag.arms} for flag in (old, new))
    lines += [
        f"arm {arm}: {before.get(arm, 'none')} -> {after.get(arm, 'none')}"
        for arm in sorted({*before, *after})
        if before.get(arm) != after.get(arm)
    ]
    return lines
