"""OpenFeature Remote Evaluation Protocol: a flag, or all of them, for a stated context. Asking is no exposure.

Every answer has key, value, reason and variant; every refusal has key, errorCode and errorDetails, and a flag that is off
answers with the default arm's value: clients in the field need all of them. The tag of a bulk answer covers the flags and
the context, which are all that an answer depends on: one that the caller has already is not computed again.

Source:
    OpenFeature protocol, OFREP 0.3.0, single and bulk evaluation.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any, Literal, get_args

from flask import Blueprint, Response, make_response, request

from router import __version__
from router.api.bodies import read_json
from router.api.plane import Plane, plane
from router.api.tags import names
from router.assignment import Assignment, CompiledFlag, Reason
from router.errors import PointsmanError, SpecError, StoreUnavailable
from router.explain import StatedFacts
from router.flag import Flag
from router.rules import Values

TARGETING_KEY = "targetingKey"
# Our reasons in the words of the protocol.
REASONS: Mapping[Reason, str] = {
    Reason.KILLED: "DISABLED",
    Reason.DISABLED: "DISABLED",
    Reason.OUTSIDE_SCHEDULE: "DISABLED",
    Reason.PREREQUISITE: "DEFAULT",
    Reason.FORCED: "TARGETING_MATCH",
    Reason.UNIT_LIST: "TARGETING_MATCH",
    Reason.RULE: "TARGETING_MATCH",
    Reason.NO_EXPERIMENT: "STATIC",
    Reason.NOT_IN_AUDIENCE: "DEFAULT",
    Reason.NO_UNIT: "DEFAULT",
    Reason.HOLDOUT: "DEFAULT",
    Reason.NOT_IN_LAYER: "DEFAULT",
    Reason.NOT_INCLUDED: "DEFAULT",
    Reason.NOT_ENROLLED: "DEFAULT",
    Reason.ENROLLED: "SPLIT",
    Reason.STICKY: "SPLIT",
}

Code = Literal["PARSE_ERROR", "INVALID_CONTEXT", "TARGETING_KEY_MISSING", "FLAG_NOT_FOUND", "GENERAL"]
CODES: tuple[Code, ...] = get_args(Code)

log = logging.getLogger(__name__)
views = Blueprint("ofrep", __name__)


class OfrepError(PointsmanError):
    """A refusal in the protocol's own form."""

    def __init__(self, status: int, code: Code, details: str) -> None:
        super().__init__(details)
        self.status, self.error_code = status, code

    def document(self, key: str | None) -> dict[str, str]:
        """The body of the refusal."""
        named = {} if key is None else {"key": key}
        return {**named, "errorCode": self.error_code, "errorDetails": str(self)}


class Context:
    """What a caller states: a unit, and attributes by name."""

    def __init__(self, stated: Mapping[str, Any]) -> None:
        self.stated = stated
        self.unit = _scalar(stated.get(TARGETING_KEY)) if not _odd_key(stated.get(TARGETING_KEY)) else None
        self.attributes: dict[str, Values] = {
            name: values for name, value in stated.items() if (values := _values(value)) is not None
        }


def _odd_key(value: object) -> bool:
    """A targeting key that is neither text nor a whole number is none."""
    return isinstance(value, bool) or not isinstance(value, str | int)


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, int | float) else None


def _values(value: object) -> Values:
    if isinstance(value, list):
        return tuple(text for one in value if (text := _scalar(one)) is not None)
    text = _scalar(value)
    return None if text is None else (text,)


def _context() -> Context:
    """The context of this request.

    Raises:
        OfrepError: the body is no object, or its context is none.
    """
    try:
        body = read_json() if request.get_data() else {}
    except SpecError as problem:
        raise OfrepError(400, "PARSE_ERROR", str(problem)) from problem
    if not isinstance(body, dict):
        raise OfrepError(400, "PARSE_ERROR", "body: expected a JSON object")
    stated = body.get("context", {})
    if not isinstance(stated, dict):
        raise OfrepError(400, "INVALID_CONTEXT", "context: expected a JSON object")
    return Context(stated)


@views.post("/ofrep/v1/evaluate/flags/<key>")
def single(key: str) -> Response:
    """One flag for one context."""
    try:
        context = _context()
        flags = plane().flags.flags()
        if key not in flags:
            raise OfrepError(404, "FLAG_NOT_FOUND", f"flag {key!r} does not exist")
        return _json(evaluated(plane(), flags[key], flags, context), 200)
    except OfrepError as problem:
        return _json(problem.document(key), problem.status)
    except StoreUnavailable as problem:
        return _unavailable(key, problem)


@views.post("/ofrep/v1/evaluate/flags", strict_slashes=False)
def bulk() -> Response:
    """All flags for one context; 304 when the caller has this answer already."""
    try:
        context = _context()
        flags, digest = plane().flags.read()
    except OfrepError as problem:
        return _json(problem.document(None), problem.status)
    except StoreUnavailable as problem:
        return _unavailable(None, problem)
    tag = _tag(digest, context)
    if {tag, "*"} & {*names(request.headers.get("If-None-Match", ""))}:
        return _tagged(make_response("", 304), tag)
    rows = []
    for key in sorted(flags):
        try:
            rows.append(evaluated(plane(), flags[key], flags, context))
        except OfrepError as problem:
            rows.append(problem.document(key))
        except Exception:  # one bad flag never affects another
            log.exception("flag %s cannot be evaluated", key)
            rows.append(
                {"key": key, "errorCode": "GENERAL", "errorDetails": f"flag {key!r} cannot be evaluated"}
            )
    body = json.dumps({"flags": rows, "metadata": {"flagSetId": _set_id(plane())}}, separators=(",", ":"))
    return _tagged(make_response(body, 200, {"Content-Type": "application/json"}), tag)


def _tag(digest: str, context: Context) -> str:
    """What an answer depends on, as one word."""
    stated = json.dumps(context.stated, sort_keys=True, separators=(",", ":"))
    seen = f"{__version__} {_set_id(plane())} {digest} {stated}"
    return hashlib.sha256(seen.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def evaluated(
    here: Plane, compiled: CompiledFlag, flags: Mapping[str, CompiledFlag], context: Context
) -> dict[str, Any]:
    """A flag's answer for a context, in the protocol's form.

    Raises:
        OfrepError: the flag wants a unit and the context has none.
    """
    flag = compiled.flag
    unit = context.unit.encode("utf-8", "replace") if context.unit else None
    if unit is None and flag.experiments and flag.unit.on_missing == "error" and not compiled.off:
        raise OfrepError(400, "TARGETING_KEY_MISSING", f"flag {flag.route!r} needs a unit ({flag.unit.kind})")
    found = compiled.assign(unit, StatedFacts(context.attributes, flags, unit))
    arm = flag.arm(found.arm)
    return {
        "key": flag.route,
        "value": arm.name if arm.value is None else arm.value,
        "reason": _reason(flag, found),
        "variant": arm.name,
        "metadata": _metadata(here, flag, found, context),
    }


def _reason(flag: Flag, found: Assignment) -> str:
    if found.reason is Reason.NO_EXPERIMENT and (flag.rules or flag.units or flag.requires):
        return "DEFAULT"
    return REASONS[found.reason]


def _metadata(here: Plane, flag: Flag, found: Assignment, context: Context) -> dict[str, str | bool]:
    """Flat and primitive: clients drop everything else."""
    facts: dict[str, str | bool | None] = {
        "version": str(flag.revision),
        "flagSetId": _set_id(here),
        "contextId": context.unit,
        "why": found.reason.value,
        "rule": found.rule,
        "run": found.run,
        "analysed": found.arm_index >= 0,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _set_id(here: Plane) -> str:
    return here.settings.prefix.rstrip(":") or "pointsman"


def _tagged(response: Response, tag: str) -> Response:
    response.headers["ETag"] = f'"{tag}"'
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    return response


def _json(document: object, status: int) -> Response:
    return make_response(json.dumps(document), status, {"Content-Type": "application/json"})


def _unavailable(key: str | None, problem: StoreUnavailable) -> Response:
    answer = _json(OfrepError(503, "GENERAL", str(problem)).document(key), 503)
    answer.headers["Retry-After"] = "1"
    return answer
