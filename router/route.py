"""A route as people write it: what it matches, its unit, its arms, its default arm. It outlives experiments.

``flag_of`` compiles it to the flag that gateways read. A route's arm may carry a path in its upstream, which then
replaces the path of the route's match; several arms may share a server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from router.document import Document, Path
from router.errors import Problem, nearest
from router.flag import Arm, Flag, Match, UnitSource
from router.quantity import Unreadable, duration_ms

FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, token
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
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


def _place(value: object) -> tuple[str, str]:
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
    from_: Annotated[list[Annotated[tuple[str, str], reads(_place)]], Field(alias="from", min_length=1)]
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
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    if not well or not plain or parts.query or parts.fragment or parts.username:
        raise Unreadable("an address such as http://127.0.0.1:9001 or https://models.example/v2", value)
    return str(value)


class ArmModel(Strict):
    """One alternative of a route."""

    upstream: Annotated[str, reads(upstream)]

    def identity(self) -> str:
        """A digest of what this arm is."""
        return hashlib.blake2b(self.upstream.encode(), digest_size=8).hexdigest()


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
    headers: dict[Annotated[str, reads(_field_name)], Annotated[str, reads(_one_line)]] = {}


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
        arms=tuple(Arm(arm, model.upstream, model.identity()) for arm, model in route.arms.items()),
        default=route.default,
        expose=route.expose,
        first_byte_timeout_ms=route.first_byte_timeout,
        total_timeout_ms=route.total_timeout,
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
