"""The page /try, in the demo only: you are a unit.

It shows a scan, sends it through the real gateway as you, shows the answer of the arm you got, and takes your *right*
or *wrong* as an outcome by the decision id, the way any application would.
"""

from __future__ import annotations

import http.client
import json
import secrets
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from router.api import auth, words
from router.api.demo_data import Scan, apps_of, keep_click, path_of, picture, scans_of
from router.api.experiments import flag_of
from router.api.flags import explained
from router.api.outcomes import take
from router.api.plane import Plane, plane
from router.errors import PointsmanError
from router.flag import Flag

DEFAULT_UNIT = "you"
LONGEST_UNIT = 64
TIMEOUT_S = 5.0
SIDE = 8
# Why a report is refused, for people.
REFUSALS = {
    "expired": "this answer is older than the window and grace of its experiment; send another scan",
    "unknown_run": "the experiment behind this answer is not known here any more; send another scan",
    "malformed": "this is no decision id of this gateway",
    "unknown_key": "this is no decision id of this gateway",
    "forged": "this is no decision id of this gateway",
}

views = Blueprint("try_page", __name__)


class Answer(NamedTuple):
    """What came back from the gateway."""

    digit: int | None
    arm: str
    decision: str
    milliseconds: float
    problem: str


@views.get("/try")
def ask() -> AnyResponse:
    """Send a scan as you, and show what came back."""
    here = plane()
    folder = _folder(here)
    apps, scans = apps_of(folder), scans_of(folder)
    app = request.args.get("app", "")
    app = app if app in apps else next(iter(apps), "")
    unit = request.args.get("unit", "").strip()[:LONGEST_UNIT] or DEFAULT_UNIT
    if not scans or not app:
        page = render_template("try.html", waiting=True, refresh=2, apps=apps, app=app, unit=unit)
        return make_response(page)
    scan = scans.get(request.args.get("scan", -1, type=int)) or secrets.choice(list(scans.values()))
    flag = flag_of(here, apps[app])
    answer = _send(here, path_of(folder, app) or _path(flag), unit, scan)
    nonce, seal = auth.form_token()
    page = render_template(
        "try.html",
        waiting=False,
        refresh=0,
        apps=apps,
        app=app,
        unit=unit,
        scan=scan,
        picture=picture(scan, "a scan of a handwritten digit"),
        answer=answer,
        why=explained(flag, unit),
        experiment=flag.experiments[0].experiment if flag.experiments else None,
        form=seal,
        told=(told := request.args.get("told", "")),
        refusal=REFUSALS.get(told, told),
        words=words,
    )
    return auth.with_form_cookie(make_response(page), nonce)


@views.post("/try")
def tell() -> AnyResponse:
    """Your click becomes an outcome."""
    here = plane()
    folder = _folder(here)
    auth.check_form()
    given = {field: request.form.get(field, "") for field in ("app", "unit", "decision", "judged")}
    told = _report(here, folder, given["unit"], given["decision"], wrong=given["judged"] == "wrong")
    target = url_for("try_page.ask", app=given["app"], unit=given["unit"], told=told)
    return redirect(target, code=303)


def _folder(here: Plane) -> str:
    if not here.settings.demo_folder:
        raise NotFound("this page is part of the demo: pointsman demo")
    return here.settings.demo_folder


def _path(flag: Flag) -> str:
    return (flag.match.path if flag.match else "").rstrip("/") + "/infer"


def _send(here: Plane, path: str, unit: str, scan: Scan) -> Answer:
    """One request through the gateway, as any client would make it."""
    tensor = {"name": "scan", "shape": [1, SIDE * SIDE], "datatype": "FP64", "data": list(scan.pixels)}
    body = json.dumps({"inputs": [tensor]})
    address = urlsplit(here.settings.gateway_address())
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=TIMEOUT_S)
    headers = {"X-Person": unit.encode("utf-8").decode("latin-1"), "Content-Type": "application/json"}
    begun = here.now()
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        document: Any = json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return Answer(None, "", "", 0.0, f"the gateway gave no answer: {problem}")
    finally:
        connection.close()
    arm = response.getheader("Pointsman-Arm") or ""
    decision = response.getheader("Pointsman-Decision") or ""
    took = here.now() - begun
    if response.status != 200:
        return Answer(None, arm, decision, took, f"the answer was {response.status}")
    return Answer(int(document["outputs"][0]["data"][0]), arm, decision, took, "")


def _report(here: Plane, folder: str, unit: str, decision: str, *, wrong: bool) -> str:
    """Report by decision id; the word that the page then shows."""
    try:
        read = here.signer.read(decision)
        facts = here.runs.by_run(read.run)
        if facts is None:
            return "not_analysed"
        goal = next(row for row in facts.metrics.values() if row["role"] == "goal")
        value = int(wrong == (goal["better"] == "lower"))
        document = {"decision": decision, "metric": goal["name"], "value": value}
        result = take(here, [document], single=True)
    except PointsmanError as problem:
        return getattr(problem, "reason", problem.code)
    if not result["accepted"]:
        return "not_analysed"
    side = "treatment" if read.arm_index > 0 else "control"
    said = {"experiment": facts.experiment, "unit": unit[:LONGEST_UNIT], "side": side, "time": here.now()}
    keep_click(folder, {**said, "judged": "wrong" if wrong else "right"})
    return "accepted"
