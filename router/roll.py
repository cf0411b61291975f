"""A declared roll: the same arm becomes another build of itself (retrained each night), and a new stratum begins.

Units that enter from then on are compared among themselves; what earlier ones said still counts, since evidence adds over
strata. The flag does not change: nobody moves. A unit belongs to the stratum of its entry, and what the arm's answers
should call themselves from then on is part of the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.errors import Problem, Refused, SpecError, UnknownName
from router.flag import Arm, Flag
from router.identity import declared
from router.lifecycle import Action, after
from router.run import compares

MOST_ROLLS = 400  # one a night for a year; each is a stratum in every sum


def roll(
    run: Mapping[str, Any], arm: str, now: int, actor: str, reason: str, name: str = ""
) -> tuple[dict[str, Any], str]:
    """The run with one more roll of an arm, and what is said of it.

    Args:
        run: the run state.
        arm: its control or its treatment.
        now: from when units enter the new stratum, ms.
        actor: who declares it.
        reason: why, kept with the roll.
        name: what its answers say that they come from, from now on; empty where nothing is declared.

    Raises:
        IllegalMove: the run has ended.
        UnknownName: the run has no such arm.
        Refused: it was rolled too often.
    """
    after(run["state"], Action.ROLL)
    arms = (run["control"], run["treatment"])
    if arm not in arms:
        raise UnknownName(f"arm of {run['experiment']}", arm, arms)
    rolls = [*run.get("rolls", ()), [now, arm, f"by {actor}: {reason}", name]]
    if len(rolls) > MOST_ROLLS:
        raise Refused("too_many", f"rolls: expected at most {MOST_ROLLS} in one run, found {len(rolls)}", 409)
    said = f" to {name!r}" if name else ""
    sentence = (
        f"{run['experiment']} ({arm}) rolled{said} by {actor}: {reason}; units from here on are a new stratum"
    )
    return {**run, "rolls": rolls, "version": run["version"] + 1}, sentence


def rolled_by_file(
    run: Mapping[str, Any], flag: Flag, arms: Sequence[str], now: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The run after its route's file has declared other builds of these arms, and what is said of it.

    A further attempt at what the arms are now goes on in the same promotion e-process, as one at what they were.
    """
    rolled, lines = dict(run), []
    for arm in arms:
        name = flag.arm(arm).declares
        rolled, line = roll(rolled, arm, now, "file", f"declares {name or 'nothing'}", name)
        lines.append(line)
    compared = [*run.get("compared", ()), compares(flag, run["spec"])]
    return {**rolled, "compared": compared, "version": run["version"] + 1}, tuple(lines)


def check_named(run: Mapping[str, Any], arm: Arm, name: str) -> None:
    """Hold a roll of an arm to its declaration: one that is declared stays declared.

    Raises:
        SpecError: nothing is declared of an arm of which something was.
    """
    if not name and (before := declared(run, arm)):
        expected = f"what the answers of {arm.name!r} say from now on, which were declared to say {before!r}"
        raise SpecError([Problem("declares", expected, "nothing")])
