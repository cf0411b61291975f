"""HTTP bodies: read once, strictly, every problem with its path."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from router.errors import Problem, SpecError, nearest

SHOWN = 80


class Body(BaseModel):
    """A body that takes nothing it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True)


_B = TypeVar("_B", bound=BaseModel)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"key {twice[0]!r} twice in one object")
    return result


def read_json() -> Any:
    """The body as plain values, whatever its content type says.

    Raises:
        SpecError: it is no JSON, or has a key twice.
    """
    try:
        return json.loads(request.get_data(cache=False), parse_constant=_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as problem:
        raise SpecError([Problem("body", "JSON", str(problem))]) from problem


def read_body(model: type[_B]) -> _B:
    """The body as a model."""
    return read(model, read_json(), "")


def read(model: type[_B], document: object, path: str) -> _B:
    """Plain values as a model.

    Raises:
        SpecError: all that is wrong, each with its path.
    """
    try:
        return model.model_validate(document)
    except ValidationError as problem:
        known = [field.alias or name for name, field in model.model_fields.items()]
        raise SpecError([_problem(dict(error), path, known) for error in problem.errors()]) from problem


def _problem(error: dict[str, Any], root: str, known: list[str]) -> Problem:
    path = root
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = path.lstrip(".") or "body"
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return Problem(path, "a known key", repr(name), nearest(name, known) or f"known: {', '.join(known)}")
    if error["type"] == "missing":
        return Problem(path, "this key", "nothing")
    expected = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return Problem(path, expected, repr(error["input"])[:SHOWN])
