"""Verdicts, plans and histories as text for people: plain lines that also read well in a log.

Shares as ``5 %``, differences of shares in percentage points (``pp``), counts with thousands marks. A number that is
not known is ``n/a``, with the reason beside it; nothing is ever guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from router import notes
from router.cli import terminal

UNKNOWN = "n/a"
PPM = 1_000_000


def number(value: float | None, digits: int = 4) -> str:
    """A number in at most ``digits`` significant digits."""
    return UNKNOWN if value is None else f"{value:,.{digits}g}"


def share(ppm: int | None) -> str:
    """Parts per million as a percentage."""
    return UNKNOWN if ppm is None else f"{ppm / 10_000:g} %"


def level(metric: Mapping[str, Any], value: float | None) -> str:
    """The level of a metric in one arm, in its own unit."""
    if value is None:
        return UNKNOWN
    return f"{value * 100:.1f} %" if metric["share"] else number(value)


def difference(metric: Mapping[str, Any], value: float | None) -> str:
    """The difference of two levels; of shares in percentage points, of relative ones in percent of control's level."""
    if value is None:
        return UNKNOWN
    if metric["relative"]:
        return f"{value * 100:+,.1f} %"
    return f"{value * 100:+.1f} pp" if metric["share"] else f"{value:+.4g}"


def moment(ms: int | float | None) -> str:
    """A point in time, UTC, to the second."""
    return UNKNOWN if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; narrower where a terminal is."""
    cells = terminal.fitted([head, *rows])
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        terminal.GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def verdict(answer: Mapping[str, Any]) -> str:
    """The verdict of one run: the sentence, a row per metric, the health of its telemetry."""
    evidence = answer.get("evidence")
    lines = [
        f"{answer['experiment']}: {answer['state'].upper()} - verdict {answer.get('verdict') or 'inconclusive'}",
        str(answer.get("sentence") or ""),
    ]
    if not evidence:
        return "\n".join([*lines, "no evidence yet: no look has been taken"])
    lines += ["", _metrics(evidence), "", *_health(evidence)]
    if "ground" in evidence:
        lines += [f"because: {evidence['ground']}", "", *_statistics(evidence)]
    if evidence.get("missing"):
        lines.append("missing: " + "; ".join(evidence["missing"]))
    return "\n".join(lines)


def _metrics(evidence: Mapping[str, Any]) -> str:
    rows = []
    for name, metric in evidence["metrics"].items():
        low, high = metric["interval"] or (None, None)
        interval = UNKNOWN if low is None else f"[{difference(metric, low)}, {difference(metric, high)}]"
        rows.append(
            (
                f"{metric['role']} {name}",
                f"{level(metric, metric['control']['value'])} of {metric['control']['n']:,}",
                f"{level(metric, metric['treatment']['value'])} of {metric['treatment']['n']:,}",
                difference(metric, metric["estimate"]),
                interval,
                difference(metric, metric["margin"]),
                metric["state"] + (f" ({metric['missing']})" if metric.get("missing") else ""),
            )
        )
    return table(("metric", "control", "treatment", "estimate", "interval", "margin", "state"), rows)


def _statistics(evidence: Mapping[str, Any]) -> list[str]:
    """The claims with their numbers, then what else there is to read of each metric."""
    rows = evidence["metrics"]
    cells = [
        (name, *(test[key] for key in ("claim", "now", "highest", "needed", "p")))
        for name, row in rows.items()
        for test in notes.tests(row)
    ]
    head = ("for statisticians", "claim", "now", "highest", "needed", "anytime p")
    read = [f"{name}: {line}" for name, row in rows.items() for line in notes.notes(row)]
    return [table(head, cells), *read]


def _health(evidence: Mapping[str, Any]) -> list[str]:
    health = evidence["health"]
    if health["ok"]:
        return ["telemetry: healthy"]
    return ["telemetry: NOT healthy - " + "; ".join(health["problems"])]


def history(entries: Sequence[Mapping[str, Any]]) -> str:
    """One line per change: when, who, what, why."""
    rows = [
        (moment(e.get("time")), str(e.get("actor")), str(e.get("action")), str(e.get("reason")))
        for e in entries
    ]
    return table(("time (UTC)", "actor", "action", "reason"), rows)


def experiments(rows: Sequence[Mapping[str, Any]]) -> str:
    """The list of experiments."""
    cells = [
        (
            str(row["experiment"]),
            str(row.get("route", "")),
            str(row.get("state", "")),
            str(row.get("verdict") or "inconclusive"),
            share(row.get("share")),
            str(row.get("reason") or ""),
        )
        for row in rows
    ]
    return table(("experiment", "route", "state", "verdict", "treatment's share", "reason"), cells)


def gateway(beat: Mapping[str, Any], latest: int) -> list[str]:
    """What one gateway worker routes by, and whatever of it is not as the store has it."""
    name, shown = beat["writer"], beat.get("revisions", {})
    revisions = ", ".join(f"{route} {revision}" for route, revision in shown.items()) or "none"
    more = beat.get("routes", len(shown)) - len(shown)
    at = f"change {beat['change']} of {latest}, " if "change" in beat else ""
    lines = [f"gateway {name}: {at}revisions {revisions}" + (f" and {more:,} more" if more > 0 else "")]
    lines += [f"  {route} at {lost}: the store has lost it" for route, lost in beat.get("behind", {}).items()]
    lines += [f"  {route} cannot be read: {why}" for route, why in beat.get("corrupt", {}).items()]
    override = beat.get("override")
    if override:
        what = [f"{name} killed" for name in override.get("kill", ())]
        what += [f"{route} default {arm}" for route, arm in override.get("default", {}).items()]
        lines.append(
            f"  OVERRIDDEN by a file on its host: {', '.join(what) or 'nothing'} - {override.get('reason')}"
        )
        lines += [f"  override: {problem}" for problem in override["problems"]]
    return lines


def steps(rows: Sequence[Mapping[str, Any]]) -> str:
    """The steps of an assignment, in the order of evaluation."""
    head = ("step", "hash", "bucket", "range", "answer")
    cells = [
        tuple("" if row.get(key) is None else str(row[key]) for key in ("question", *head[1:]))
        for row in rows
    ]
    return table(head, cells)


def dealt(answer: Mapping[str, Any]) -> str:
    """How many units get which arm, and why."""
    rows = [
        (kind, name, f"{row['n']:,}", f"{row['ppm'] / 10_000:.2f} %")
        for kind, part in (("arm", "arms"), ("reason", "reasons"))
        for name, row in answer[part].items()
    ]
    return table(("", "name", "units", "share"), rows)


def layers(answer: Mapping[str, Any]) -> str:
    """Ranges of each layer, then the pairs of experiments that meet."""
    rows = []
    for layer in answer["layers"]:
        for one in layer["taken"]:
            until = f"rests until {moment(one['rests_until'])}" if one["rests_until"] is not None else "runs"
            rows.append((layer["layer"], f"[{one['range'][0]}, {one['range'][1]})", one["run"], until))
        rows += [(layer["layer"], f"[{start}, {end})", "", "free") for start, end in layer["free"]]
    pairs = [
        (
            " and ".join(pair["experiments"]),
            pair["how"],
            "" if pair["ppm"] is None else f"{pair['ppm'] / 10_000:.2f} %",
        )
        for pair in answer["overlaps"]
    ]
    parts = [table(("layer", "range", "run", ""), rows) if rows else "no layers yet"]
    if pairs:
        parts.append(table(("experiments", "overlap", "of all units"), pairs))
    return "\n\n".join(parts)
