"""A route as people write it: what it matches, its unit, its arms, its default arm. It outlives experiments.

``flag_of`` compiles it to the flag that gateways read. A route's arm may carry a path in its upstream, which then
replaces the path of the route's match; several arms may share a server. A route whose arms have no upstream is a flag
only, for those who ask for it and route themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from router.bucketing import ALGORITHM
from router.conditions import LONGEST_LIST, Attribute, RequirementModel, RuleModel, ScheduleModel, strangers
from router.document import Path
from router.errors import nearest
from router.flag import Algorithm, Arm, Flag, Match, UnitSource
from router.quantity import Unreadable, decimal, signed
from router.rules import UNIT
from router.strict import Duration, Name, Strict, Truth, place, reads, truth, wrong

# Where a unit may stand in a request: one row per kind, whether it needs a name, and what that name looks like.
PLACES: dict[str, str] = {
    "header": "a field name",
    "cookie": "a cookie's name",
    "query": "a parameter's name",
    "json": "a JSON pointer that begins with '/'",
    "request": "",
}


# What asking for a flag gives, by the route's type: how it is read from text.
VALUES: dict[str, Callable[[str], str | bool | int | float]] = {
    "string": str,
    "boolean": truth,
    "integer": signed,
    "float": decimal,
}


class UnitModel(Strict):
    """The unit of a route."""

    kind: Name
    from_: Annotated[
        list[Annotated[tuple[str, str], reads(lambda value: place(value, PLACES))]],
        Field(alias="from", min_length=1),
    ]
    on_missing: Literal["control", "error", "mint-cookie"] = "control"

    @model_validator(mode="after")
    def _cookie_to_mint(self) -> UnitModel:
        if self.on_missing == "mint-cookie" and not any(kind == "cookie" for kind, _ in self.from_):
            raise wrong("a cookie among 'from', so that there is one to mint", "none")
        return self


def upstream(value: object) -> str:
    """The address of a model server."""
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    try:
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or parts.query or parts.fragment or parts.username:
        raise Unreadable("an address such as http://127.0.0.1:9001 or https://models.example/v2", value)
    return str(value)


Upstream = Annotated[str, reads(upstream)]


class ArmModel(Strict):
    """One alternative of a route."""

    upstream: Upstream | None = None
    value: str | None = None

    def compiled(self, name: str, kind: str) -> Arm:
        """The arm as a flag holds it; its identity is a digest of what it is."""
        what = (self.upstream or "") + ("" if self.value is None else f"\n{kind} {self.value}")
        identity = hashlib.blake2b(what.encode(), digest_size=8).hexdigest()
        value = None if self.value is None else VALUES[kind](self.value)
        return Arm(name, self.upstream or "", identity, value)


def _path(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.startswith("/")
        or "?" in value
        or "#" in value
        or ".." in value
    ):
        raise Unreadable("a path that begins with '/'", value)
    return value.rstrip("/") or "/"


class MatchModel(Strict):
    """Which requests a route takes."""

    path: Annotated[str, reads(_path)] = "/"
    host: str | None = None
    headers: dict[str, str] = {}


class Route(Strict):
    """A route file."""

    route: Name
    match: MatchModel | None = None
    unit: UnitModel
    arms: Annotated[dict[Name, ArmModel], Field(min_length=1, max_length=32)]
    default: Name
    type: Literal["string", "boolean", "integer", "float"] = "string"
    expose: Literal["all", "id", "none"] = "all"
    first_byte_timeout: Duration | None = None
    total_timeout: Duration | None = None
    hash: Algorithm = ALGORITHM
    enabled: Truth = True
    schedule: ScheduleModel | None = None
    requires: Annotated[list[RequirementModel], Field(max_length=10)] = []
    attributes: Annotated[dict[Name, Attribute], Field(max_length=50)] = {}
    units: dict[Name, Annotated[list[str], Field(max_length=LONGEST_LIST)]] = {}
    rules: Annotated[list[RuleModel], Field(max_length=200)] = []

    @model_validator(mode="after")
    def _names_what_exists(self) -> Route:
        named: list[tuple[Path, str]] = [(("default",), self.default)]
        named += [(("units", arm), arm) for arm in self.units]
        named += [(("rules", i, "serve"), rule.serve) for i, rule in enumerate(self.rules)]
        for path, arm in named:
            if arm not in self.arms:
                expected = f"one of the arms {', '.join(self.arms)}"
                raise wrong(expected, repr(arm), nearest(arm, self.arms), path)
        if UNIT in self.attributes:
            raise wrong(
                "another name: every request with a unit has 'unit'", repr(UNIT), at=("attributes", UNIT)
            )
        for i, rule in enumerate(self.rules):
            for path, expected, found, hint in strangers(rule.when, self.attributes, None):
                raise wrong(expected, found, hint, ("rules", i, "when", *path))
        return self

    @model_validator(mode="after")
    def _serves_or_answers(self) -> Route:
        served = [name for name, arm in self.arms.items() if arm.upstream is not None]
        if served and len(served) < len(self.arms):
            missing = next(name for name in self.arms if name not in served)
            raise wrong("an upstream, as the other arms have", "none", at=("arms", missing))
        if not served and self.match is not None:
            raise wrong("no match on a route whose arms have no upstream", "one", at=("match",))
        for name, arm in self.arms.items():
            if arm.value is None and self.type != "string":
                raise wrong(f"a value, since the type is {self.type}", "none", at=("arms", name))
            try:
                arm.compiled(name, self.type)
            except Unreadable as problem:
                raise wrong(problem.expected, problem.found, at=("arms", name, "value")) from problem
        return self

    @model_validator(mode="after")
    def _names_once(self) -> Route:
        seen: dict[str, str] = {}
        for i, rule in enumerate(self.rules):
            if rule.id in [other.id for other in self.rules[:i]]:
                raise wrong("each rule's id once", repr(rule.id), at=("rules", i, "id"))
        for arm, units in self.units.items():
            for i, unit in enumerate(units):
                if seen.setdefault(unit, arm) != arm or not unit:
                    raise wrong("a unit on the list of one arm", repr(unit), at=("units", arm, i))
        return self


def flag_of(route: Route) -> Flag:
    """The flag of a route without experiments, at revision 0."""
    served = any(arm.upstream is not None for arm in route.arms.values())
    match = route.match or MatchModel()
    headers = tuple((k.lower(), v) for k, v in match.headers.items())
    return Flag(
        route=route.route,
        match=Match(match.path, match.host, headers) if served else None,
        unit=UnitSource(route.unit.kind, tuple(route.unit.from_), route.unit.on_missing),
        arms=tuple(model.compiled(arm, route.type) for arm, model in route.arms.items()),
        default=route.default,
        expose=route.expose,
        first_byte_timeout_ms=route.first_byte_timeout,
        total_timeout_ms=route.total_timeout,
        algorithm=route.hash,
        enabled=route.enabled,
        schedule=route.schedule.compiled() if route.schedule else None,
        requires=tuple(one.compiled() for one in route.requires),
        attributes=tuple((attribute, *where) for attribute, where in route.attributes.items()),
        units=tuple((arm, tuple(units)) for arm, units in route.units.items() if units),
        rules=tuple(rule.compiled(route.route) for rule in route.rules),
    )
