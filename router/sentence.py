"""The sentence of a decision: which run it is about, where that run stands, and the numbers that decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.evidence import Evidence
from router.verdict import Verdict


def name_of(run: Mapping[str, Any]) -> str:
    """The experiment, and the treatment it is about."""
    return f"{run['experiment']} ({run['treatment']})"


def share_of(run: Mapping[str, Any]) -> str:
    """The treatment's share of traffic at the run's step."""
    step = run["step"]
    return f"{run['spec']['ramp'][step]['traffic'] / 10_000:g} %" if step >= 0 else "0 %"


def numbers_of(run: Mapping[str, Any], evidence: Evidence, name: str) -> str:
    """The metric that decided, with its numbers: levels, units, estimate, interval, margin."""
    row = evidence.document["metrics"][name]
    scale = "%" if row["relative"] else "pp" if row["share"] else ""

    def level(side: str) -> str:
        value, n = row[side]["value"], row[side]["n"]
        if value is None:
            return "no value"
        return f"{value * 100:.1f} % of {n:,}" if row["share"] else f"{value:.4g} of {n:,}"

    def difference(value: float) -> str:
        return f"{value * 100:+.1f}" if scale else f"{value:+.4g}"

    unit = f" {scale}" if scale else ""
    parts = [f"{name} {level('treatment')} treatment units against {level('control')} control units"]
    if row["estimate"] is not None:
        parts.append(f"estimate {difference(row['estimate'])}{unit}")
    if row["interval"] is not None:
        parts.append(f"interval [{difference(row['interval'][0])}, {difference(row['interval'][1])}]{unit}")
    parts.append(f"margin {difference(row['margin'])}{unit}")
    if evidence.verdict is Verdict.WORSE:
        parts.append(f"harm's log e {row['max_log_e']['harm']:.1f} reached {row['threshold']['harm']:.1f}")
    return ", ".join(parts)
