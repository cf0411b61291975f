"""Whether it lives, whether it can do its work, and who else is there."""

from __future__ import annotations

import json
import time
from typing import Any

from flask import Blueprint, Response, jsonify, make_response

from router import __version__
from router.api import run_numbers
from router.api.counts import TEXT
from router.api.plane import Plane, plane
from router.errors import StoreUnavailable
from router.store.stored import Live

views = Blueprint("status", __name__)


@views.get("/livez")
def livez() -> Response:
    """The process answers."""
    return make_response("ok\n", {"Content-Type": "text/plain; charset=utf-8"})


@views.get("/readyz")
def readyz() -> Response:
    """Redis answers, so outcomes can be taken."""
    try:
        plane().store.flag("")
    except StoreUnavailable as problem:
        return make_response(
            f"{problem}\n", 503, {"Content-Type": "text/plain; charset=utf-8", "Retry-After": "1"}
        )
    return make_response("ready\n", {"Content-Type": "text/plain; charset=utf-8"})


@views.get("/metrics")
def metrics() -> Response:
    """The counters of this process, and the controller's numbers."""
    here = plane()
    return make_response(here.counts.text() + run_numbers.text(here), {"Content-Type": TEXT})


@views.get("/v1/status")
def status() -> Response:
    """Gateways and controller by their heartbeats, the store, and files that are behind."""
    return jsonify(survey(plane()))


def survey(here: Plane) -> dict[str, Any]:
    """Everything that is alive, as one answer."""
    begun = time.perf_counter()
    live = here.store.live()
    milliseconds = (time.perf_counter() - begun) * 1e3
    beats = here.store.heartbeats(here.now())
    return {
        "gateways": [beat for beat in beats if beat.get("role", "gateway") == "gateway"],
        "controllers": [beat for beat in beats if beat.get("role") == "controller"],
        "store": {
            "ok": not live.corrupt,
            "milliseconds": round(milliseconds, 2),
            "corrupt": live.corrupt,
            "change": here.store.latest(),
        },
        "api": {"writer": here.outcomes.writer, "version": __version__},
        "behind": behind(live),
    }


def behind(live: Live) -> list[str]:
    """Routes whose file, as last applied, says another default arm than what is live."""
    lines = []
    for route, flag in sorted(live.flags.items()):
        text = live.files.get(f"route:{route}")
        default = json.loads(text).get("default") if text else None
        if default is not None and default != flag.default:
            lines.append(f"route {route}: default {default} in the file, {flag.default} live")
    return lines
