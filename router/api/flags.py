"""Flags as they stand: why a unit gets its arm, how many are dealt how, kill switches, forced arms, layers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import Field

from router.api.apply import audit_entry
from router.api.bodies import Body, read_body
from router.api.experiments import flag_of, run_of
from router.api.plane import Plane, plane
from router.assignment import CompiledExperiment, CompiledFlag, Make
from router.change import key_of
from router.errors import Problem, SpecError, StaleRevision, UnknownName, nearest
from router.explain import StatedFacts, explain, simulate
from router.flag import Flag
from router.lanes import RunningExperiment
from router.layers import free, overlaps, owners
from router.moves import moved
from router.population import LayerFile
from router.quantity import Unreadable, duration_ms
from router.restore import exported, restored
from router.rules import Values
from router.sticky import Remembers, making
from router.store.flags import Change
from router.store.sticky import Memory

WRITES_TRIED = 3
MOST_UNITS = 100_000
LONGEST_FORCE_MS = 7 * 86_400_000
SWITCHES = {"kill": True, "unkill": False}

views = Blueprint("flags", __name__)


class SwitchBody(Body):
    """Who throws a kill switch, why, and of which arm; without one, of the whole flag."""

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    arm: str | None = None


class ForceBody(Body):
    """For whom and for how long a forced arm is made."""

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    arm: str
    time: str = "1 h"


class RollbackBody(Body):
    """Who brings back which revision, and why."""

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    to: int


class SimulateBody(Body):
    """Units, and the attributes that all of them have."""

    units: list[str] = Field(min_length=1, max_length=MOST_UNITS)
    attributes: dict[str, str | list[str]] = {}


@views.get("/v1/explain")
def why() -> Response:
    """Which arm a unit gets, step by step; ``attr.NAME=value`` states an attribute, repeated it is a list."""
    unit, name = request.args.get("unit"), request.args.get("route")
    if name is None and "experiment" in request.args:
        name = run_of(plane(), request.args["experiment"])["route"]
    if name is None:
        raise SpecError([Problem("route", "a route, or an experiment", "neither")])
    flag = flag_of(plane(), name)
    stated = {
        key.removeprefix("attr."): tuple(values)
        for key, values in request.args.lists()
        if key.startswith("attr.")
    }
    _declared(flag, stated)
    return jsonify(explained(flag, unit, stated, plane().flags.flags(), making(_remembered)))


def _remembered(experiment: RunningExperiment) -> Remembers:
    """What gateways remember of a sticky run's units, asked of the store unit by unit."""
    here, memory = plane(), Memory(experiment.run, int(experiment.sticky or 0))
    return lambda unit: here.sticky.has(memory, here.digest(unit))


def _declared(flag: Flag, stated: dict[str, tuple[str, ...]]) -> None:
    known = [name for name, _, _ in flag.attributes]
    strange = [
        Problem(f"attributes.{name}", f"an attribute of {flag.route}", repr(name), nearest(name, known))
        for name in stated
        if name not in known
    ]
    if strange:
        raise SpecError(strange)


def explained(
    flag: Flag,
    unit: str | None,
    attributes: dict[str, tuple[str, ...]] | None = None,
    flags: Mapping[str, CompiledFlag] | None = None,
    make: Make = CompiledExperiment,
) -> dict[str, Any]:
    """The assignment of a unit with every step that led to it; an empty unit is no unit."""
    octets = unit.encode() if unit else None
    stated: dict[str, Values] = dict(attributes or {})
    facts = StatedFacts(stated, flags, octets)
    found = CompiledFlag(flag, make=make).assign(octets, facts)
    return {
        "route": flag.route,
        "revision": flag.revision,
        "algorithm": flag.algorithm,
        "unit": unit,
        "arm": found.arm,
        "reason": found.reason.value,
        "rule": found.rule,
        "run": found.run,
        "bucket": found.bucket,
        "analysed": found.arm_index >= 0,
        "steps": explain(flag, octets, facts, make),
    }


@views.post("/v1/routes/<route>/simulate")
def simulated(route: str) -> Response:
    """How a list of units is dealt now; nothing is recorded."""
    body, flag = read_body(SimulateBody), flag_of(plane(), route)
    stated = {
        name: tuple(value) if isinstance(value, list) else (value,) for name, value in body.attributes.items()
    }
    _declared(flag, stated)
    dealt = simulate(flag, body.units, stated, plane().flags.flags())
    return jsonify({"route": route, "revision": flag.revision, **dealt})


@views.get("/v1/routes/<route>/revisions")
def revisions(route: str) -> Response:
    """The revisions of a route that are kept, newest first."""
    rows = [
        {"revision": number, "digest": flag.digest(), "default": flag.default, "flag": flag.document()}
        for number, flag in sorted(plane().store.revisions(route).items(), reverse=True)
    ]
    if not rows:
        flag_of(plane(), route)  # says that there is none
    return jsonify({"route": route, "revisions": rows})


@views.post("/v1/routes/<route>/rollback")
def rolled_back(route: str) -> Response:
    """An earlier revision of a flag made the present one."""
    here, body = plane(), read_body(RollbackBody)
    gone = here.store.deleted(route)
    live, kept = gone or flag_of(here, route), here.store.revisions(route)
    if body.to not in kept:
        raise UnknownName(f"kept revision of {route}", str(body.to), [str(number) for number in kept])
    wanted = restored(live, kept[body.to])
    moves = moved(live, wanted) if gone is None else []
    entry = audit_entry(here, body.actor, "rollback-flag", body.reason, route, None, old=live, new=wanted)
    here.store.commit(Change(entry, wanted))
    here.counts.acts.labels("rollback-flag").inc()
    shown = [{"from": old, "to": new, "ppm": ppm} for old, new, ppm in moves]
    return jsonify({"route": route, "revision": wanted.revision, "restored": body.to, "moves": shown})


@views.get("/v1/export")
def export() -> Response:
    """Everything that is applied, as files that ``apply`` takes back unchanged."""
    live = plane().store.live()
    return jsonify({"text": exported(live.files, live.flags, live.runs, live.latest)})


@views.post("/v1/routes/<route>/<act>")
def switch(route: str, act: str) -> Response:
    """Throw a kill switch, or throw it back."""
    if act not in SWITCHES:
        raise UnknownName("act", act, (*SWITCHES, "force", "simulate", "rollback"))
    body = read_body(SwitchBody)
    for _ in range(WRITES_TRIED):
        with contextlib.suppress(StaleRevision):
            return jsonify(_switch(plane(), route, act, body))
    return jsonify(_switch(plane(), route, act, body))


def _switch(here: Plane, route: str, act: str, body: SwitchBody) -> dict[str, Any]:
    flag = flag_of(here, route)
    _an_arm(flag, body.arm)
    on = SWITCHES[act]
    if on and body.arm == flag.default:
        hint = "make another arm the default first, or kill the whole flag"
        raise SpecError([Problem("arm", "an arm other than the default", repr(body.arm), hint)])
    wanted = flag.with_kill(body.arm, on=on)
    if wanted != flag:
        wanted = wanted.with_revision(flag.revision + 1).with_units_forgotten()
        entry = audit_entry(here, body.actor, act, body.reason, route, None, old=flag, new=wanted)
        here.store.commit(Change(entry, wanted))
        here.counts.acts.labels(act).inc()
    return {"route": route, "revision": wanted.revision, "kill": wanted.kill, "killed": list(wanted.killed)}


def _an_arm(flag: Flag, name: str | None) -> None:
    arms = [arm.name for arm in flag.arms]
    if name is not None and name not in arms:
        raise UnknownName(f"arm of {flag.route}", name, arms)


@views.post("/v1/routes/<route>/force")
def force(route: str) -> Response:
    """A signed word that forces an arm for a while."""
    here, body = plane(), read_body(ForceBody)
    flag = flag_of(here, route)
    _an_arm(flag, body.arm)
    try:
        lasts = duration_ms(body.time)
    except Unreadable as problem:
        raise SpecError([Problem("time", problem.expected, problem.found)]) from problem
    if not 0 < lasts <= LONGEST_FORCE_MS:
        raise SpecError([Problem("time", "at most 7 d", repr(body.time))])
    until = here.now() + lasts
    entry = audit_entry(
        here, body.actor, "force", body.reason, route, None, new={"arm": body.arm, "until": until}
    )
    here.store.commit(Change(entry))
    word = here.forcing.word(route, body.arm, until)
    return jsonify(
        {"route": route, "arm": body.arm, "until": until, "header": "Pointsman-Force", "value": word}
    )


@views.get("/v1/layers")
def layers() -> Response:
    """Who owns which range of each layer, what rests, what is free, and which experiments meet in one unit."""
    here = plane()
    live = here.store.live()
    rows = []
    for key, text in sorted(live.files.items()):
        kind, _, name = key.partition(":")
        if key == key_of("layer", name) and kind == "layer":
            layer = LayerFile.model_validate(json.loads(text))
            taken = owners(live.runs, name, layer.cooldown, here.now())
            rows.append(
                {
                    "layer": name,
                    "unit": layer.unit,
                    "salt": layer.salt,
                    "taken": [
                        {"range": [one.start, one.end], "run": one.run, "rests_until": one.until}
                        for one in taken
                    ],
                    "free": free(taken),
                }
            )
    return jsonify({"layers": rows, "overlaps": overlaps(live.flags.values())})
