"""A run in words: one headline, one sentence with numbers, what happens next. For pages and programs alike.

Shares read ``5 %``, differences of shares ``+1.2 pp``, counts with thousands marks. What is not known is ``n/a``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from router.methods import METHODS as METHOD_ROWS
from router.metric import KINDS
from router.ramp import step_met

UNKNOWN = "n/a"
PPM = 1_000_000


METHODS = {name: row.about for name, row in METHOD_ROWS.items()}


class Headline(NamedTuple):
    """One word for a run, with a sign that needs no colour, and how it is to be taken."""

    word: str
    sign: str
    tone: str  # good, bad, warn, calm


# By state, where the state alone decides. All other headlines depend on the evidence.
OF_STATE = {
    "promoted": Headline("PROMOTED", "✔", "good"),
    "promoting": Headline("PROMOTING", "✔", "good"),
    "rolled_back": Headline("ROLLED BACK", "✖", "bad"),
    "ended": Headline("ENDED", "■", "calm"),
    "superseded": Headline("SUPERSEDED", "■", "calm"),
    "draft": Headline("DRAFT", "○", "calm"),
}


def headline(run: Mapping[str, Any]) -> Headline:
    """The word on top."""
    state, evidence = run["state"], run.get("evidence")
    if state in OF_STATE:
        return OF_STATE[state]
    if run.get("paused"):
        return Headline("PAUSED", "‖", "warn")
    if evidence is not None and not evidence["health"]["ok"]:
        return Headline("UNHEALTHY", "!", "warn")
    if state == "held":
        return Headline("HELD", "‖", "warn")
    if evidence is None or not any(row["exposed"] for row in evidence["units"].values()):
        return Headline("NO DATA", "○", "warn")
    return Headline("CONTINUE", "▶", "calm")


def goal_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The goal's definition."""
    goal: dict[str, Any] = next(metric for metric in run["spec"]["metrics"] if metric["role"] == "goal")
    return goal


def share_of(run: Mapping[str, Any]) -> int:
    """The treatment's share of all traffic now, in parts per million."""
    if run["state"] == "promoted":
        return PPM
    ramp, step = run["spec"]["ramp"], run["step"]
    moving = run["state"] in ("running", "promoting", "held") and 0 <= step < len(ramp)
    return int(ramp[step]["traffic"]) if moving else 0


def sentence(run: Mapping[str, Any]) -> str:
    """Why it stands where it stands: the decision's own words, else what the goal says now."""
    decision = run.get("decision") or {}
    if decision.get("sentence") and (run["state"] in OF_STATE or run.get("paused")):
        return str(decision["sentence"])
    evidence = run.get("evidence")
    if run["state"] == "held" and run.get("reason") and not (evidence and evidence["health"]["problems"]):
        if run["step"] < 0:
            return f"{run['treatment']} gets no traffic yet: {run['reason']}."
        return f"{run['treatment']} keeps {share(share_of(run))} of traffic: {run['reason']}."
    if evidence is None:
        return f"{run['treatment']} has {share(share_of(run))} of traffic; no look has been taken yet."
    problems = evidence["health"]["problems"]
    if problems:
        return f"The counts cannot be trusted, so nothing moves: {'; '.join(problems)}."
    return _goal_sentence(run, evidence)


def _goal_sentence(run: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    goal = goal_of(run)
    row = evidence["metrics"].get(goal["name"], {})
    begin = f"{run['treatment']} has {share(share_of(run))} of traffic"
    if row.get("estimate") is None:
        return f"{begin}; {goal['name']} waits for {row.get('missing') or 'its first values'}."
    sides = " against ".join(
        f"{level(row, row[side]['value'])} of {count(row[side]['n'])} units ({run[side]})"
        for side in ("treatment", "control")
    )
    text = f"{begin}. {goal['name']}: {sides}, difference {difference(row, row['estimate'])}"
    if row["interval"]:
        text += f", interval {interval_text(row, row['interval'])}"
    if run["spec"]["kind"] == "ab":
        return f"{text}; promotion needs {run['treatment']} shown to be better."
    return f"{text}; promotion needs harm below {difference(row, row['margin']).lstrip('+')}."


def held_at_deadline(run: Mapping[str, Any]) -> bool:
    """Whether the run's deadline holds it, until a person acts."""
    return bool(run["state"] == "held" and run["reason"] == "deadline passed")


def what_next(run: Mapping[str, Any], now: int) -> str:
    """What happens next, and what it waits for."""
    state, evidence = run["state"], run.get("evidence")
    control, treatment = run["control"], run["treatment"]
    if state == "promoted":
        return f"{treatment} serves everyone. A person may still roll back to {control}."
    if state == "rolled_back":
        return f"{control} serves everyone. Mend {treatment}, then apply the file with attempt: {run['attempt'] + 1}."
    if state in OF_STATE:
        return (
            "The gateways take over the new default arm."
            if state == "promoting"
            else "Nothing: this run is over."
        )
    if run.get("paused"):
        return "No step goes on until somebody resumes; shown harm still rolls back."
    if held_at_deadline(run):
        return "The deadline has passed undecided: resume it, promote it or roll it back; shown harm still rolls back."
    if evidence is not None and not evidence["health"]["ok"]:
        return "Everything is held until the telemetry is healthy; shown harm still rolls back."
    if run["step"] < 0:
        return f"The first step begins when every endpoint of {treatment} has passed its ready probe."
    ramp = run["spec"]["ramp"]
    closed = evidence["units"].get(treatment, {}).get("closed", 0) if evidence else 0
    waits = step_met(ramp[run["step"]], run["step_since"], now, closed)
    if run["step"] + 1 < len(ramp):
        goes = f"Step {run['step'] + 1} of {len(ramp)}: goes on to {share(ramp[run['step'] + 1]['traffic'])}"
        return (
            f"{goes} after {waits}." if waits else f"{goes} at the next look, if no metric stands against it."
        )
    waiting = "; ".join(run.get("waits") or ()) or waits or "the evidence"
    better = (
        "a goal is shown to be better and every guardrail" if run["spec"]["kind"] == "ab" else "every metric"
    )
    return f"Last step: {treatment} is promoted when {better} is shown to be within its margin. Waiting for {waiting}."


def summary(run: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a list of experiments."""
    fields = (
        "experiment",
        "run",
        "route",
        "state",
        "verdict",
        "reason",
        "control",
        "treatment",
        "step",
        "started",
        "ended",
    )
    return {
        **{field: run.get(field) for field in fields},
        "kind": run["spec"]["kind"],
        "paused": bool(run.get("paused")),
        "share": share_of(run),
        "headline": headline(run).word,
        "sentence": sentence(run),
    }


def number(value: float | None, digits: int = 4) -> str:
    """At most ``digits`` significant digits, never in powers of ten."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"


def count(value: int | None) -> str:
    """A count with thousands marks."""
    return UNKNOWN if value is None else f"{value:,}"


def share(ppm: float | None) -> str:
    """Parts per million as a percentage."""
    return UNKNOWN if ppm is None else f"{ppm / 10_000:.4g} %"


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as a percentage."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.{digits}f} %"


def scale_of(metric: Mapping[str, Any]) -> str:
    """How differences of a metric are written: ``pp`` for shares, ``%`` of control's level, or empty."""
    return "%" if metric.get("relative") else "pp" if KINDS[metric["kind"]].share else ""


def level(metric: Mapping[str, Any], value: float | None) -> str:
    """The level of a metric in one arm."""
    return percent(value) if KINDS[metric["kind"]].share else number(value)


def difference(metric: Mapping[str, Any], value: float | None) -> str:
    """The difference of two levels; of two shares in percentage points, or relative to control's level."""
    if value is None:
        return UNKNOWN
    scale = scale_of(metric)
    if not scale:
        return f"{value:+,.4g}"
    points = value * 100
    return f"{points:+.2f} {scale}" if 0 < abs(points) < 0.1 else f"{points:+,.1f} {scale}"


def interval_text(metric: Mapping[str, Any], interval: list[float] | None) -> str:
    """An interval of differences."""
    if not interval:
        return UNKNOWN
    scale = f" {scale_of(metric)}".rstrip()
    low, high = (difference(metric, edge) for edge in interval)
    return f"[{low.removesuffix(scale)}, {high.removesuffix(scale)}]{scale}"


def duration(ms: float | None) -> str:
    """A time span in the largest unit that fits."""
    if ms is None:
        return UNKNOWN
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms:.0f} ms"


def iso(ms: float | None) -> str:
    """A moment for ``<time datetime>``."""
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(ms: float | None) -> str:
    """A moment for people, UTC."""
    return UNKNOWN if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def minus(text: object) -> str:
    """The typographic minus, for pages."""
    return str(text).replace("-", "−") if str(text)[:1] in "-[+" else str(text)


FILTERS: dict[str, Callable[..., str]] = {
    "count": count,
    "number": number,
    "share": share,
    "percent": percent,
    "duration": duration,
    "iso": iso,
    "clock": clock,
    "minus": minus,
}
