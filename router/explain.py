"""Explain: the same order of evaluation, step by step, with each hash, bucket and range.

``facts_of`` makes a request of plain values, for people and for those who route themselves. Asking is no exposure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.assignment import DEEPEST, CompiledExperiment, CompiledFlag, Facts, Make, Reason, given, text_of
from router.bucketing import ALGORITHMS, PPM
from router.flag import Flag, RunningExperiment
from router.rules import UNIT, Condition, Values, holds

MOST_SHOWN = 5

Step = dict[str, Any]


class StatedFacts:
    """A request as somebody states it: attributes by name, a forced arm, and the other flags.

    Prerequisites are asked with the same unit and the same attributes.
    """

    def __init__(
        self,
        attributes: Mapping[str, Values],
        flags: Mapping[str, CompiledFlag] | None = None,
        unit: bytes | None = None,
        force: str | None = None,
        depth: int = 0,
    ) -> None:
        self._attributes = attributes
        self._flags = flags or {}
        self._unit = unit
        self._force = force
        self._depth = depth

    def attribute(self, name: str) -> Values:
        """The values of an attribute."""
        return self._attributes.get(name)

    def forced(self) -> str | None:
        """The arm somebody forces."""
        return self._force

    def arm_of(self, route: str) -> str | None:
        """The arm of another route's flag; None when it is absent, off, or too many flags ask in a row."""
        flag = self._flags.get(route)
        if flag is None or self._depth >= DEEPEST:
            return None
        deeper = StatedFacts(self._attributes, self._flags, self._unit, None, self._depth + 1)
        return given(flag, self._unit, deeper)


def explain(
    flag: Flag, unit: bytes | None, facts: Facts | None = None, make: Make = CompiledExperiment
) -> list[Step]:
    """The steps of an assignment: question, hash, bucket, range, answer; the last one names the arm."""
    facts = facts or StatedFacts({}, unit=unit)
    found = CompiledFlag(flag, make=make).assign(unit, facts)
    steps = []
    for step in _steps(flag, unit, facts):
        steps.append(step)
        if step.pop("end"):
            break
    if found.reason is Reason.STICKY:
        answer = f"yes, run {found.run} remembers its unit: it stays, and is analysed"
        steps.append(_bare("was it enrolled before, and is the run sticky?", answer))
    return [*steps, _bare("which arm?", f"{found.arm} ({found.reason.value})")]


def _step(question: str, answer: str, *, end: bool = False, **more: Any) -> Step:
    return {
        "question": question,
        "hash": None,
        "bucket": None,
        "range": None,
        "answer": answer,
        "end": end,
        **more,
    }


def _bare(question: str, answer: str) -> Step:
    step = _step(question, answer)
    del step["end"]
    return step


def _steps(flag: Flag, unit: bytes | None, facts: Facts) -> Iterator[Step]:
    if flag.kill or flag.killed:
        answer = (
            "the whole flag: default arm"
            if flag.kill
            else f"arms {', '.join(flag.killed)}: default arm instead"
        )
        yield _step("is a kill switch thrown?", answer, end=flag.kill)
    yield _step("is the flag enabled?", "yes" if flag.enabled else "no: default arm", end=not flag.enabled)
    if flag.schedule is not None:
        inside = flag.schedule.inside
        edges = f"[{flag.schedule.start_ms}, {flag.schedule.end_ms}) ms"
        yield _step(
            "is it inside its schedule?", "yes" if inside else "no: default arm", end=not inside, range=edges
        )
    for needed in flag.requires:
        arm = facts.arm_of(needed.route)
        met = arm in needed.arms
        question = f"does {needed.route} give {' or '.join(needed.arms)}?"
        yield _step(question, "yes" if met else f"no, {arm or 'nothing'}: default arm", end=not met)
    yield from _directed(flag, unit, facts)
    if not flag.experiments:
        yield _step("does an experiment run here?", "no: default arm", end=True)
    for experiment in flag.experiments:
        yield from _dealt(flag, experiment, unit, facts)


def _directed(flag: Flag, unit: bytes | None, facts: Facts) -> Iterator[Step]:
    forced = facts.forced()
    if forced is not None:
        yield _step("does a trusted caller force an arm?", f"yes: {forced}, not analysed", end=True)
    text = text_of(unit)
    for arm, units in flag.units:
        listed = text is not None and text[0] in units
        answer = "yes, not analysed" if listed else "no"
        yield _step(f"is the unit on the list of {arm}?", answer, end=listed)
    for rule in flag.rules:
        answers = [_condition(flag, one, unit, facts) for one in rule.when]
        met = all(fits for fits, _ in answers)
        shown = "; ".join(said for _, said in answers)
        answer = f"yes, {shown}: {rule.serve}, not analysed" if met else f"no, {shown}"
        yield _step(f"does rule {rule.id} hold?", answer, end=met)


def _condition(flag: Flag, condition: Condition, unit: bytes | None, facts: Facts) -> tuple[bool, str]:
    segments = {name: frozenset(values) for name, values in flag.segments}
    values = text_of(unit) if condition.attribute == UNIT else facts.attribute(condition.attribute)
    fits = holds(condition, segments)(values)
    wanted = ", ".join(condition.values[:MOST_SHOWN]) + (", …" if len(condition.values) > MOST_SHOWN else "")
    shown = "absent" if values is None else ", ".join(values[:MOST_SHOWN])
    return fits, f"{condition.attribute} ({shown}) {condition.op} {wanted}".rstrip() + (
        " ✓" if fits else " ✗"
    )


def _dealt(flag: Flag, experiment: RunningExperiment, unit: bytes | None, facts: Facts) -> Iterator[Step]:
    """The questions of one experiment; a "no" ends the explanation where no other experiment is asked."""
    last = experiment is flag.experiments[-1]
    yield _step("does an experiment run here?", f"{experiment.experiment}, epoch {experiment.epoch}")
    for condition in experiment.audience:
        fits, said = _condition(flag, condition, unit, facts)
        if not fits:
            yield _step("is the request in the audience?", f"no, {said}: default arm, not analysed", end=last)
            return
        yield _step("is the request in the audience?", f"yes, {said}")
    if not unit:
        yield _step("has the request a unit?", "no: default arm, not analysed", end=True)
        return
    for holdout in experiment.holdouts:
        step = _asked(flag, f"is it held out by {holdout.name}?", holdout.salt, unit, ((0, holdout.share),))
        held = step["answer"] == "yes"
        yield step | {"end": held and last, "answer": "yes: default arm, not analysed" if held else "no"}
        if held:
            return
    layer = experiment.layer
    if layer is not None:
        question = f"does {experiment.experiment} own its part of layer {layer.layer}?"
        step = _asked(flag, question, layer.salt, unit, layer.ranges)
        yield step | {"end": step["answer"] == "no" and last}
        if step["answer"] == "no":
            return
    yield from _lanes(flag, experiment, unit)


def _lanes(flag: Flag, experiment: RunningExperiment, unit: bytes) -> Iterator[Step]:
    step = _asked(flag, "is it included?", experiment.salt + "#in", unit, ((0, experiment.traffic),))
    if step["answer"] == "no":
        yield step | {"end": True, "answer": "no: default arm, not analysed"}
        return
    yield step
    for lane in experiment.lanes:
        edges = (lane.start, lane.start + lane.width(experiment.coverage))
        question = f"is it in the open lane of {lane.arm}?"
        step = _asked(flag, question, experiment.salt + "#arm", unit, (edges,))
        if step["answer"] == "no":
            step["answer"] = f"no (its whole lane ends at {lane.start + lane.share})"
        yield step | {"end": lane is experiment.lanes[-1]}


def _asked(flag: Flag, question: str, salt: str, unit: bytes, ranges: tuple[tuple[int, int], ...]) -> Step:
    compute, prepare = ALGORITHMS[flag.algorithm]
    where = prepare(salt)(unit)
    inside = any(start <= where < end for start, end in ranges)
    shown = " and ".join(f"[{start}, {end})" for start, end in ranges)
    return _step(
        question, "yes" if inside else "no", hash=compute(salt, unit), bucket=where, range=shown, salt=salt
    )


def simulate(
    flag: Flag, units: list[str], attributes: Mapping[str, Values], flags: Mapping[str, CompiledFlag]
) -> dict[str, Any]:
    """How a list of units is dealt: arms and reasons, each with its count and its share of all."""
    compiled = CompiledFlag(flag)
    arms: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for unit in units:
        octets = unit.encode("utf-8", "surrogateescape") or None
        found = compiled.assign(octets, StatedFacts(attributes, flags, octets))
        arms[found.arm] = arms.get(found.arm, 0) + 1
        reasons[found.reason.value] = reasons.get(found.reason.value, 0) + 1
    return {"units": len(units), "arms": _shares(arms), "reasons": _shares(reasons)}


def _shares(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    total = max(1, sum(counts.values()))
    return {name: {"n": n, "ppm": n * PPM // total} for name, n in sorted(counts.items())}
