"""A route as people write it: what it matches, its unit, its arms, its default arm. It outlives experiments.

``flag_of`` compiles it to the flag that gateways read. A route's arm may carry a path in its upstream, which then
replaces the path of the route's match; several arms may share a server.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from router.address import Address
from router.document import Document, Path
from router.errors import Problem, nearest
from router.flag import Arm, ArmSet, Flag, Match, UnitSource
from router.protocols import ROWS as PROTOCOLS
from router.quantity import Unreadable, duration_ms

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, token
# What the gateway writes itself in every request.
OUR_FIELDS = frozenset(
    "connection content-length expect host keep-alive te trailer transfer-encoding upgrade via x-forwarded-for".split()
)
# Where a unit may stand in a request: one row per kind, whether it needs a name, and what that name looks like.
PLACES: dict[str, str] = {
    "header": "a field name",
    "cookie": "a cookie's name",
    "query": "a parameter's name",
    "json": "a JSON pointer that begins with '/'",
    "request": "",
}


def reads(reader: Callable[[object], Any]) -> BeforeValidator:
    """A quantity's reader as a validator whose error says expected and found."""

    def validate(value: object) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value  # a default, already in its own unit
        try:
            return reader(value)
        except Unreadable as problem:
            raise wrong(problem.expected, problem.found) from problem

    return BeforeValidator(validate)


def wrong(expected: str, found: str, hint: str = "") -> PydanticCustomError:
    """An error in our form, from inside a validator."""
    return PydanticCustomError(
        "pointsman", "{expected}", {"expected": expected, "found": found, "hint": hint}
    )


def name(value: object) -> str:
    """A name: letters, digits, dot, dash and underscore."""
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise Unreadable("a name of letters, digits, '.', '-' and '_', at most 64", value)
    return value


Name = Annotated[str, reads(name)]
Duration = Annotated[int, reads(duration_ms)]


class Strict(BaseModel):
    """A model that takes nothing it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def place(value: object) -> tuple[str, str]:
    """Where something stands in a request: its kind and its name."""
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in PLACES:
        hint = nearest(kind, PLACES)
        raise Unreadable(f"one of {', '.join(PLACES)}" + (f" ({hint})" if hint else ""), value)
    if bool(rest) != bool(PLACES[kind]) or (kind == "json" and not rest.startswith("/")):
        raise Unreadable(f"{kind}:{PLACES[kind]}" if PLACES[kind] else kind, value)
    return (kind, rest.lower() if kind == "header" else rest)


class UnitModel(Strict):
    """The unit of a route."""

    kind: Name
    from_: Annotated[list[Annotated[tuple[str, str], reads(place)]], Field(alias="from", min_length=1)]
    on_missing: Literal["control", "error", "mint-cookie"] = "control"

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


def _field_name(value: object) -> str:
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None or value.lower() in OUR_FIELDS:
        raise Unreadable("a field name that is not about framing or connections", value)
    return value


def _field_value(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise Unreadable("a field value of printable ASCII", value)
    return value


def _pointer(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise Unreadable("a JSON pointer that begins with '/'", value)
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
    headers: dict[Annotated[str, reads(_field_name)], Annotated[str, reads(_field_value)]] = {}
    json_: Annotated[
        dict[Annotated[str, reads(_pointer)], Annotated[Any, BeforeValidator(_json_value)]],
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

    @model_validator(mode="after")
    def _default_is_an_arm(self) -> Route:
        if self.default not in self.arms:
            hint = nearest(self.default, self.arms)
            raise wrong(f"default to be one of the arms {', '.join(self.arms)}", repr(self.default), hint)
        return self


def flag_of(route: Route) -> Flag:
    """The flag of a route without experiments, at revision 0."""
    match = route.match
    return Flag(
        route=route.route,
        match=Match(match.path, match.host, tuple((k.lower(), v) for k, v in match.headers.items())),
        unit=UnitSource(route.unit.kind, tuple(route.unit.from_), route.unit.on_missing),
        arms=tuple(
            Arm(
                arm,
                model.upstream,
                model.identity(),
                model.set.compiled() if model.set else None,
                model.declares,
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
    )


def problems_of(document: Document, problem: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """A model's errors in our form, at their places in the document."""
    return [_problem(document, dict(error), model) for error in problem.errors()]


def _problem(document: Document, error: dict[str, Any], model: type[BaseModel]) -> Problem:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    kind, context = error["type"], error.get("ctx", {})
    if kind == "pointsman":
        return document.problem(path, context["expected"], context["found"], context["hint"])
    if kind == "extra_forbidden":
        known = _known_keys(path, model)
        return document.problem(path, "a known key", repr(path[-1]), nearest(str(path[-1]), known))
    if kind == "missing":
        return document.problem(path, "this key", "nothing")
    message = str(error["msg"])
    expected = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return document.problem(path, expected, repr(error["input"]))


def _known_keys(path: Path, model: type[BaseModel]) -> list[str]:
    """All keys of the model and of the models inside it: enough to find the nearest."""
    known: list[str] = []
    waiting: list[Any] = [model]
    while waiting:
        current = waiting.pop()
        if isinstance(current, type) and issubclass(current, BaseModel):
            for field_name, field in current.model_fields.items():
                known.append(field.alias or field_name)
                waiting.append(field.annotation)
        else:
            waiting += list(getattr(current, "__args__", ()))
    return known
