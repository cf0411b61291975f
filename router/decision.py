"""Decisions: what is done about a verdict, as a function of values.

Precedence: harm > invalid > gates unmet > promotion in the last step > deadline. ``decide`` is the controller's,
``act`` a person's; both return the new flag and the new run state, and whoever called applies them in one write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from router.errors import IllegalMove
from router.evidence import Evidence
from router.flag import Flag
from router.lifecycle import Action, State, after
from router.ramp import step_met
from router.sentence import name_of, numbers_of, share_of
from router.verdict import SPENT, Ground


class Reason(StrEnum):
    """Why something is done, or why nothing is."""

    ARM_NOT_READY = "arm not ready"
    ARM_READY = "arm ready"
    HARM = "harm shown"
    INVALID = "telemetry cannot be trusted"
    HEALTHY_AGAIN = "telemetry is healthy again"
    PAUSED = "paused by a person"
    STEP_NOT_MET = "step not met"
    STEP_MET = "step met"
    NOT_PROVEN = "not proven yet"
    PROVEN = "shown to be good enough"
    FUTILE = "the goal's effect is not there"
    SPENT = "the plan has ended undecided"
    DEADLINE = "deadline passed"
    DEADLINE_MOVED = "deadline moved"
    BEFORE_START = "its schedule has not begun"
    SCHEDULE_OVER = "its schedule has ended"
    PERSON = "decided by a person"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: an action, what to write for it, and one sentence with numbers.

    ``flag`` and ``run`` are None where nothing is written; their revision and version are one above those read.
    """

    action: Action
    reason: Reason
    sentence: str
    flag: Flag | None = None
    run: dict[str, Any] | None = None
    waits: tuple[str, ...] = ()


def decide(run: Mapping[str, Any], evidence: Evidence, flag: Flag, now: int, *, ready: bool) -> Decision:
    """The controller's decision after a look.

    Args:
        run: the run state before it.
        evidence: of this look.
        flag: the route's flag now.
        now: the time of the look, ms.
        ready: whether every endpoint of the treatment has passed its ready probe.
    """
    if evidence.harmful and run["step"] >= 0:
        sentence = (
            f"{name_of(run)} ROLLED BACK at {share_of(run)}: {numbers_of(run, evidence, evidence.harmful[0])}"
        )
        return _end(run, flag, now, Action.ROLLBACK, Reason.HARM, sentence)
    start, end = _schedule(run)
    if now >= end:
        sentence = f"{name_of(run)} ENDED at {share_of(run)}: {Reason.SCHEDULE_OVER.value}; control stays"
        return _end(run, flag, now, Action.END, Reason.SCHEDULE_OVER, sentence)
    late = _held_at_deadline(run)
    if late and _past_deadline(run, now):
        return Decision(
            Action.NONE, Reason.DEADLINE, f"{name_of(run)} is held since its deadline, until a person acts"
        )
    if run["step"] < 0 and now < start:
        why = Reason.BEFORE_START.value
        return Decision(Action.NONE, Reason.BEFORE_START, f"{name_of(run)} is held: {why}", waits=(why,))
    if run["step"] < 0:
        return _begin(run, flag, now, ready=ready)
    if evidence.invalid:
        return _hold(run, Reason.INVALID, evidence.invalid[0])
    if evidence.ground in SPENT:
        return _spent(run, evidence, flag, now)
    if run["state"] == State.HELD and not run["paused"]:
        reason = Reason.DEADLINE_MOVED if late else Reason.HEALTHY_AGAIN
        sentence = f"{name_of(run)} goes on: {reason.value}"
        return _written(run, flag, now, Action.GO_ON, reason, sentence, step_since=now)
    if run["paused"]:
        return _waits_for(run, flag, now, Reason.PAUSED, "is paused by a person")
    return _go_on(run, evidence, flag, now)


def _go_on(run: Mapping[str, Any], evidence: Evidence, flag: Flag, now: int) -> Decision:
    ramp = run["spec"]["ramp"]
    treated = evidence.document["units"][run["treatment"]]["closed"]
    last = run["step"] == len(ramp) - 1
    blocked = _blocked(run, flag) if last else ""
    met = step_met(ramp[run["step"]], run["step_since"], now, treated)
    waits = tuple(part for part in (met, blocked, *evidence.missing, *evidence.step_waits) if part)
    if not last and not met and not evidence.step_waits:
        return _step(
            run, flag, now, Action.ADVANCE, Reason.STEP_MET, numbers_of(run, evidence, evidence.leading)
        )
    if last and not met and evidence.proven and not blocked:
        sentence = (
            f"{name_of(run)} PROMOTED from {share_of(run)}: {numbers_of(run, evidence, evidence.leading)}"
        )
        return _end(run, flag, now, Action.PROMOTE, Reason.PROVEN, sentence)
    if last and not met and evidence.ground is Ground.FUTILE:
        sentence = f"{name_of(run)} ENDED: an effect of the goal's mde is excluded; control stays"
        return _end(run, flag, now, Action.END, Reason.FUTILE, sentence)
    if _past_deadline(run, now):
        return _at_deadline(run, flag, now)
    reason = Reason.NOT_PROVEN if last and not met else Reason.STEP_NOT_MET
    unproven = tuple(
        f"{name}: {row['state'].replace('_', ' ')}"
        for name, row in evidence.document["metrics"].items()
        if row["state"] == "undecided"  # what has no data is among what is missing
    )
    waits = tuple(dict.fromkeys((*waits, *(unproven if last else ()))))
    return Decision(
        Action.NONE, reason, f"{name_of(run)} waits for {'; '.join(waits) or 'more evidence'}", waits=waits
    )


def _spent(run: Mapping[str, Any], evidence: Evidence, flag: Flag, now: int) -> Decision:
    """Nothing more can be shown: an A/B test ends and control stays, a canary is held for a person."""
    why = evidence.ground.value
    if run["spec"]["kind"] == "ab":
        sentence = f"{name_of(run)} ENDED: {why}; control stays"
        return _end(run, flag, now, Action.END, Reason.SPENT, sentence)
    return _at_deadline(run, flag, now) if _past_deadline(run, now) else _hold(run, Reason.SPENT, why)


def _blocked(run: Mapping[str, Any], flag: Flag) -> str:
    """Why the treatment may not become the default arm by itself, whatever the evidence says."""
    if run["treatment"] in flag.killed:
        return f"the kill switch of {run['treatment']}"
    if flag.default != run["control"]:  # another run of the same layer was promoted meanwhile
        return f"a person: {run['control']} is no longer the default arm, {flag.default} is"
    return ""


def _held_at_deadline(run: Mapping[str, Any]) -> bool:
    return bool(run["state"] == State.HELD and run["reason"] == Reason.DEADLINE)


def _past_deadline(run: Mapping[str, Any], now: int) -> bool:
    deadline, begun = run["spec"]["deadline_ms"], max(run["deadline_from"], _schedule(run)[0])
    return deadline is not None and now - begun >= deadline


def _waits_for(run: Mapping[str, Any], flag: Flag, now: int, reason: Reason, why: str) -> Decision:
    """Nothing moves, but a deadline passes all the same."""
    if _past_deadline(run, now):
        return _at_deadline(run, flag, now)
    return Decision(Action.NONE, reason, f"{name_of(run)} {why}")


def _schedule(run: Mapping[str, Any]) -> tuple[float, float]:
    """[from, until) when a run may compare anything, ms."""
    schedule = run["spec"].get("schedule") or {}
    return schedule.get("start_ms") or 0, schedule.get("end_ms") or float("inf")


def _at_deadline(run: Mapping[str, Any], flag: Flag, now: int) -> Decision:
    sentence = f"{name_of(run)} reached its deadline undecided"
    if run["spec"]["at_deadline"] == "rollback":
        return _end(
            run, flag, now, Action.ROLLBACK, Reason.DEADLINE, f"{sentence}: rolled back as the file says"
        )
    return _hold(run, Reason.DEADLINE, f"{sentence}: held as the file says")


def _begin(run: Mapping[str, Any], flag: Flag, now: int, *, ready: bool) -> Decision:
    if not ready:
        return _waits_for(run, flag, now, Reason.ARM_NOT_READY, f"is held: {run['treatment']} is not ready")
    if run["paused"]:
        return _waits_for(run, flag, now, Reason.PAUSED, "is paused by a person")
    return _step(run, flag, now, Action.START, Reason.ARM_READY)


def _step(
    run: Mapping[str, Any], flag: Flag, now: int, action: Action, reason: Reason, numbers: str = ""
) -> Decision:
    step = run["step"] + 1
    to = run["spec"]["ramp"][step]
    before = f"{share_of(run)} > " if run["step"] >= 0 else ""
    sentence = f"{name_of(run)} goes to {before}{to['traffic'] / 10_000:g} % of traffic: {reason.value}"
    sentence += f"; {numbers}" if numbers else ""
    new_flag = flag.with_coverage(run["run"], to["coverage"]).with_revision(flag.revision + 1)
    history = [*run["coverage"], [now, new_flag.revision, to["coverage"]]]
    return _written(run, new_flag, now, action, reason, sentence, step=step, step_since=now, coverage=history)


def _hold(run: Mapping[str, Any], reason: Reason, why: str) -> Decision:
    text = why if reason is Reason.DEADLINE else f"{name_of(run)} is held: {why}"
    if run["state"] == State.HELD and run["reason"] == (reason.value if reason is Reason.DEADLINE else why):
        return Decision(Action.NONE, reason, text, waits=(why,))
    shown = reason.value if reason is Reason.DEADLINE else why
    new_run = _moved(run, Action.HOLD, reason, text) | {"reason": shown}
    return Decision(Action.HOLD, reason, text, run=new_run, waits=(why,))


def _end(
    run: Mapping[str, Any],
    flag: Flag,
    now: int,
    action: Action,
    reason: Reason,
    sentence: str,
    actor: str = "controller",
) -> Decision:
    """Promotion, rollback and end are one write each: the experiment leaves the flag."""
    new_flag = flag.without_experiment(run["run"])
    if action is Action.PROMOTE:
        new_flag = new_flag.with_default(run["treatment"])
    elif run["state"] == State.PROMOTED and flag.default == run["treatment"]:
        new_flag = new_flag.with_default(run["control"])
    new_flag = new_flag.with_revision(flag.revision + 1)
    return _written(run, new_flag, now, action, reason, sentence, actor=actor, ended=now)


def _written(
    run: Mapping[str, Any],
    flag: Flag,
    now: int,
    action: Action,
    reason: Reason,
    sentence: str,
    actor: str = "controller",
    **changes: Any,
) -> Decision:
    new_run = _moved(run, action, reason, sentence, actor) | changes
    if action in (Action.PAUSE, Action.RESUME):
        new_run["reason"] = run["reason"]  # why it is held does not change by pausing it
    if new_run["decision"]:
        new_run["decision"] |= {"time": now}
    moved = flag if action not in (Action.GO_ON, Action.PAUSE, Action.RESUME) else None
    return Decision(action, reason, sentence, moved, new_run)


def _moved(
    run: Mapping[str, Any], action: Action, reason: Reason, sentence: str, actor: str = "controller"
) -> dict[str, Any]:
    decision = {
        "action": action.value,
        "reason": reason.value,
        "sentence": sentence,
        "actor": actor,
        "time": None,
    }
    state = after(run["state"], action)
    return {
        **run,
        "state": state.value,
        "reason": reason.value if state is State.HELD else "",
        "version": run["version"] + 1,
        "decision": decision,
    }


def act(action: str, run: Mapping[str, Any], flag: Flag, now: int, actor: str, reason: str) -> Decision:
    """A person's act: promote, rollback, pause or resume.

    Raises:
        IllegalMove: the run's state does not allow it.
    """
    move = Action(action)
    after(run["state"], move)
    said = f"by {actor}: {reason}"
    if move in (Action.PAUSE, Action.RESUME):
        paused = move is Action.PAUSE
        late = not paused and _held_at_deadline(run)
        if run["paused"] is paused and not late:
            raise IllegalMove("paused" if paused else "not paused", action)
        sentence = f"{name_of(run)} {'paused' if paused else 'resumed'} {said}"
        # Who resumes a run that its deadline holds gives it that time once more; else it would be held at the next look.
        since = now if late else run["deadline_from"]
        return _written(
            run, flag, now, move, Reason.PERSON, sentence, actor=actor, paused=paused, deadline_from=since
        )
    if run["state"] == State.PROMOTED and flag.experiments:
        other = flag.experiments[0].experiment
        raise IllegalMove("promoted", action, f"{other} now runs on this route: end it first")
    if move is Action.PROMOTE and run["treatment"] in flag.killed:
        raise IllegalMove(run["state"], action, f"{run['treatment']} is killed: unkill it first")
    words = {Action.PROMOTE: "PROMOTED", Action.ROLLBACK: "ROLLED BACK"}[move]
    sentence = f"{name_of(run)} {words} at {share_of(run)} {said}"
    return _end(run, flag, now, move, Reason.PERSON, sentence, actor)
