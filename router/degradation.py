"""After a promotion: whether the rate of an event has slowly risen, from counts by interval.

An interval is one step of a Shiryaev-Roberts e-detector, so the mean time to a false alarm is at least the run length,
in intervals, however many requests an interval has. CUSUM names where the rise most likely began.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from router.errors import Problem, SpecError
from stats import detectors, rare
from stats.evalues import threshold
from stats.intervals import least_shown

RUN_LENGTH = 10_000  # intervals to a false alarm, on average, at least
BASELINE_ALPHA = 0.05
FIELDS = ("requests", "events", "held_requests", "held_events")


class Interval(NamedTuple):
    """Requests and those of them with the event; the same of a control that is held back, where there is one."""

    requests: int
    events: int
    held_requests: int = 0
    held_events: int = 0


def read(lines: Iterable[str], name: str) -> list[Interval]:
    """JSON lines as intervals, the oldest first.

    Raises:
        SpecError: all lines that are none, each with its place; or there is no line.
    """
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _interval(line)
        if isinstance(found, Interval):
            rows.append(found)
        else:
            problems.append(Problem("", found, line.strip()[:80], file=name, line=number))
    if not rows and not problems:
        problems.append(Problem("", 'lines such as {"requests": 1200, "events": 3}', "none", file=name))
    if rows and len({row.held_requests > 0 for row in rows}) > 1:
        problems.append(Problem("", "held_requests above 0 in all lines or in none", "both", file=name))
    if problems:
        raise SpecError(problems)
    return rows


def _interval(line: str) -> Interval | str:
    """The interval of a line, or what was expected of it."""
    try:
        row = json.loads(line)
    except ValueError:
        return "one JSON object a line"
    if not isinstance(row, dict) or not {"requests", "events"} <= set(row) <= set(FIELDS):
        return f"an object with requests and events, and at most {', '.join(FIELDS[2:])} beside"
    if any(type(value) is not int or value < 0 for value in row.values()):
        return "whole numbers of at least 0"
    found = Interval(**row)
    if found.events > found.requests or found.held_events > found.held_requests:
        return "no more events than requests"
    return found


def baseline_of(rows: Sequence[Interval]) -> float | None:
    """The upper confidence limit of the rate in these intervals: above the true one in 95 of 100 cases.

    Returns:
        None without a request, or while no rate below 1 is excluded.
    """
    requests, events = sum(row.requests for row in rows), sum(row.events for row in rows)
    if not requests:
        return None
    needed = threshold(BASELINE_ALPHA)
    limit = least_shown(
        lambda rate: rate >= 1 or (rate > 0 and rare.log_evalue(requests, events, rate) >= needed), 0.0, 1.0
    )
    return limit if limit < 1 else None


def watch(rows: Sequence[Interval], baseline: float | None, run_length: float = RUN_LENGTH) -> dict[str, Any]:
    """Go through the intervals, up to the first at which a rise is shown.

    Args:
        rows: the oldest first.
        baseline: the rate before any change, within (0, 1); None when a control is held back, to compare with.
        run_length: mean number of intervals to a false alarm, at least; above 1.

    Returns:
        ``shown``; of the interval that showed it ``at``, and ``began``, where the rise most likely began (both count
        from 0, None when none is shown); ``log_e`` at the end, ``needed``, and totals.

    Raises:
        ValueError: baseline or run length out of range.

    Not valid:
        For events that come in bursts, as from one client that asks again: count units with an event then.
    """
    needed, shown = math.log(run_length), None
    steps = None if baseline is None else detectors.increments(baseline)
    components = len(detectors.RATIOS) if steps is None else steps.shape[1]
    state, best, began = detectors.start(components), detectors.start(components), np.zeros(components, int)
    for i, row in enumerate(rows):
        step = _step(row, steps)
        began = np.where(best <= 0, i, began)
        state, best = detectors.shiryaev_roberts(state, step), detectors.cusum(best, step)
        if detectors.log_evidence(state) >= needed:
            shown = i
            break
    return {
        "shown": shown is not None,
        "at": shown,
        "began": None if shown is None else int(began[int(np.argmax(best))]),
        "log_e": float(detectors.log_evidence(state)) if rows else None,
        "needed": needed,
        "run_length": run_length,
        "baseline": baseline,
        **_totals(rows if shown is None else rows[: shown + 1]),
    }


def _totals(rows: Sequence[Interval]) -> dict[str, int]:
    return {
        "intervals": len(rows),
        "requests": sum(row.requests for row in rows),
        "events": sum(row.events for row in rows),
    }


def _step(row: Interval, steps: detectors.Floats | None) -> detectors.Floats:
    """The log likelihood ratio of one interval, by component."""
    if steps is not None:
        return np.asarray((row.requests - row.events) * steps[0] + row.events * steps[1])
    if not row.requests:
        return np.zeros(len(detectors.RATIOS))
    by_arm = detectors.holdback_increments(row.requests / (row.requests + row.held_requests))
    return np.asarray(row.held_events * by_arm[0] + row.events * by_arm[1])
