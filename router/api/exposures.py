"""POST /v1/exposures: those who route themselves say for whom they did. The assignment is computed here, never believed.

A unit that is not enrolled is taken and counted without effect. Who also names the arm that was served is refused when
the flag gives another one by now: the unit would be analysed in an arm that it did not see.
"""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import Field

from router.api.bodies import Body, read, read_json
from router.api.outcome_log import Exposure
from router.api.plane import Plane, plane
from router.errors import Refused, SpecError, UnknownName
from router.event_rows import EXPOSURE, pack_where
from router.explain import StatedFacts
from router.rules import Values

MOST = 5000

views = Blueprint("exposures", __name__)


class ExposureBody(Body):
    """One use of a flag: for which unit, with which attributes, and optionally the arm that was served."""

    route: str
    unit: str = Field(min_length=1, max_length=512)
    arm: str | None = None
    attributes: dict[str, str | list[str]] = {}


@views.post("/v1/exposures")
def exposed() -> tuple[Response, int]:
    """Take one exposure, a list of them, or ``{"exposures": […]}``; 202 means stored."""
    body = read_json()
    many = body.get("exposures") if isinstance(body, dict) and set(body) == {"exposures"} else body
    return jsonify(take(plane(), many if isinstance(many, list) else [many])), 202


def take(here: Plane, documents: list[Any]) -> dict[str, Any]:
    """Compute, store and answer: for each exposure its arm and the decision id that outcomes may name.

    Raises:
        Refused: there are too many.
        StoreUnavailable: none of them is acknowledged.
    """
    if len(documents) > MOST:
        raise Refused(
            "too_many", f"exposures: expected at most {MOST} in one body, found {len(documents)}", 413
        )
    rows: list[Exposure] = []
    answers: list[dict[str, Any]] = []
    for line, document in enumerate(documents):
        try:
            answers.append(_one(here, document, f"exposures[{line}]", rows))
        except (SpecError, UnknownName, Refused) as problem:
            answers.append(problem.detail())
    here.outcomes.submit(rows)
    here.counts.outcomes.labels("exposure").inc(len(rows))
    return {"exposures": answers, "analysed": len(rows), "refused": sum("error" in one for one in answers)}


def _one(here: Plane, document: object, path: str, rows: list[Exposure]) -> dict[str, Any]:
    body = read(ExposureBody, document, path)
    flags = here.flags.flags()
    if body.route not in flags:
        raise UnknownName("route", body.route, flags)
    unit = body.unit.encode("utf-8", "replace")
    stated: dict[str, Values] = {
        name: tuple(value) if isinstance(value, list) else (value,) for name, value in body.attributes.items()
    }
    found = flags[body.route].assign(unit, StatedFacts(stated, flags, unit))
    if body.arm is not None and body.arm != found.arm:
        raise Refused(
            "other_arm", f"{path}: the flag gives this unit {found.arm}, {body.arm} was served", 409
        )
    flag = flags[body.route].flag
    running = flag.experiment(found.run) if found.run is not None else None
    answer = {"route": body.route, "arm": found.arm, "reason": found.reason.value, "analysed": False}
    if running is None:
        return answer
    digest, now, index = here.digest(unit), here.now(), found.arm_index
    if index >= 0:
        where = pack_where(found.bucket or 0, index, EXPOSURE)
        rows.append(Exposure(running.run, running.epoch, digest, flag.revision, where))
    decision = here.signer.sign(
        running.run.encode(),
        running.epoch,
        flag.revision,
        index,
        index >= 0,
        digest,
        now,
        secrets.randbits(64),
    )
    return answer | {"analysed": index >= 0, "decision": decision.decode()}
