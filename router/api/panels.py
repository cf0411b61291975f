"""The panels of a verdict page as values: trust, arms, metrics, looks, ramp. The template only writes them down."""

from __future__ import annotations

from typing import Any

from router import notes
from router.api import charts, words
from router.api.run_facts import FINAL
from router.flag import Flag, RunningExperiment

LOOKS_SHOWN = 14
LAG = {None: "not known", 0: "nothing waits to be folded"}


def trust(run: dict[str, Any], evidence: dict[str, Any] | None) -> list[dict[str, str]]:
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
        _check("Lag", not late, LAG.get(lag) or f"folded {words.duration(lag)} after it happened"),
        _check("Feedback", not silent and not differs, feedback),
    ]


def _check(name: str, ok: bool | None, text: str) -> dict[str, str]:
    tone, sign, word = {
        True: ("good", "✔", "healthy"),
        False: ("bad", "✖", "not healthy"),
        None: ("calm", "○", "unknown"),
    }[ok]
    return {"name": name, "tone": tone, "sign": sign, "word": word, "text": text}


def arms(run: dict[str, Any], flag: Flag | None, evidence: dict[str, Any] | None) -> list[dict[str, Any]]:
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
                "traffic": _traffic(lane, running, flag),
                "asked": lane["share"] / words.PPM,
                "observed": observed,
                "bar": charts.bar(observed, f"{arm}: {words.percent(observed)} of enrolled units"),
                "exposed": counted.get("exposed", 0) if evidence else None,
                "closed": counted.get("closed", 0) if evidence else None,
            }
        )
    return rows


def _traffic(lane: dict[str, Any], running: RunningExperiment | None, flag: Flag | None) -> int | None:
    """The share of all traffic that reaches an arm as enrolled, or, when the run is over, at all."""
    if flag is None:
        return None
    if running is None:
        return words.PPM if flag.default == lane["arm"] else 0
    enrolled: int = lane["share"] * running.coverage // words.PPM
    return enrolled * running.traffic // words.PPM


STATE_WORDS = {
    "harmful": ("✖", "harm shown", "bad"),
    "superior": ("✔", "better", "good"),
    "non_inferior": ("✔", "within margin", "good"),
    "futile": ("■", "given up", "warn"),
    "undecided": ("…", "not decided", "calm"),
    "no_data": ("○", "no data", "warn"),
    "observed": ("·", "only shown", "calm"),
}


def metrics(run: dict[str, Any], evidence: dict[str, Any] | None) -> list[dict[str, Any]]:
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


def statistics(evidence: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Per metric the claims with their numbers, and what else there is to read; empty for evidence without them."""
    rows = (evidence or {}).get("metrics", {})
    return [
        {"name": name, "tests": notes.tests(row), "notes": notes.notes(row)}
        for name, row in rows.items()
        if "anytime_p" in row
    ]


def thinned(looks: list[Any]) -> list[Any]:
    """Evenly chosen looks, the last one among them."""
    every = max(1, -(-len(looks) // LOOKS_SHOWN))
    return looks[::-1][::every][::-1]


def ramp(run: dict[str, Any], now: int) -> list[dict[str, Any]]:
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
