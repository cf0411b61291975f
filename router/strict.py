"""Models of what people write: strict, unknown keys forbidden, every error in our one form with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from router.document import Document, Path
from router.errors import Problem, nearest
from router.quantity import Unreadable, duration_ms, percent_ppm, whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, token
TRUTHS = {"yes": True, "no": False, "true": True, "false": False}


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


def wrong(expected: str, found: str, hint: str = "", at: Path = ()) -> PydanticCustomError:
    """An error in our form, from inside a validator; ``at`` leads from the validated value to what is wrong."""
    context = {"expected": expected, "found": found, "hint": hint, "at": at}
    return PydanticCustomError("pointsman", "{expected}", context)


def name(value: object) -> str:
    """A name: letters, digits, dot, dash and underscore."""
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise Unreadable("a name of letters, digits, '.', '-' and '_', at most 64", value)
    return value


def truth(value: object) -> bool:
    """``yes`` or ``no``, ``true`` or ``false``; JSON has the latter as they are."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value not in TRUTHS:
        raise Unreadable("true or false, yes or no", value)
    return TRUTHS[value]


def field_name(value: object) -> str:
    """The name of a field (RFC 9110, token)."""
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None:
        raise Unreadable("a field name", value)
    return value


def one_line(value: object) -> str:
    """Text that may stand in one line of a request's head."""
    if not isinstance(value, str) or not value.isprintable() or value != value.strip() or not value:
        raise Unreadable("printable text on one line", value)
    return value


def request_path(value: object) -> str:
    """A path of a request, without its last slash."""
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


def place(value: object, kinds: Mapping[str, str]) -> tuple[str, str]:
    """``header:x-person``: where something stands in a request, by a table of kinds and what each one names."""
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in kinds:
        hint = nearest(kind, kinds)
        raise Unreadable(f"one of {', '.join(kinds)}" + (f" ({hint})" if hint else ""), value)
    wanted = kinds[kind]
    if wanted.startswith("optionally"):
        well = not rest or (rest.isascii() and rest.isdigit() and 0 < int(rest) < 100)
    else:
        well = bool(rest) == bool(wanted) and (kind != "json" or rest.startswith("/"))
        well = well and (not kind.startswith("header") or FIELD_NAME.fullmatch(rest) is not None)
    if not well:
        raise Unreadable(f"{kind}:{wanted}" if wanted else kind, value)
    return (kind, rest.lower() if kind.startswith("header") else rest)


Name = Annotated[str, reads(name)]
Truth = Annotated[bool, reads(truth)]
Duration = Annotated[int, reads(duration_ms)]
Percent = Annotated[int, reads(percent_ppm)]
Whole = Annotated[int, reads(whole)]


class Strict(BaseModel):
    """A model that takes nothing it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def problems_of(document: Document, problem: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """A model's errors in our form, at their places in the document."""
    return [_problem(document, dict(error), model) for error in problem.errors()]


def _problem(document: Document, error: dict[str, Any], model: type[BaseModel]) -> Problem:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    kind, context = error["type"], error.get("ctx", {})
    if kind == "pointsman":
        return document.problem(
            (*path, *context["at"]), context["expected"], context["found"], context["hint"]
        )
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
