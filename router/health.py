"""Telemetry health: may the moments be believed at all?

Every problem found is a sentence; any problem makes the run ``invalid`` and holds it, but never stops a rollback. What
is not known is a problem too: a telemetry field of None is never taken for a good one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stats import evalues, grid, normal, proportions, rare, srm
from stats.strata import gather

ALPHA_SRM = 0.001
LOSS_LIMIT = 0.01
LOSS_UNEQUAL_E = 1000.0
LOSS_CONCENTRATION = 100.0  # losses are few: a wide prior
REPORTED_E = 100.0  # a two-sided e-value of at least this shows that reporting differs
REPORTED_MARGIN = 0.10  # promotion needs the difference in reporting shown to be below this

Pair = tuple[int, int]  # of control, of treatment


@dataclass(frozen=True, slots=True)
class Health:
    """What the fold knows about the telemetry, beside the moments; None is "not known".

    Attributes:
        sent: rows of (control, treatments) that arrived.
        lost: rows of (control, treatments) that did not, whether dropped and counted or missing from a sequence.
        lag_ms: age of the oldest entry not yet folded.
        lag_limit_ms: above which the telemetry is too late to decide by.
        silent: metrics whose reports have stopped.
        counts: what is only shown: late, orphan, malformed, duplicate …
        misidentified: arms that are not what they are declared to be, each in words.
    """

    sent: Pair | None = (0, 0)
    lost: Pair | None = (0, 0)
    lag_ms: int | None = 0
    lag_limit_ms: int = 30_000
    silent: tuple[str, ...] | None = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    misidentified: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """The result: as it is stored, the problems in words, and the mismatch's running maximum."""

    document: dict[str, Any]
    problems: tuple[str, ...]
    srm: float


def check(
    health: Health, exposed: Sequence[Pair], share: float, seen: float, arms: tuple[str, str]
) -> Checked:
    """Weigh the telemetry of a run.

    Args:
        health: what the fold knows.
        exposed: units of (control, treatment) of each stratum.
        share: of the treatment in both arms' lanes, within (0, 1).
        seen: the running maximum of the mismatch's log e so far; it stays until a new epoch.
        arms: names of control and treatment.
    """
    ratio, problems, highest = _arrivals(exposed, share, seen, arms)
    loss, lost_problems = _loss(health)
    problems += lost_problems
    if health.lag_ms is None or health.lag_ms > health.lag_limit_ms:
        lag = "not known" if health.lag_ms is None else f"{health.lag_ms / 1000:.0f} s"
        problems.append(f"events are folded late: lag {lag}")
    if health.silent is None:
        problems.append("whether reports have stopped arriving is not known")
    problems += [f"reports of {name} have stopped arriving" for name in health.silent or ()]
    problems += health.misidentified
    document = {
        "srm": ratio,
        "loss": loss,
        "lag_ms": health.lag_ms,
        "silent": None if health.silent is None else list(health.silent),
        "counts": dict(health.counts),
    }
    return Checked(document, tuple(problems), highest)


def _arrivals(
    exposed: Sequence[Pair], share: float, seen: float, arms: tuple[str, str]
) -> tuple[dict[str, Any], list[str], float]:
    shares = (1 - share, share)
    log_e = max(seen, srm.log_evalue([(pair, shares) for pair in exposed]))
    totals = tuple(sum(pair[arm] for pair in exposed) for arm in (0, 1))
    threshold = math.log(1 / ALPHA_SRM)
    problems = []
    if log_e >= threshold:
        found = totals[1] / max(1, sum(totals))
        problems.append(
            f"sample ratio mismatch: {share:.1%} of units asked for the treatment, {found:.1%} arrived"
        )
    document = {
        "log_e": log_e,
        "threshold": threshold,
        "counts": dict(zip(arms, totals, strict=True)),
        "expected": dict(zip(arms, shares, strict=True)),
        "ok": not problems,
    }
    return document, problems, log_e


def _loss(health: Health) -> tuple[dict[str, Any], list[str]]:
    if health.sent is None or health.lost is None:
        return {"lost": None, "sent": None, "share": None, "ok": False}, [
            "how many events were lost is not known"
        ]
    lost, all_rows = sum(health.lost), sum(health.sent) + sum(health.lost)
    share = lost / all_rows if all_rows else 0.0
    problems = []
    if share > LOSS_LIMIT:
        problems.append(f"events lost: {share:.1%} of all")
    elif lost and _unequal(health.sent, health.lost):
        problems.append(f"events lost unequally: {health.lost[0]} of control, {health.lost[1]} of treatment")
    document = {"lost": list(health.lost), "sent": list(health.sent), "share": share, "ok": not problems}
    return document, problems


def _unequal(sent: Pair, lost: Pair) -> bool:
    totals = [arrived + gone for arrived, gone in zip(sent, lost, strict=True)]
    if min(totals) == 0:
        return False
    shares = [total / sum(totals) for total in totals]
    return srm.log_evalue([(lost, shares)], LOSS_CONCENTRATION) >= math.log(LOSS_UNEQUAL_E)


def reporting(strata: Sequence[tuple[Pair, Pair]]) -> dict[str, Any]:
    """Do the units of both arms report alike? An arm that suppresses feedback would win among those who still give it.

    Args:
        strata: of each stratum, (units with a closed window, of them with any report) of control and of treatment.

    Returns:
        ``log_e``: two-sided, the normal mixture of ``stats.normal`` with a standard deviation of 10 pp, shows a difference.
        ``log_e_equal``: the lesser of two one-sided proofs that the difference is below 10 pp; each averages the gated
        grid with two exact rules, since a difference of 10 pp needs one arm to report, and the other to be silent, in
        at least 10 % of its units.
    """
    found = gather([proportions.difference(n0, x0, n1, x1) for (n0, x0), (n1, x1) in strata])
    a, b = found.a, found.b
    closed = [sum(pair[arm][0] for pair in strata) for arm in (0, 1)]
    reports = [sum(pair[arm][1] for pair in strata) for arm in (0, 1)]
    silent = [n - x for n, x in zip(closed, reports, strict=True)]
    below = _shown_below(a, -b, (closed[1], reports[1]), (closed[0], silent[0]))
    above = _shown_below(a, b, (closed[0], reports[0]), (closed[1], silent[1]))
    spread = REPORTED_MARGIN**2
    return {
        "closed": closed,
        "reported": reports,
        "rates": [x / n if n else None for n, x in zip(closed, reports, strict=True)],
        "estimate": b / a if a else None,
        "interval": list(normal.interval(a, b, spread, 1 / REPORTED_E)) if a else None,
        "log_e": normal.log_evalue(a, b, 0.0, spread),
        "log_e_equal": min(below, above),
        "threshold": math.log(REPORTED_E),
        "margin": REPORTED_MARGIN,
    }


def _shown_below(a: float, b: float, *arms: tuple[int, int]) -> float:
    difference = grid.log_evalue(a, b, -REPORTED_MARGIN, REPORTED_MARGIN)
    return evalues.average([difference, *(rare.log_evalue(n, x, REPORTED_MARGIN) for n, x in arms)])


def unequal_reports(name: str, reported: Mapping[str, Any] | None, seen: float) -> list[str]:
    """The problem in words, when the arms are shown to report differently now or (``seen``) were at an earlier look."""
    if reported is None or max(seen, reported["log_e"]) < math.log(REPORTED_E):
        return []
    control, treatment = ("no units" if rate is None else f"{rate:.0%}" for rate in reported["rates"])
    return [
        f"feedback differs between the arms: {treatment} of treatment and {control} of control units report {name}"
    ]
