"""Which model answered: what the answers of a run's arms called themselves, held against what they are declared to be.

A declared roll begins anew: the arm is another build from then on, and only what is said of requests assigned since then
counts. An arm that differs from what is declared, or answers as two, makes the run ``invalid`` until a roll declares it.
That both arms answered as the same model stays until a new epoch: the evidence of that time compares a model with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from router.flag import Arm

NAMES_MOST = 4  # of an arm; two are too many already


class Seen(msgspec.Struct):
    """What the answers of a run told so far.

    Attributes:
        rolls: how many rolls were declared before the requests that ``names`` tells of.
        names: by arm, what its answers called themselves since the last roll.
        alike: what both arms answered as within one stratum, ever.
    """

    rolls: int = 0
    names: dict[str, list[str]] = msgspec.field(default_factory=dict)
    alike: list[str] = msgspec.field(default_factory=list)

    def answered(self, arm: str, name: str, rolls: int) -> None:
        """An arm answered under a name; the request was assigned after so many rolls."""
        if rolls > self.rolls:
            self.rolls, self.names = rolls, {}
        names = self.names.setdefault(arm, [])
        if rolls < self.rolls or name in names or len(names) >= NAMES_MOST:
            return
        names.append(name)
        others = (found for other, found in self.names.items() if other != arm)
        if name not in self.alike and len(self.alike) < NAMES_MOST and any(name in found for found in others):
            self.alike.append(name)


def declared(run: Mapping[str, Any], arm: Arm) -> str:
    """What an arm's answers should say: as the last roll of it declared, else as its route's file does."""
    rolls = [roll for roll in run.get("rolls", ()) if roll[1] == arm.name]
    return str(rolls[-1][3]) if rolls else arm.declares


def misidentified(run: Mapping[str, Any], control: Arm, treatment: Arm, seen: Seen) -> tuple[str, ...]:
    """Arms that are not what they should be: the commonest cause is an update that was never really pushed.

    Args:
        run: the run state, for its rolls.
        control: as the flag has it.
        treatment: as the flag has it.
        seen: what the answers of the run's arms told.
    """
    problems = []
    fresh = seen.names if seen.rolls >= len(run.get("rolls", ())) else {}
    for arm in (control, treatment):
        wanted, names = declared(run, arm), sorted(fresh.get(arm.name, ()))
        others = [name for name in names if wanted and name != wanted]
        if others:
            found = ", ".join(map(repr, others))
            problems.append(f"{arm.name} is declared {wanted!r} and answers as {found}")
        elif len(names) > 1:
            found = " and ".join(map(repr, names))
            problems.append(f"{arm.name} answers as {found}: it changed under the run")
    # Arms that set values may be one model; others are two, or the update was never pushed.
    if (
        seen.alike
        and control.set is None
        and treatment.set is None
        and control.upstream != treatment.upstream
    ):
        both = f"{control.name} and {treatment.name}"
        problems.append(f"{both} both answered as {min(seen.alike)!r}: was the update pushed?")
    return tuple(problems)
