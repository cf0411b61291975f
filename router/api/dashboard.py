"""The pages: all experiments, one verdict, and a confirm page for each act. Made here, complete without JavaScript.

A page that shows a live run asks the browser to load it again every two seconds; ``?still=1`` stops that.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from router import __version__
from router.api import auth, charts, words
from router.api.demo_data import misread_of
from router.api.experiments import ACTIONS, do, history_of, run_of
from router.api.plane import Plane, plane
from router.api.run_facts import FINAL
from router.api.status import behind
from router.errors import UnknownName

REFRESH_S = 2
TIMELINE = 40
LOOKS_SHOWN = 14
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
        evidence=evidence,
        headline=words.headline(run),
        sentence=words.sentence(run),
        next=words.what_next(run, here.now()),
        greyed=bool(evidence and not evidence["health"]["ok"] and run["state"] not in FINAL),
        trust=_trust(run, evidence),
        arms=_arms(run, flag, evidence),
        metrics=_metrics(run, evidence),
        lanes=charts.lanes(run["spec"]["lanes"], running.coverage if running else 0),
        course=charts.over_time(run, goal),
        looks=_thinned(run["looks"]),
        ramp=_ramp(run, here.now()),
        timeline=history_of(here, name)[:TIMELINE],
        misread=misread_of(here.settings.demo_folder, name),
        acts=_offered(run),
        words=words,
        refresh=_refresh(run["state"] not in FINAL),
    )
    return make_response(page)


def _trust(run: dict[str, Any], evidence: dict[str, Any] | None) -> list[dict[str, str]]:
    """The checks that every verdict stands on: a word, a sign and what was measured."""
    if evidence is None:
        return [
            _check(name, None, "not measured yet") for name in ("Sample ratio", "Loss", "Lag", "Feedback")
        ]
    health = evidence["health"]
    srm, loss, lag = health["srm"], health["loss"], health["lag_ms"]
    total = sum(srm["counts"].values())
    arm = run["treatment"]
    found = f"{words.percent(srm['counts'].get(arm, 0) / total if total else None)} of units in {arm}"
    ratio = f"{found}, asked for {words.percent(srm['expected'].get(arm))}"
    silent = ", ".join(health.get("silent", ()))
    differs = [problem for problem in health["problems"] if problem.startswith("feedback differs")]
    lost = f"{words.percent(loss.get('share', 0.0), 2)} of {words.count(sum(loss['sent']) + sum(loss['lost']))} events lost"
    late = any("lag" in problem for problem in health["problems"])
    feedback = (
        differs[0] if differs else (f"silent: {silent}" if silent else "reports arrive alike in both arms")
    )
    return [
        _check("Sample ratio", srm["ok"], ratio),
        _check("Loss", loss["ok"] or not any("lost" in problem for problem in health["problems"]), lost),
        _check(
            "Lag", not late, "not known" if lag is None else f"folded {words.duration(lag)} after it happened"
        ),
        _check("Feedback", not silent and not differs, feedback),
    ]


def _check(name: str, ok: bool | None, text: str) -> dict[str, str]:
    tone, sign, word = {
        True: ("good", "✔", "healthy"),
        False: ("bad", "✖", "not healthy"),
        None: ("calm", "○", "unknown"),
    }[ok]
    return {"name": name, "tone": tone, "sign": sign, "word": word, "text": text}


def _arms(run: dict[str, Any], flag: Any, evidence: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Both arms: what was asked for, what arrived."""
    units = (evidence or {}).get("units", {})
    total = sum(row["exposed"] for row in units.values())
    upstreams = {arm.name: arm.upstream for arm in flag.arms} if flag else {}
    running = flag.experiment(run["run"]) if flag else None
    rows = []
    for lane in run["spec"]["lanes"]:
        arm = lane["arm"]
        counted = units.get(arm, {})
        observed = counted.get("exposed", 0) / total if total else None
        rows.append(
            {
                "arm": arm,
                "role": lane["role"],
                "upstream": upstreams.get(arm, words.UNKNOWN),
                "default": flag is not None and flag.default == arm,
                "traffic": lane["share"] * running.coverage // words.PPM if running else None,
                "asked": lane["share"] / words.PPM,
                "observed": observed,
                "bar": charts.bar(observed, f"{arm}: {words.percent(observed)} of enrolled units"),
                "exposed": counted.get("exposed", 0) if evidence else None,
                "closed": counted.get("closed", 0) if evidence else None,
            }
        )
    return rows


STATE_WORDS = {
    "harmful": ("✖", "harm shown", "bad"),
    "superior": ("✔", "better", "good"),
    "non_inferior": ("✔", "within margin", "good"),
    "undecided": ("…", "not decided", "calm"),
    "no_data": ("○", "no data", "warn"),
}


def _metrics(run: dict[str, Any], evidence: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A row per metric in the order of the file, goal first."""
    rows = []
    for spec in run["spec"]["metrics"]:
        row = (evidence or {}).get("metrics", {}).get(spec["name"])
        sign, word, tone = STATE_WORDS[row["state"] if row else "no_data"]
        rows.append({
            "spec": spec,
            "row": row,
            "sign": sign,
            "word": word,
            "tone": tone,
            "strip": charts.strip(row, spec["name"]) if row else None,
        })  # fmt: skip
    return rows


def _thinned(looks: list[Any]) -> list[Any]:
    """Evenly chosen looks, the last one among them."""
    every = max(1, -(-len(looks) // LOOKS_SHOWN))
    return looks[::-1][::every][::-1]


def _ramp(run: dict[str, Any], now: int) -> list[dict[str, Any]]:
    """The steps with what became of each."""
    rows = []
    over = run["state"] in FINAL
    for i, step in enumerate(run["spec"]["ramp"]):
        state = "done" if i < run["step"] or (i == run["step"] and run["state"] == "promoted") else "next"
        if i == run["step"] and state != "done":
            state = "stopped" if over else "current"
        since = words.duration(max(0, now - run["step_since"])) if state == "current" else ""
        rows.append({**step, "number": i + 1, "state": state, "since": since})
    return rows


def _offered(run: dict[str, Any]) -> list[str]:
    offered = [name for name, (_, states) in ACTS.items() if run["state"] in states]
    return [name for name in offered if name != ("pause" if run.get("paused") else "resume")]


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
