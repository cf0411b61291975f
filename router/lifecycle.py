"""The life of a run, as one table.

Rule 1: every legal move is a row of MOVES; there is no other way to change a state.
Rule 2: this file knows no clock, no store and no statistics.

To add a state or an action: extend the enums, then the rows.
"""

from __future__ import annotations

from enum import StrEnum

from router.errors import IllegalMove


class State(StrEnum):
    """Where a run is in its life."""

    DRAFT = "draft"
    HELD = "held"
    RUNNING = "running"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ENDED = "ended"
    SUPERSEDED = "superseded"


class Action(StrEnum):
    """What is done about a verdict, or by a person."""

    NONE = "none"
    START = "start"
    ADVANCE = "advance"
    HOLD = "hold"
    GO_ON = "go_on"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"
    ROLL = "roll"


FINAL = frozenset({State.PROMOTED, State.ROLLED_BACK, State.ENDED, State.SUPERSEDED})
LIVE = frozenset(State) - FINAL

MOVES: dict[tuple[State, Action], State] = {
    (State.DRAFT, Action.HOLD): State.HELD,
    (State.HELD, Action.START): State.RUNNING,
    (State.HELD, Action.GO_ON): State.RUNNING,
    (State.HELD, Action.HOLD): State.HELD,
    (State.HELD, Action.PAUSE): State.HELD,
    (State.HELD, Action.RESUME): State.HELD,
    (State.HELD, Action.ROLLBACK): State.ROLLED_BACK,
    (State.HELD, Action.PROMOTE): State.PROMOTED,
    (State.HELD, Action.END): State.ENDED,
    (State.HELD, Action.ROLL): State.HELD,
    (State.RUNNING, Action.ADVANCE): State.RUNNING,
    (State.RUNNING, Action.HOLD): State.HELD,
    (State.RUNNING, Action.PAUSE): State.RUNNING,
    (State.RUNNING, Action.RESUME): State.RUNNING,
    (State.RUNNING, Action.ROLLBACK): State.ROLLED_BACK,
    (State.RUNNING, Action.PROMOTE): State.PROMOTED,
    (State.RUNNING, Action.END): State.ENDED,
    (State.RUNNING, Action.ROLL): State.RUNNING,
    # `promoting` is decided and not yet confirmed: the next leader repeats the write.
    (State.PROMOTING, Action.PROMOTE): State.PROMOTED,
    (State.PROMOTING, Action.ROLLBACK): State.ROLLED_BACK,
    # A person's act: everyone gets the old default again.
    (State.PROMOTED, Action.ROLLBACK): State.ROLLED_BACK,
}


def after(state: str, action: Action) -> State:
    """The state that an action leads to.

    Raises:
        IllegalMove: the table has no such row.
    """
    found = MOVES.get((State(state), action))
    if found is None:
        legal = sorted(move.value for at, move in MOVES if at == state and move is not Action.NONE)
        raise IllegalMove(state, action.value, f"legal now: {', '.join(legal) or 'nothing'}")
    return found
