"""The ramp: ordered raises of coverage, each with what must be met before the next.

A ramp is written as the treatment's share of all traffic; its largest step is the treatment's lane. Promotion is a
decision, not a step, so ``100%`` does not belong in a ramp.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.bucketing import PPM

STEP_TIME_MS = 600_000
STEP_UNITS = 100
DEFAULT_RAMPS = {"canary": ("1%", "5%", "10%", "25%"), "ab": ("1%", "5%", "25%", "50%")}


def coverage_of(traffic: int, lane: int) -> int:
    """The fraction (ppm) to which all lanes are filled when the treatment has ``traffic`` of its ``lane``."""
    return traffic * PPM // lane


def step_at(ramp: Sequence[dict[str, int]], coverage: int) -> int | None:
    """The index of the step that fills the lanes to ``coverage``; None when the ramp has no such step."""
    return next((i for i, step in enumerate(ramp) if step["coverage"] == coverage), None)


def step_met(step: dict[str, int], since_ms: int, now_ms: int, closed_units: int) -> str:
    """What a step still waits for, as words; empty when its time and its units are met."""
    left = step["time_ms"] - (now_ms - since_ms)
    if left > 0:
        return f"{left / 1000:.0f} s more of this step"
    if closed_units < step["units"]:
        return f"{step['units'] - closed_units} more treatment units with closed windows"
    return ""
