"""The plan: what applying files would change, computed before anything is changed.

Three-way: what the file changed since it was last applied is applied; what the product changed since (a promoted
default arm, coverage, kill switches) stays. So applying an unchanged file changes nothing, at any moment. Whatever would
make old evidence meaningless begins a new epoch, and the plan says what is discarded and which traffic moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.change import Change, Plan, file_text, key_of
from router.conditions import strangers
from router.deletion import begun_again
from router.document import Document
from router.drift import as_applied, drift_lines, merged, rebuilt
from router.errors import Problem, SpecError
from router.experiment import Experiment
from router.files import Files
from router.flag import Flag
from router.moves import moved
from router.plan_lines import discarded, route_differences, route_removals, start_lines
from router.plan_population import Population
from router.prerequisites import prerequisites
from router.ramp import step_at
from router.roll import rolled_by_file
from router.route import Route, flag_of
from router.run import FINAL, compares, new_run, plain_values, prior_of, running_experiment

# What of a running experiment may change without a new epoch: nothing that its evidence depends on.
SAFE = frozenset({"ramp", "deadline_ms", "at_deadline", "schedule"})
# Fields of a flag that decide who can be enrolled: changed during a run they begin a new epoch.
WHO = ("rules", "requires", "attributes", "segments", "algorithm")
# Entries of the audit log about a route, newest first.
Audit = Callable[[str], Sequence[Mapping[str, Any]]]


class Planner:
    """Plans against one state of the store: flags, run states, latest runs and files as last applied."""

    def __init__(
        self,
        flags: Mapping[str, Flag],
        runs: Mapping[str, dict[str, Any]],
        latest: Mapping[str, str],
        files: Mapping[str, str],
        now: int,
        audit: Audit = lambda route: (),
        deleted: Mapping[str, Flag] = MappingProxyType({}),
    ) -> None:
        self.audit = audit
        self.deleted = deleted
        self.flags = dict(flags)
        self.runs = dict(runs)
        self.latest = latest
        self.files = files
        self.now = now
        self.problems: list[Problem] = []
        self.population = Population(files, runs, now)
        self._restart: set[str] = set()
        self._rolls: dict[str, list[str]] = {}

    def plan(self, files: Files) -> Plan:
        """Plan what is shared first, then routes, then the experiments on them.

        Raises:
            SpecError: files that cannot be applied to this state, all of them at once.
        """
        plan = Plan(self.population.changes(files))
        for route, document in files.routes.values():
            plan.changes.append(self._route(route, document))
        plan.changes += self._segments_elsewhere(set(files.routes))
        plan.changes += [self._rolled(name) for name in sorted(self._rolls.keys() - self._restart)]
        for experiment, document in files.experiments.values():
            change = self._experiment(experiment, document)
            if change is not None:
                plan.changes.append(change)
        restart = self._restart - set(files.experiments) if not self.problems else ()
        for name in sorted(restart):
            plan.changes += self._restarted(name)
        self.problems += [*self.population.problems, *prerequisites(self.flags, files)]
        if self.problems:
            raise SpecError(self.problems)
        return plan

    def _route(self, route: Route, document: Document) -> Change:
        name, key, text = route.route, key_of("route", route.route), file_text(document)
        wanted = self.population.with_segments(flag_of(route), document).with_schedule_at(self.now)
        live = self.flags.get(name)
        if live is None:
            flag = begun_again(wanted, self.deleted.get(name))
            self.flags[name] = flag
            arms = ", ".join(f"{arm.name} ({arm.upstream})" for arm in flag.arms)
            lines = (f"arms {arms}", f"default {flag.default}")
            return Change("route", name, "create", lines, key, text, flag)
        base = as_applied(self.files.get(key), self.now)
        flag = self.population.with_segments(merged(base, wanted, live), document)
        drift = self._drift(wanted, flag)
        if flag.default not in {arm.name for arm in flag.arms}:
            expected = f"the live default {live.default!r} among the arms"
            self.problems.append(document.problem(("arms",), expected, "none"))
            return Change("route", name, "nothing", (), key, text)
        if flag == live:
            return Change("route", name, "nothing", (), key, text, drift=drift)
        return self._changed_route(live, flag, text, document, drift)

    def _drift(self, wanted: Flag, flag: Flag) -> tuple[str, ...]:
        """What stays and is not in the file, by whose act; the log is asked only where something is."""
        return drift_lines(wanted, flag, self.audit(flag.route)) if drift_lines(wanted, flag, ()) else ()

    def _changed_route(
        self, live: Flag, flag: Flag, text: str, document: Document | None, drift: tuple[str, ...] = ()
    ) -> Change:
        killed = tuple(arm for arm in flag.killed if arm in {one.name for one in flag.arms})
        flag = msgspec.structs.replace(flag, killed=killed, revision=live.revision + 1)
        what = route_differences(live, flag)
        for running in live.experiments:
            self._disturbs(live, flag, running.experiment, document, what)
        self.flags[live.route] = flag
        return Change(
            "route", live.route, "change", tuple(what), key_of("route", live.route), text, flag, moves=moved(live, flag),
            removes=route_removals(live, flag), drift=drift,
        )  # fmt: skip

    def _segments_elsewhere(self, planned: set[str]) -> Iterator[Change]:
        """Routes whose files are not here, but whose segments change."""
        for route, live in sorted(self.flags.items()):
            flag = self.population.with_segments(live, None)
            if route not in planned and flag.segments != live.segments:
                yield self._changed_route(live, flag, self.files.get(key_of("route", route), ""), None)

    def _disturbs(
        self, live: Flag, merged: Flag, name: str, document: Document | None, what: list[str]
    ) -> None:
        """A change of what is being compared: refused where it breaks the run, a new epoch where it restarts it."""
        (running,) = (one for one in live.experiments if one.experiment == name)
        present = {arm.name for arm in merged.arms}
        for lane in running.lanes:
            if lane.arm not in present:
                expected = f"arm {lane.arm!r}, which run {running.run} compares"
                self._refuse(document, "arms", expected, "none", "roll the run back first")
            elif rebuilt(live.arm(lane.arm), merged.arm(lane.arm)):
                self._rolls.setdefault(name, []).append(lane.arm)
            elif merged.arm(lane.arm).identity != live.arm(lane.arm).identity:
                self._restart.add(name)
        if live.default != merged.default:
            expected = f"default {live.default!r} while run {running.run} lives"
            hint = "roll the run back, or promote it, first"
            self._refuse(document, "default", expected, repr(merged.default), hint)
        if live.unit.kind != merged.unit.kind or any(
            getattr(live, one) != getattr(merged, one) for one in WHO
        ):
            self._restart.add(name)
        if name in self._restart:
            what.append(f"new epoch for {name}: its evidence restarts")

    def _rolled(self, name: str) -> Change:
        """A live run of which the route's file declares another build: a new stratum of the same comparison."""
        run, key = self.runs[self.latest[name]], key_of("experiment", name)
        run, lines = rolled_by_file(run, self.flags[run["route"]], self._rolls[name], self.now)
        self.runs[run["run"]] = run
        return Change("experiment", name, "roll", lines, key, self.files.get(key, ""), run=run)

    def _refuse(self, document: Document | None, key: str, expected: str, found: str, hint: str = "") -> None:
        where = (
            document.problem((key,), expected, found, hint)
            if document
            else Problem(key, expected, found, hint)
        )
        self.problems.append(where)

    def _experiment(self, experiment: Experiment, document: Document) -> Change | None:
        name, spec = experiment.experiment, experiment.spec()
        key, text = key_of("experiment", name), file_text(document)
        last = self.runs.get(self.latest.get(name, ""))
        if last is not None and name not in self._restart:
            live = last["state"] not in FINAL
            # The files' own texts come first: a default that a newer version changed restarts no run.
            if (self.files.get(key) == text or last["spec"] == spec) and last["state"] != "superseded":
                said = f"run {last['run']} is {last['state']}"
                if not live:
                    said += f"; 'attempt: {last['attempt'] + 1}' starts another"
                return Change("experiment", name, "nothing", (said,), key, text)
            differing = {k for k in {*spec, *last["spec"]} if spec.get(k) != last["spec"].get(k)}
            if live and differing <= SAFE:
                run = self._continued(last, spec, document)
                lines = ("ramp, deadline or schedule change within the epoch; evidence stays",)
                # Routing stays as it is, but whoever read the route before must be able to tell.
                read = self.flags[run["route"]]
                self.flags[read.route] = read.with_revision(read.revision + 1)
                return Change("experiment", name, "change", lines, key, text, self.flags[read.route], run)
            if not live and last["state"] != "superseded" and spec["attempt"] <= last["attempt"]:
                expected = f"attempt: {last['attempt'] + 1} to start again after {last['state']}"
                self._refuse(document, "attempt", expected, f"attempt {spec['attempt']}")
                return None
        flag = self._startable(experiment, document)
        return None if flag is None else self._start(spec, key, text, flag, last, document)

    def _continued(self, last: dict[str, Any], spec: dict[str, Any], document: Document) -> dict[str, Any]:
        """A live run under a ramp, deadline or schedule of its own: it stands on the step whose coverage is live."""
        step = last["step"]
        if step >= 0:
            live = last["spec"]["ramp"][step]
            found = step_at(spec["ramp"], live["coverage"])
            if found is None:
                expected = (
                    f"a ramp with a step of {live['traffic'] / 10_000:g}%, where run {last['run']} stands"
                )
                shares = ", ".join(f"{one['traffic'] / 10_000:g}%" for one in spec["ramp"])
                self._refuse(document, "ramp", expected, shares)
            step = step if found is None else found
        return {**last, "spec": spec, "step": step, "version": last["version"] + 1}

    def _startable(self, experiment: Experiment, document: Document) -> Flag | None:
        flag = self.flags.get(experiment.route)
        if flag is None:
            return None  # parse_documents has said so
        arms = {arm.name for arm in flag.arms}
        for role in ("control", "treatment"):
            arm = getattr(experiment, role)
            if arm not in arms:
                self._refuse(document, role, f"one of the route's arms {', '.join(sorted(arms))}", repr(arm))
                return None
        attributes = {attribute for attribute, _, _ in flag.attributes}
        for path, *rest in strangers(experiment.audience or [], attributes, None):
            self.problems.append(document.problem(("audience", *path), *rest))
        others = [one for one in flag.experiments if one.experiment != experiment.experiment]
        apart = [
            one
            for one in others
            if experiment.layer is None or one.layer is None or one.layer.layer != experiment.layer
        ]
        if apart:
            expected = (
                f"a route without another experiment, or one layer with it; {apart[0].experiment} runs on it"
            )
            self._refuse(document, "route", expected, repr(experiment.route))
            return None
        if experiment.sticky and flag.match is None:
            where = document.problem(
                ("sticky",), "a route that gateways serve", f"{flag.route} without match"
            )
            self.problems.append(where)
            return None
        if experiment.schedule and (experiment.schedule.compiled().end_ms or self.now + 1) <= self.now:
            where = document.problem(("schedule", "end"), "an end to come", repr(experiment.schedule.end))
            self.problems.append(where)
            return None
        if experiment.control != flag.default:
            expected = f"control {flag.default!r}, the route's live default"
            self._refuse(document, "control", expected, repr(experiment.control))
            return None
        return flag

    def _start(
        self,
        spec: dict[str, Any],
        key: str,
        text: str,
        flag: Flag,
        last: dict[str, Any] | None,
        document: Document | None,
    ) -> Change | None:
        superseded = None if last is None else self._superseded(last)
        run = new_run(spec, flag.epoch + 1, self.now) | {"compares": compares(flag, spec)}
        runs = self.runs if superseded is None else {**self.runs, superseded["run"]: superseded}
        run["prior"] = prior_of(run, runs.values())
        part = self.population.part_of(spec, run["run"], flag, superseded, document)
        if part is None:
            return None
        holdouts, layer = part
        if layer is not None:
            run["layer"] = plain_values(layer)
        kept = flag.without_experiment(last["run"]) if last is not None else flag
        started = kept.with_experiment(running_experiment(spec, run["run"], run["epoch"], holdouts, layer))
        started = self.population.with_segments(started, document).with_revision(flag.revision + 1)
        moves = moved(flag, started)
        self.flags[flag.route] = started
        return Change(
            "experiment",
            spec["experiment"],
            "restart" if superseded else "start",
            start_lines(run, layer),
            key,
            text,
            started,
            run,
            superseded,
            moves,
            discards=(discarded(superseded),) if superseded else (),
        )

    def _superseded(self, last: dict[str, Any]) -> dict[str, Any] | None:
        """A live run as it is when another one takes its place; None for one that has ended."""
        if last["state"] in FINAL:
            return None
        ended = {"state": "superseded", "ended": self.now, "reason": "the file changed what is compared"}
        return {**last, **ended, "version": last["version"] + 1}

    def _restarted(self, name: str) -> list[Change]:
        last = self.runs[self.latest[name]]
        key = key_of("experiment", name)
        change = self._start(
            last["spec"], key, self.files.get(key, ""), self.flags[last["route"]], last, None
        )
        return [change] if change else []
