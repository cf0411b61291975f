"""Conditions, rules, schedules and prerequisites as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, model_validator

from router.document import Path
from router.errors import nearest
from router.flag import Requirement, Schedule
from router.rules import OPERATORS, UNIT, Condition, Rule, faults
from router.strict import Name, Strict, Truth, place, reads, wrong

# Where an attribute may stand in a request: one row per kind, and what it names.
ATTRIBUTES: dict[str, str] = {
    "header": "a field name",
    "header-list": "a field name; its value is parted by commas",
    "cookie": "a cookie's name",
    "query": "a parameter's name; repeated, it is a list",
    "path": "optionally the number of a segment, from 1",
    "host": "",
    "method": "",
    "json": "a JSON pointer that begins with '/'",
}
LONGEST_LIST = 10_000

Attribute = Annotated[tuple[str, str], reads(lambda value: place(value, ATTRIBUTES))]


def _listed(value: object) -> object:
    """One value may stand for a list of one."""
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _operator(value: object) -> object:
    if not isinstance(value, str) or value not in OPERATORS:
        hint = nearest(str(value), OPERATORS) or f"known: {', '.join(OPERATORS)}"
        raise wrong("an operator", repr(value), hint)
    return value


class ConditionModel(Strict):
    """One question about one attribute."""

    attribute: Name
    op: Annotated[str, BeforeValidator(_operator)]
    values: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(max_length=LONGEST_LIST)] = ()
    ci: Truth = False
    missing: Literal["match", "no_match"] = "no_match"

    @model_validator(mode="after")
    def _readable(self) -> ConditionModel:
        for path, expected, found, hint in faults(self.compiled("")):
            raise wrong(expected, found, hint, path)
        return self

    def compiled(self, salt: str) -> Condition:
        """The condition as a flag holds it; only what deals keeps a salt."""
        kept = f"{salt}:{self.attribute}" if self.op == "percent_of" else ""
        return Condition(self.attribute, self.op, self.values, self.ci, self.missing == "match", kept)


Conditions = Annotated[list[ConditionModel], Field(min_length=1, max_length=50)]


class RuleModel(Strict):
    """A rule: when all of its conditions hold, an arm is served."""

    id: Name
    when: Conditions
    serve: Name

    def compiled(self, route: str) -> Rule:
        """The rule as a flag holds it; its salt follows its name, so that moving it up or down moves nobody."""
        salt = f"rule:{route}:{self.id}"
        return Rule(self.id, tuple(one.compiled(salt) for one in self.when), self.serve)


class RequirementModel(Strict):
    """A prerequisite: another route whose flag gives one of these arms."""

    route: Name
    arms: Annotated[list[Name], Field(min_length=1)]

    def compiled(self) -> Requirement:
        """The prerequisite as a flag holds it."""
        return Requirement(self.route, tuple(self.arms))


class ScheduleModel(Strict):
    """From when until when a flag is in force; a time without offset is a time of ``zone``."""

    start: str | None = None
    end: str | None = None
    zone: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> ScheduleModel:
        if self.start is None and self.end is None:
            raise wrong("a start, an end, or both", "neither")
        edges = [_moment(text, self.zone, at) for text, at in ((self.start, "start"), (self.end, "end"))]
        if edges[0] is not None and edges[1] is not None and edges[0] >= edges[1]:
            raise wrong("an end after the start", repr(self.end), at=("end",))
        return self

    def compiled(self, now: int | None = None) -> Schedule:
        """The schedule in UTC ms, as it stands at a moment."""
        start, end = _moment(self.start, self.zone, "start"), _moment(self.end, self.zone, "end")
        schedule = Schedule(start, end, inside=False)
        return Schedule(start, end, inside=now is not None and schedule.at(now))


def _moment(text: str | None, zone: str | None, at: str) -> int | None:
    if text is None:
        return None
    expected = "a time such as '2026-12-01T09:00:00+01:00', or without offset beside a zone"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise wrong(expected, repr(text), at=(at,)) from None
    if moment.tzinfo is None:
        if zone is None:
            raise wrong(expected, repr(text), at=(at,))
        moment = _local(moment, zone, at)
    return int(moment.timestamp() * 1000)


def _local(moment: datetime, zone: str, at: str) -> datetime:
    """A wall-clock time of a zone; those that a change of clocks skips or repeats are refused."""
    try:
        there = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong("a time zone such as 'Europe/Berlin'", repr(zone), at=("zone",)) from None
    first, second = (moment.replace(tzinfo=there, fold=fold) for fold in (0, 1))
    back = first.astimezone(UTC).astimezone(there).replace(tzinfo=None)
    if back != moment or first.utcoffset() != second.utcoffset():
        raise wrong(
            f"a time that exists once in {zone}", repr(moment.isoformat()), "write it with its offset", (at,)
        )
    return first


def strangers(
    conditions: list[ConditionModel], attributes: Mapping[str, Any] | set[str], segments: set[str] | None
) -> Iterator[tuple[Path, str, str, str]]:
    """Conditions that name an attribute or a segment that nobody declares; None knows no segments yet."""
    known = {UNIT, *attributes}
    for index, condition in enumerate(conditions):
        if condition.attribute not in known:
            expected = f"a declared attribute: {', '.join(sorted(known))}"
            hint = nearest(condition.attribute, known)
            yield (index, "attribute"), expected, repr(condition.attribute), hint
        if segments is not None and OPERATORS[condition.op].names:
            for number, name in enumerate(condition.values):
                if name not in segments:
                    yield (
                        (index, "values", number),
                        "a segment that exists",
                        repr(name),
                        nearest(name, segments),
                    )
