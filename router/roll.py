"""A declared roll: the same arm becomes another build of itself (retrained each night), and a new stratum begins.

Units that enter from then on are compared among themselves; what earlier ones said still counts, since evidence adds over
strata. The flag does not change: nobody moves. A unit belongs to the stratum of its entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.errors import Refused, UnknownName
from router.lifecycle import Action, after

MOST_ROLLS = 400  # one a night for a year; each is a stratum in every sum


def roll(run: Mapping[str, Any], arm: str, now: int, actor: str, reason: str) -> tuple[dict[str, Any], str]:
    """The run with one more roll of an arm, and what is said of it.

    Args:
        run: the run state.
        arm: its control or its treatment.
        now: from when units enter the new stratum, ms.
        actor: who declares it.
        reason: why, kept with the roll.

    Raises:
        IllegalMove: the run has ended.
        UnknownName: the run has no such arm.
        Refused: it was rolled too often.
    """
    after(run["state"], Action.ROLL)
    arms = (run["control"], run["treatment"])
    if arm not in arms:
        raise UnknownName(f"arm of {run['experiment']}", arm, arms)
    rolls = [*run.get("rolls", ()), [now, arm, f"by {actor}: {reason}"]]
    if len(rolls) > MOST_ROLLS:
        raise Refused("too_many", f"rolls: expected at most {MOST_ROLLS} in one run, found {len(rolls)}", 409)
    sentence = (
        f"{run['experiment']} ({arm}) rolled by {actor}: {reason}; units from here on are a new stratum"
    )
    return {**run, "rolls": rolls, "version": run["version"] + 1}, sentence
