"""One route or one experiment as its document: read it with its tag, put it back changed, take a route away.

The tag is the revision of the route's flag, which grows with every change of either. A document that was changed on an
old revision is refused with 412, one that lost a race with 409; both say the two revisions and what differs.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from router.api.apply import made_true
from router.api.deleting import take_away
from router.api.experiments import document_of, flag_of
from router.api.plane import Plane, plane
from router.api.tags import names
from router.document import load
from router.errors import Problem, SpecError

views = Blueprint("documents", __name__)


@views.get("/v1/routes/<name>")
def route(name: str) -> Response:
    """A route's flag, and its document as last applied."""
    here = plane()
    flag = flag_of(here, name)
    answer = jsonify({"flag": flag.document(), "document": document_of(here, "route", name)})
    answer.set_etag(str(flag.revision))
    return answer


@views.put("/v1/routes/<name>")
def put_route(name: str) -> Response:
    """A route's document, applied alone."""
    return _put("route", name, name)


@views.put("/v1/experiments/<name>")
def put_experiment(name: str) -> Response:
    """An experiment's document, applied alone; a new one begins a run."""
    return _put("experiment", name, None)


def _put(kind: str, name: str, route: str | None) -> Response:
    here = plane()
    documents = load(request.get_data(as_text=True), f"{kind} {name}")
    named = [document.data.get(kind) for document in documents]
    if named != [name]:
        expected = f"one document that begins with '{kind}: {name}'"
        raise SpecError([Problem("body", expected, ", ".join(map(repr, named)) or "none")])
    route = route or str(documents[0].data.get("route"))
    dry = _says("dry_run")
    actor, reason = request.args.get("actor", "api"), request.args.get("reason", "")
    answer = jsonify(made_true(here, documents, _expected(here, route), actor, reason, dry=dry))
    flag = here.store.flag(route)
    if flag is not None:
        answer.set_etag(str(flag.revision))
    return answer


@views.delete("/v1/routes/<name>")
def delete_route(name: str) -> Response:
    """A route taken away; with a run that lives on it only where ``end_runs=1`` says so."""
    actor, reason = request.args.get("actor", "api"), request.args.get("reason", "")
    here, dry = plane(), _says("dry_run")
    if not dry and not reason.strip():
        raise SpecError([Problem("reason", "a text", "nothing")])
    expected = _expected(here, name)
    return jsonify(take_away(here, name, expected, actor, reason, dry=dry, end_runs=_says("end_runs")))


def _says(name: str) -> bool:
    """Whether an argument of the address is there and not a no."""
    return request.args.get(name, "0") not in ("", "0", "false")


def _expected(here: Plane, route: str) -> dict[str, int]:
    """The revision that If-Match or If-None-Match hold the route to.

    Raises:
        StaleRevision: a route that must not exist does, or one that must exist does not.
        SpecError: a tag that is no revision.
    """
    match, none = request.headers.get("If-Match", ""), request.headers.get("If-None-Match", "")
    flag = here.store.flag(route) if match or none else None
    found = flag.revision if flag is not None else 0
    if none.strip() == "*":
        return {route: 0}
    tags = names(match)
    if "*" in tags:
        return {route: found or 1}
    odd = [tag for tag in tags if not tag.isdigit()]
    if odd:
        raise SpecError([Problem("If-Match", 'the revision of the route, such as "7"', odd[0])])
    revisions = [int(tag) for tag in tags]
    return {route: found if found in revisions else revisions[0]} if revisions else {}
