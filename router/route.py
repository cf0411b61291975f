"""A route as people write it: what it matches, its unit, its arms, its default arm. It outlives experiments.

``flag_of`` compiles it to the flag that gateways read. A route's arm may carry a path in its upstream, which then
replaces the path of the route's match; several arms may share a server. A route whose arms have no upstream is a flag
only, for those who ask for it and route themselves.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType
from pydantic import Field, model_validator

from router.arm import ArmModel
from router.bucketing import ALGORITHM
from router.conditions import LONGEST_LIST, Attribute, RequirementModel, RuleModel, ScheduleModel, strangers
from router.document import Path
from router.errors import nearest
from router.flag import Algorithm, Flag, Match, UnitSource
from router.protocols import ROWS as PROTOCOLS
from router.protocols import model_path
from router.quantity import Unreadable
from router.rules import UNIT
from router.serving import Serving
from router.serving_keys import LowerFieldName, Pointer, ShadowModel
from router.source import OnMissing, Secure
from router.strict import (
    Duration,
    Name,
    Strict,
    Truth,
    field_name,
    one_line,
    place,
    reads,
    request_path,
    wrong,
)
from router.token_keys import TokensModel

# Where a unit may stand in a request: one row per kind, whether it needs a name, and what that name looks like.
PLACES: dict[str, str] = {
    "header": "a field name",
    "cookie": "a cookie's name",
    "query": "a parameter's name",
    "path": "optionally the number of a segment, from 1",
    "json": "a JSON pointer that begins with '/'",
    "jwt": "a claim's name",
    "request": "",
}


# Browsers keep a cookie of such a name only when it is Secure (RFC 6265bis section 4.1.3).
SECURE_NAMES = ("__secure-", "__host-")


class CookieModel(Strict):
    """The cookie of a minted unit."""

    secure: Secure = "auto"


class UnitModel(Strict):
    """The unit of a route."""

    kind: Name
    from_: Annotated[
        list[Annotated[tuple[str, str], reads(lambda value: place(value, PLACES))]],
        Field(alias="from"),
    ] = []
    on_missing: OnMissing = "control"
    cookie: CookieModel | None = None
    jwt: TokensModel | None = None

    @model_validator(mode="after")
    def _tokens_are_verified(self) -> UnitModel:
        if self.jwt is None and any(kind == "jwt" for kind, _ in self.from_):
            raise wrong("keys and algorithms under 'unit.jwt'", "none")
        return self

    @model_validator(mode="after")
    def _cookie_to_mint(self) -> UnitModel:
        if self.on_missing == "mint-cookie" and not any(kind == "cookie" for kind, _ in self.from_):
            raise wrong("a cookie among 'from', so that there is one to mint", "none")
        if self.cookie is not None and self.on_missing != "mint-cookie":
            raise wrong("on_missing: mint-cookie for what 'cookie' says", self.on_missing, at=("cookie",))
        name = next((name for kind, name in self.from_ if kind == "cookie"), "")
        if self.secure() == "never" and name.lower().startswith(SECURE_NAMES):
            raise wrong("another name, or a cookie that is Secure", repr(name), at=("cookie", "secure"))
        return self

    def secure(self) -> Secure | UnsetType:
        """As gateways read it."""
        return UNSET if self.cookie is None or self.cookie.secure == "auto" else self.cookie.secure


class MatchModel(Strict):
    """Which requests a route takes."""

    path: Annotated[str, reads(request_path)] = "/"
    host: Annotated[str, reads(one_line)] | None = None
    headers: dict[Annotated[str, reads(field_name)], Annotated[str, reads(one_line)]] = {}


def _protocol(value: object) -> str:
    if value not in PROTOCOLS:
        hint = nearest(str(value), PROTOCOLS)
        raise Unreadable(f"one of {', '.join(PROTOCOLS)}" + (f" ({hint})" if hint else ""), value)
    return str(value)


def _few(value: object) -> int:
    if value not in ("0", "1", "2", "3"):
        raise Unreadable("0, 1, 2 or 3", value)
    return int(str(value))


class Route(Strict):
    """A route file."""

    route: Name
    match: MatchModel | None = None
    unit: UnitModel
    arms: Annotated[dict[Name, ArmModel], Field(min_length=1, max_length=32)]
    default: Name
    type: Literal["string", "boolean", "integer", "float", "object"] = "string"
    expose: Literal["all", "id", "none"] = "all"
    first_byte_timeout: Duration | None = None
    total_timeout: Duration | None = None
    protocol: Annotated[str, reads(_protocol)] = "plain"
    retries: Annotated[int, reads(_few), Field(ge=0, le=3)] = 1
    repeatable: Truth = False
    fallback: Truth = False
    restore_model: Truth = False
    ask_versions: Truth = False
    deadline: LowerFieldName | None = None
    cost: LowerFieldName | None = None
    outcomes: Annotated[dict[Name, Pointer], Field(max_length=16)] = {}
    shadow: ShadowModel | None = None
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
        named += [(("shadow", "arm"), self.shadow.arm)] if self.shadow else []
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
        if not served and self.serving() is not None:
            raise wrong("arms with an upstream for what is said about serving", "none", at=("arms",))
        if not served and self.match is not None:
            raise wrong("no match on a route whose arms have no upstream", "one", at=("match",))
        for name, arm in self.arms.items():
            if not served and arm.needs_upstream():
                raise wrong("an upstream for what else it says", "none", at=("arms", name))
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

    @model_validator(mode="after")
    def _protocol_knows(self) -> Route:
        row = PROTOCOLS[self.protocol]
        if not self.unit.from_ and not row.unit:
            named = ", ".join(one.name for one in PROTOCOLS.values() if one.unit)
            raise wrong(f"a place in 'unit.from': only {named} have places of their own", self.protocol)
        if self.restore_model and not row.named:
            named = ", ".join(one.name for one in PROTOCOLS.values() if one.named)
            raise wrong(f"restore_model with a protocol whose answers name the model: {named}", self.protocol)
        return self

    @model_validator(mode="after")
    def _versions_can_be_asked(self) -> Route:
        if not self.ask_versions:
            return self
        if not PROTOCOLS[self.protocol].versions:
            named = ", ".join(one.name for one in PROTOCOLS.values() if one.versions)
            raise wrong(f"ask_versions with a protocol that has such a question: {named}", self.protocol)
        for name, arm in self.arms.items():
            asked = arm.base() or (self.match or MatchModel()).path
            if not model_path(asked):
                expected = (
                    "a path with '/models/NAME' in 'match.path', or in the arm's 'upstream' or 'set.path'"
                )
                raise wrong(f"{expected}, since ask_versions", repr(asked), at=("arms", name))
        return self

    def places(self) -> tuple[tuple[str, str], ...]:
        """Where the unit stands: as the file says, else where clients of the protocol name it."""
        return tuple(self.unit.from_) or PROTOCOLS[self.protocol].unit

    def serving(self) -> Serving | None:
        """What is said about serving; None when nothing is."""
        said = Serving(
            self.restore_model,
            self.deadline or "",
            self.cost or "",
            tuple(self.outcomes.items()),
            self.shadow.compiled() if self.shadow else None,
            self.ask_versions or UNSET,
        )
        return None if said == Serving() else said


def flag_of(route: Route) -> Flag:
    """The flag of a route without experiments, at revision 0."""
    served = any(arm.upstream is not None for arm in route.arms.values())
    match = route.match or MatchModel()
    headers = tuple((k.lower(), v) for k, v in match.headers.items())
    return Flag(
        route=route.route,
        match=Match(match.path, match.host, headers) if served else None,
        unit=UnitSource(
            route.unit.kind,
            route.places(),
            route.unit.on_missing,
            route.unit.jwt.compiled() if route.unit.jwt else None,
            route.unit.secure(),
        ),
        arms=tuple(model.compiled(arm, route.type) for arm, model in route.arms.items()),
        default=route.default,
        expose=route.expose,
        first_byte_timeout_ms=route.first_byte_timeout,
        total_timeout_ms=route.total_timeout,
        protocol=route.protocol,
        retries=route.retries,
        repeatable=route.repeatable,
        fallback=route.fallback,
        serving=route.serving(),
        algorithm=route.hash,
        enabled=route.enabled,
        schedule=route.schedule.compiled() if route.schedule else None,
        requires=tuple(one.compiled() for one in route.requires),
        attributes=tuple((attribute, *where) for attribute, where in route.attributes.items()),
        units=tuple((arm, tuple(units)) for arm, units in route.units.items() if units),
        rules=tuple(rule.compiled(route.route) for rule in route.rules),
    )
