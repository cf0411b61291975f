"""A route as people write it: what it matches, its unit, its arms, its default arm. It outlives experiments.

``flag_of`` compiles it to the flag that gateways read. A route's arm may carry a path in its upstream, which then
replaces the path of the route's match; several arms may share a server.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from router.address import Address
from router.errors import nearest
from router.flag import Arm, ArmSet, Flag, Match, UnitSource
from router.protocols import ROWS as PROTOCOLS
from router.quantity import Unreadable, whole
from router.serving import PoolLimits, Serving
from router.serving_keys import (
    FIELD_NAME,
    FieldName,
    LimitsModel,
    LowerFieldName,
    Pointer,
    PriceModel,
    ShadowModel,
)
from router.strict import Duration, Name, Strict, place, reads, wrong
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


class UnitModel(Strict):
    """The unit of a route."""

    kind: Name
    from_: Annotated[
        list[Annotated[tuple[str, str], reads(lambda value: place(value, PLACES))]],
        Field(alias="from"),
    ] = []
    on_missing: Literal["control", "error", "mint-cookie"] = "control"
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
        return self


def upstream(value: object) -> str:
    """The address of a model server."""
    try:
        Address.parse(value if isinstance(value, str) else "")
    except ValueError:
        expected = (
            "an address such as http://127.0.0.1:9001, https://models.example/v2 or unix:/run/model.sock"
        )
        raise Unreadable(expected, value) from None
    return str(value)


def _endpoint(value: object) -> str:
    address = upstream(value)
    if Address.parse(address).base:
        raise Unreadable("an address without a path, which stands in 'upstream'", value)
    return address


def _path(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.startswith("/")
        or not value.isprintable()
        or " " in value
        or "?" in value
        or "#" in value
        or ".." in value
    ):
        raise Unreadable("a path that begins with '/'", value)
    return value.rstrip("/") or "/"


def _field_value(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise Unreadable("a field value of printable ASCII", value)
    return value


def _json_value(value: object) -> Any:
    """Plain values are text in our files: what reads as JSON is JSON, all else is text."""
    if isinstance(value, dict):
        return {name: _json_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json_value(one) for one in value]
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


class SetModel(Strict):
    """What an arm sets on a request."""

    path: Annotated[str, reads(_path)] | None = None
    headers: dict[FieldName, Annotated[str, reads(_field_value)]] = {}
    json_: Annotated[
        dict[Pointer, Annotated[Any, BeforeValidator(_json_value)]],
        Field(alias="json"),
    ] = {}

    def compiled(self) -> ArmSet:
        """As gateways read it."""
        return ArmSet(self.path, tuple(self.headers.items()), tuple(self.json_.items()))


class ArmModel(Strict):
    """One alternative of a route."""

    upstream: Annotated[str, reads(upstream)]
    set: SetModel | None = None
    declares: Annotated[str, reads(_field_value)] = ""
    price: PriceModel | None = None
    endpoints: Annotated[list[Annotated[str, reads(_endpoint)]], Field(max_length=64)] = []
    limits: LimitsModel | None = None
    warm: Annotated[int, reads(whole), Field(le=10_000)] = 0

    def pool(self) -> PoolLimits | None:
        """Its servers and their limits; None where it is one server without any."""
        if self.limits is None and not self.endpoints:
            return None
        return (self.limits or LimitsModel()).compiled(tuple(self.endpoints))

    def identity(self) -> str:
        """A digest of what this arm is."""
        what = self.upstream
        if self.set is not None:
            # Secrets stand by name in it: another key is not another model.
            what += "\n" + json.dumps(self.set.model_dump(by_alias=True), sort_keys=True)
        if self.declares:
            what += "\n" + self.declares
        return hashlib.blake2b(what.encode(), digest_size=8).hexdigest()


def _any_field_name(value: object) -> str:
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None:
        raise Unreadable("a field name", value)
    return value


def _one_line(value: object) -> str:
    """Text that may stand in one line of a request's head."""
    if not isinstance(value, str) or not value.isprintable() or value != value.strip() or not value:
        raise Unreadable("printable text on one line", value)
    return value


class MatchModel(Strict):
    """Which requests a route takes."""

    path: Annotated[str, reads(_path)] = "/"
    host: Annotated[str, reads(_one_line)] | None = None
    headers: dict[Annotated[str, reads(_any_field_name)], Annotated[str, reads(_one_line)]] = {}


def _protocol(value: object) -> str:
    if value not in PROTOCOLS:
        hint = nearest(str(value), PROTOCOLS)
        raise Unreadable(f"one of {', '.join(PROTOCOLS)}" + (f" ({hint})" if hint else ""), value)
    return str(value)


def _few(value: object) -> int:
    if value not in ("0", "1", "2", "3"):
        raise Unreadable("0, 1, 2 or 3", value)
    return int(str(value))


def _yes(value: object) -> bool:
    if value not in ("yes", "no", "true", "false", True, False):
        raise Unreadable("yes or no", value)
    return value in ("yes", "true", True)


class Route(Strict):
    """A route file."""

    route: Name
    match: MatchModel = MatchModel()
    unit: UnitModel
    arms: Annotated[dict[Name, ArmModel], Field(min_length=1, max_length=32)]
    default: Name
    expose: Literal["all", "id", "none"] = "all"
    first_byte_timeout: Duration | None = None
    total_timeout: Duration | None = None
    protocol: Annotated[str, reads(_protocol)] = "plain"
    retries: Annotated[int, reads(_few), Field(ge=0, le=3)] = 1
    repeatable: Annotated[bool, reads(_yes)] = False
    fallback: Annotated[bool, reads(_yes)] = False
    restore_model: Annotated[bool, reads(_yes)] = False
    deadline: LowerFieldName | None = None
    cost: LowerFieldName | None = None
    outcomes: Annotated[dict[Name, Pointer], Field(max_length=16)] = {}
    shadow: ShadowModel | None = None

    @model_validator(mode="after")
    def _default_is_an_arm(self) -> Route:
        if self.default not in self.arms:
            hint = nearest(self.default, self.arms)
            raise wrong(f"default to be one of the arms {', '.join(self.arms)}", repr(self.default), hint)
        if self.shadow is not None and self.shadow.arm not in self.arms:
            hint = nearest(self.shadow.arm, self.arms)
            found = repr(self.shadow.arm)
            raise wrong(f"one of the arms {', '.join(self.arms)}", found, hint, ("shadow", "arm"))
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
        )
        return None if said == Serving() else said


def flag_of(route: Route) -> Flag:
    """The flag of a route without experiments, at revision 0."""
    match = route.match
    return Flag(
        route=route.route,
        match=Match(match.path, match.host, tuple((k.lower(), v) for k, v in match.headers.items())),
        unit=UnitSource(
            route.unit.kind,
            route.places(),
            route.unit.on_missing,
            route.unit.jwt.compiled() if route.unit.jwt else None,
        ),
        arms=tuple(
            Arm(
                arm,
                model.upstream,
                model.identity(),
                model.set.compiled() if model.set else None,
                model.declares,
                model.price.compiled() if model.price else None,
                model.pool(),
                model.warm,
            )
            for arm, model in route.arms.items()
        ),
        default=route.default,
        expose=route.expose,
        first_byte_timeout_ms=route.first_byte_timeout,
        total_timeout_ms=route.total_timeout,
        protocol=route.protocol,
        retries=route.retries,
        repeatable=route.repeatable,
        fallback=route.fallback,
        serving=route.serving(),
    )
