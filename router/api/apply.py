"""POST /v1/apply: make files true. The plan is computed here against the live state, and is what the answer shows.

Each change is one compare-and-set. Two people who apply at once never overwrite each other: the second gets both
revisions and the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import Field

from router.api.bodies import Body, read_body
from router.api.plane import Plane, plane
from router.change import Change as PlannedChange
from router.change import Plan
from router.document import Document, load_all
from router.errors import StaleRevision
from router.files import KINDS, parse_documents
from router.flag import Flag
from router.plan import Planner
from router.store.differences import differences
from router.store.flags import Change, Ended
from router.store.stored import Live

STALE_ANSWER = 412
WRITES_TRIED = 3
DRIFT_REACH = 1000  # entries of a route's log that are asked who changed it

views = Blueprint("apply", __name__)


class File(Body):
    """One file as sent."""

    name: str
    text: str


class ApplyBody(Body):
    """What to apply, who does it and why; ``expected`` names revisions that must still be current."""

    files: list[File]
    actor: str = "api"
    reason: str = ""
    expected: dict[str, int] = Field(default_factory=dict)


@views.post("/v1/apply")
def apply() -> Response:
    """Plan the files, and unless it is a dry run, do what the plan says."""
    body = read_body(ApplyBody)
    dry = request.args.get("dry_run", "0") not in ("", "0", "false")
    documents = load_all((file.name, file.text) for file in body.files)
    return jsonify(made_true(plane(), documents, body.expected, body.actor, body.reason, dry=dry))


def made_true(
    here: Plane, documents: list[Document], expected: Mapping[str, int], actor: str, reason: str, *, dry: bool
) -> dict[str, Any]:
    """Plan documents, and unless it is a dry run, do what the plan says.

    Raises:
        SpecError: documents that cannot be applied to the live state.
        StaleRevision: a route is not at its expected revision, or moved meanwhile.
    """
    for tried in range(WRITES_TRIED):
        try:
            return _apply(here, documents, expected, actor, reason, dry=dry)
        except StaleRevision as problem:
            # The controller writes a live run once a second; a flag that moved is somebody else's decision.
            if not problem.what.startswith("run ") or tried == WRITES_TRIED - 1:
                raise
    raise AssertionError("unreachable")


def _apply(
    here: Plane, documents: list[Document], expected: Mapping[str, int], actor: str, reason: str, *, dry: bool
) -> dict[str, Any]:
    live = here.store.live()
    hold_to(live, expected, here)
    files = parse_documents(documents, _known(live))

    def audit(route: str) -> list[dict[str, Any]]:
        return here.store.audit(count=DRIFT_REACH, route=route)

    planner = Planner(live.flags, live.runs, live.latest, live.files, here.now(), audit, live.deleted)
    plan = planner.plan(files)
    if not dry:
        _commit(here, live, plan, actor, reason)
    touched = {change.flag.route: change.flag for change in plan.changes if change.flag is not None}
    revisions = {route: flag.revision for route, flag in touched.items()}
    if dry:  # what must still be so when this plan is applied; 0: no such route
        revisions = {route: live.flags[route].revision if route in live.flags else 0 for route in touched}
    return {
        "changes": [change.document() for change in plan.changes],
        "text": plan.text(),
        "empty": plan.empty,
        "safe": all(change.safe for change in plan.changes),
        "applied": not dry and not plan.empty,
        "revisions": revisions,
    }


def _known(live: Live) -> dict[str, list[str]]:
    """Names of everything that exists, by kind."""
    known: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for key in live.files:
        kind, _, name = key.partition(":")
        known[kind].append(name)
    return known | {"route": list(live.flags)}


def hold_to(live: Live, expected: Mapping[str, int], here: Plane) -> None:
    """Routes must be at these revisions.

    Raises:
        StaleRevision: one is not; it carries the difference.
    """
    for route, revision in expected.items():
        flag = live.flags.get(route)
        found = flag.revision if flag else 0
        if found != revision:
            before = here.store.revisions(route).get(revision)
            text = "\n".join(differences(before.document(), flag.document())) if flag and before else ""
            stale = StaleRevision(f"flag {route}", revision, found, text)
            stale.status = STALE_ANSWER
            raise stale


def _commit(here: Plane, live: Live, plan: Plan, actor: str, reason: str) -> None:
    flags: dict[str, Flag] = dict(live.flags)
    written: list[str] = []
    for change in plan.changes:
        try:
            if change.flag is None and change.run is None:
                _remember_file(here, live, change, actor, reason)
                continue
            _commit_change(here, change, flags, actor, reason)
        except StaleRevision as problem:
            if written:
                problem.difference += f"\nwritten before that: {', '.join(written)}"
            raise
        written.append(f"{change.kind} {change.name}")
        here.counts.acts.labels("apply").inc()


def _commit_change(
    here: Plane, change: PlannedChange, flags: dict[str, Flag], actor: str, reason: str
) -> None:
    superseded: Ended | None = None
    if (ended := change.superseded) is not None:
        said = {"state": ended["state"], "reason": ended["reason"]}
        superseded = Ended(
            ended, audit_entry(here, actor, "supersede", reason, ended["route"], ended, new=said)
        )
    old = flags.get(change.flag.route) if change.flag else None
    route = change.flag.route if change.flag else str((change.run or {})["route"])
    entry = audit_entry(here, actor, change.action, reason, route, change.run, old=old, new=change.flag)
    entry["what"] = list(change.lines)
    files = {change.file_key: change.file_text}
    here.store.commit(Change(entry, change.flag, change.run, files, superseded=superseded))
    if change.flag is not None:
        flags[change.flag.route] = change.flag


def _remember_file(here: Plane, live: Live, change: PlannedChange, actor: str, reason: str) -> None:
    """A file is the base of the next comparison; one that says the same in other words is no entry of the log."""
    if live.files.get(change.file_key) == change.file_text:
        return
    entry: dict[str, Any] = {}
    if change.action != "nothing":
        new = {"kind": change.kind, "name": change.name, "file": change.file_text}
        entry = audit_entry(here, actor, change.action, reason, "", None, new=new)
    here.store.commit(Change(entry, files={change.file_key: change.file_text}))


def audit_entry(
    here: Plane,
    actor: str,
    action: str,
    reason: str,
    route: str,
    run: Mapping[str, Any] | None,
    *,
    old: Flag | Mapping[str, Any] | None = None,
    new: Flag | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry of the audit log: who, what, why, before, after, and the numbers at that moment."""
    return {
        "time": here.now(),
        "actor": actor,
        "action": action,
        "reason": reason,
        "route": route,
        "experiment": run["experiment"] if run else None,
        "run": run["run"] if run else None,
        "revision": new.revision if isinstance(new, Flag) else None,
        "old": old.document() if isinstance(old, Flag) else old,
        "new": new.document() if isinstance(new, Flag) else new,
        "evidence": run.get("evidence") if run else None,
    }
