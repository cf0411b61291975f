"""The pages: all experiments, one verdict, and a confirm page for each act. Made here, complete without JavaScript.

A page that shows a live run asks the browser to load it again every two seconds; ``?still=1`` stops that.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from router import __version__
from router.api import auth, charts, course, panels, words
from router.api.demo_data import clicks_of, misread_of
from router.api.experiments import ACTIONS, do, history_of, run_of
from router.api.plane import Plane, plane
from router.api.run_facts import FINAL
from router.api.status import behind
from router.errors import UnknownName

REFRESH_S = 2
TIMELINE = 40
FILTERS = {"all": "all", "live": "live", "decided": "decided"}
# What each act does, as the confirm page says it; and the states from which the verdict page offers it.
ACTS: dict[str, tuple[str, frozenset[str]]] = {
    "promote": (
        "{treatment} becomes the default arm: everyone on route {route} gets it.",
        frozenset({"running", "held"}),
    ),
    "rollback": (
        "Everyone on route {route} gets {control}.",
        frozenset({"running", "held", "promoting", "promoted"}),
    ),
    "pause": (
        "No step goes on until somebody resumes. Shown harm still rolls back.",
        frozenset({"running", "held"}),
    ),
    "resume": ("The ramp goes on from where it stands.", frozenset({"running", "held"})),
}

views = Blueprint("dashboard", __name__)


@views.app_context_processor
def _chrome() -> dict[str, Any]:
    """What every page's frame shows."""
    here = plane()
    return {"version": __version__, "now": here.now(), "demo": bool(here.settings.demo_folder)}


@views.get("/")
def index() -> str:
    """All experiments and routes."""
    here = plane()
    live = here.store.live()
    runs = sorted(
        (live.runs[run] for run in live.latest.values() if run in live.runs), key=lambda run: -run["started"]
    )
    wanted = request.args.get("show", "all")
    shown = [
        run
        for run in runs
        if wanted not in ("live", "decided") or (run["state"] in FINAL) == (wanted == "decided")
    ]
    beats = here.store.heartbeats(here.now())
    return render_template(
        "index.html",
        cards=[_card(run, here.now()) for run in shown],
        any_experiment=bool(runs),
        filters=FILTERS,
        wanted=wanted,
        flags=[live.flags[name] for name in sorted(live.flags)],
        corrupt=live.corrupt,
        behind=behind(live),
        gateways=[beat for beat in beats if beat.get("role", "gateway") == "gateway"],
        refresh=_refresh(any(run["state"] not in FINAL for run in runs)),
    )


def _refresh(lives: bool) -> int:
    return REFRESH_S if lives and "still" not in request.args else 0


def _card(run: dict[str, Any], now: int) -> dict[str, Any]:
    goal = words.goal_of(run)
    row = ((run.get("evidence") or {}).get("metrics") or {}).get(goal["name"])
    return {
        "run": run,
        "headline": words.headline(run),
        "sentence": words.sentence(run),
        "next": words.what_next(run, now),
        "share": words.share_of(run),
        "bar": charts.bar(
            words.share_of(run) / words.PPM,
            f"{run['treatment']}: {words.share(words.share_of(run))} of traffic",
        ),
        "spark": charts.sparkline(run),
        "strip": charts.strip(row, goal["name"]) if row else None,
        "age": words.duration(max(0, (run.get("ended") or now) - run["started"])),
    }


@views.get("/experiments/<name>")
def verdict(name: str) -> AnyResponse:
    """One experiment: what is known, what was decided, what comes next."""
    here = plane()
    run = run_of(here, name)
    flag = here.store.flag(run["route"])
    running = flag.experiment(run["run"]) if flag else None
    evidence = run.get("evidence")
    goal = words.goal_of(run)
    page = render_template(
        "verdict.html",
        run=run,
        flag=flag,
        goal=goal,
        one_goal=sum(metric["role"] == "goal" for metric in run["spec"]["metrics"]) == 1,
        evidence=evidence,
        headline=words.headline(run),
        sentence=words.sentence(run),
        next=words.what_next(run, here.now()),
        greyed=bool(evidence and not evidence["health"]["ok"] and run["state"] not in FINAL),
        trust=panels.trust(run, evidence),
        arms=panels.arms(run, flag, evidence),
        metrics=panels.metrics(run, evidence),
        statistics=panels.statistics(evidence),
        lanes=charts.lanes(run["spec"]["lanes"], running.coverage if running else 0),
        course=course.over_time(run, goal),
        looks=panels.thinned(run["looks"]),
        ramp=panels.ramp(run, here.now()),
        timeline=history_of(here, name, reach=1000)[:TIMELINE],
        misread=misread_of(here.settings.demo_folder, name, (run["control"], run["treatment"])),
        clicks=clicks_of(here.settings.demo_folder, name),
        acts=_offered(run),
        words=words,
        refresh=_refresh(run["state"] not in FINAL),
    )
    return make_response(page)


def _offered(run: dict[str, Any]) -> list[str]:
    offered = [name for name, (_, states) in ACTS.items() if run["state"] in states]
    stands = run.get("paused") or words.held_at_deadline(run)
    return [name for name in offered if name != ("pause" if stands else "resume")]


@views.get("/experiments/<name>/<action>")
def confirm(name: str, action: str) -> AnyResponse:
    """Ask before an act: what is, what will be, and why."""
    if action not in ACTIONS:
        raise UnknownName("act", action, ACTIONS)
    return _confirm_page(plane(), name, action, "")


def _confirm_page(here: Plane, name: str, action: str, problem: str) -> AnyResponse:
    run = run_of(here, name)
    nonce, seal = auth.form_token()
    page = render_template(
        "confirm.html",
        run=run,
        action=action,
        does=ACTS[action][0].format(**{field: run[field] for field in ("treatment", "control", "route")}),
        headline=words.headline(run),
        sentence=words.sentence(run),
        share=words.share_of(run),
        form=seal,
        problem=problem,
        refresh=0,
    )
    return auth.with_form_cookie(make_response(page, 400 if problem else 200), nonce)


@views.post("/experiments/<name>/<action>")
def act(name: str, action: str) -> AnyResponse:
    """Do what the confirm page asked."""
    if action not in ACTIONS:
        raise UnknownName("act", action, ACTIONS)
    auth.check_form()
    actor, reason = (request.form.get(field, "").strip() for field in ("actor", "reason"))
    if not actor or not reason:
        return _confirm_page(
            plane(), name, action, "Both a name and a reason are kept in the audit log: fill in both."
        )
    do(plane(), name, action, actor, reason)
    return redirect(url_for("dashboard.verdict", name=name), code=303)
