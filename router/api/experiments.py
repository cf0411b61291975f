"""Experiments and routes as JSON: read them, steer them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from flask import Blueprint, Response, jsonify, request
from pydantic import Field

from router.api import words
from router.api.apply import audit_entry
from router.api.bodies import Body, read_body
from router.api.plane import Plane, plane
from router.change import key_of
from router.decision import act
from router.document import dump
from router.errors import Problem, SpecError, StaleRevision, UnknownName
from router.flag import Flag
from router.roll import check_named, roll
from router.store.flags import Change

ACTIONS = ("promote", "rollback", "pause", "resume")
HISTORY = 5000
# The controller writes a live run once a second: an act that lost that race is asked anew on what is true now.
WRITES_TRIED = 3

views = Blueprint("experiments", __name__)


class ActBody(Body):
    """Who acts, and why: both are kept in the audit log."""

    actor: str
    reason: str


class RollBody(ActBody):
    """And of which arm another build is declared, by what name its answers say it."""

    arm: str
    declares: Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$")] = ""


@views.get("/v1/routes")
def routes() -> Response:
    """All routes with their flags."""
    live = plane().store.live()
    rows = [{**flag.document(), "route": name} for name, flag in sorted(live.flags.items())]
    return jsonify({"routes": rows, "corrupt": live.corrupt})


@views.get("/v1/experiments")
def experiments() -> Response:
    """A summary of each experiment's latest run."""
    live = plane().store.live()
    runs = [live.runs[run] for run in live.latest.values() if run in live.runs]
    return jsonify(
        {"experiments": [words.summary(run) for run in sorted(runs, key=lambda run: -run["started"])]}
    )


@views.get("/v1/experiments/<name>")
def experiment(name: str) -> Response:
    """One experiment: its latest run, its route's flag, and both in a sentence."""
    run = run_of(plane(), name)
    flag = plane().store.flag(run["route"])
    answer = jsonify(
        {
            "run": run,
            "flag": flag.document() if flag else None,
            "document": document_of(plane(), "experiment", name),
            "headline": words.headline(run).word,
            "sentence": words.sentence(run),
            "next": words.what_next(run, plane().now()),
        }
    )
    if flag is not None:
        answer.set_etag(str(flag.revision))
    return answer


@views.get("/v1/experiments/<name>/verdict")
def verdict(name: str) -> Response:
    """What the evidence says and what was decided."""
    run = run_of(plane(), name)
    fields = ("experiment", "run", "state", "verdict", "evidence", "decision", "reason", "look")
    answer = {field: run.get(field) for field in fields}
    return jsonify({**answer, "headline": words.headline(run).word, "sentence": words.sentence(run)})


@views.get("/v1/experiments/<name>/history")
def history(name: str) -> Response:
    """Every change and decision of an experiment, newest first."""
    run_of(plane(), name)
    return jsonify({"entries": history_of(plane(), name)})


@views.get("/v1/audit")
def audit() -> Response:
    """The latest changes of anything, newest first."""
    text = request.args.get("count", "200")
    if not text.isdigit() or not 0 < int(text) <= HISTORY:
        raise SpecError([Problem("count", f"1 to {HISTORY}", repr(text))])
    route, run = request.args.get("route"), request.args.get("run")
    return jsonify({"entries": plane().store.audit(int(text), route=route, run=run)})


@views.post("/v1/experiments/<name>/roll")
def declare_roll(name: str) -> Response:
    """An arm is another build of itself from now on: a new stratum of the same run."""
    body = read_body(RollBody)
    _said(ActBody(actor=body.actor, reason=body.reason), arm=body.arm)
    return jsonify(_tried(lambda: _roll(plane(), name, body)))


@views.post("/v1/experiments/<name>/<action>")
def steer(name: str, action: str) -> Response:
    """A person's act."""
    if action not in ACTIONS:
        raise UnknownName("act", action, ACTIONS)
    body = read_body(ActBody)
    return jsonify(do(plane(), name, action, body.actor, body.reason))


def do(here: Plane, name: str, action: str, actor: str, reason: str) -> dict[str, Any]:
    """Ask what the act means now, and write that as one change.

    Raises:
        IllegalMove: the run's state does not allow it.
        StaleRevision: something moved meanwhile.
    """
    _said(ActBody(actor=actor, reason=reason))
    return _tried(lambda: _do(here, name, action, actor, reason))


def _said(body: ActBody, **others: str) -> None:
    texts = body.model_dump() | others
    empty = [Problem(field, "a text", "nothing") for field, text in texts.items() if not text.strip()]
    if empty:
        raise SpecError(empty)


def _tried(write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A write that lost a race is asked anew on what is true now."""
    for _ in range(WRITES_TRIED):
        with contextlib.suppress(StaleRevision):
            return write()
    return write()


def _roll(here: Plane, name: str, body: RollBody) -> dict[str, Any]:
    run = run_of(here, name)
    flag = flag_of(here, run["route"])
    new_run, sentence = roll(run, body.arm, here.now(), body.actor, body.reason, body.declares)
    check_named(run, flag.arm(body.arm), body.declares)
    entry = audit_entry(here, body.actor, "roll", body.reason, run["route"], run, old=flag, new=flag)
    entry["sentence"] = sentence
    here.store.commit(Change(entry, run=new_run))
    here.counts.acts.labels("roll").inc()
    return {
        "experiment": name,
        "action": "roll",
        "arm": body.arm,
        "rolls": len(new_run["rolls"]),
        "sentence": sentence,
    }


def _do(here: Plane, name: str, action: str, actor: str, reason: str) -> dict[str, Any]:
    run = run_of(here, name)
    flag = flag_of(here, run["route"])
    decided = act(action, run, flag, here.now(), actor, reason)
    new_flag, new_run = decided.flag or flag, decided.run or run
    entry = audit_entry(here, actor, action, reason, run["route"], run, old=flag, new=new_flag)
    entry["sentence"] = decided.sentence
    here.store.commit(Change(entry, flag=decided.flag, run=decided.run))
    here.counts.acts.labels(action).inc()
    return {
        "experiment": name,
        "action": action,
        "state": new_run["state"],
        "revision": new_flag.revision,
        "sentence": decided.sentence,
    }


def run_of(here: Plane, name: str) -> dict[str, Any]:
    """The latest run of an experiment.

    Raises:
        UnknownName: there is no such experiment.
    """
    run = here.store.latest_run(name)
    if run is None:
        raise UnknownName("experiment", name, here.store.live().latest)
    return run


def flag_of(here: Plane, route: str) -> Flag:
    """The flag of a route.

    Raises:
        UnknownName: there is no such route.
    """
    flag = here.store.flag(route)
    if flag is None:
        raise UnknownName("route", route, here.store.live().flags)
    return flag


def document_of(here: Plane, kind: str, name: str) -> str:
    """A document as last applied, as YAML; empty when nothing was applied under this name."""
    text = here.store.file(key_of(kind, name))
    return dump({kind: name, **json.loads(text)}) if text else ""


def history_of(here: Plane, name: str, reach: int = HISTORY) -> list[dict[str, Any]]:
    """What happened to an experiment, newest first, as far as the last ``reach`` changes of anything tell."""
    entries = here.store.audit(count=reach)
    return [entry for entry in entries if entry.get("experiment") == name or _of(entry.get("run"), name)]


def _of(run: object, experiment: str) -> bool:
    """Whether a run's name is the experiment's and a number."""
    prefix, _, number = str(run or "").rpartition(".")
    return prefix == experiment and number.isdigit()
