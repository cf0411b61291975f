"""Every error the product raises on purpose: few kinds, one message form, one JSON shape.

The form is ``where: expected …, found … - what to do``. ``status`` is a hint for whoever answers over HTTP; nothing
here knows HTTP. An unexpected exception is never one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where, what was expected, what was found, what to do."""

    path: str
    expected: str
    found: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        where = ": ".join(part for part in (place, self.path) if part)
        text = f"expected {self.expected}, found {self.found}" if self.found else f"expected {self.expected}"
        hint = f" - {self.hint}" if self.hint else ""
        return f"{where}: {text}{hint}" if where else text + hint


class PointsmanError(Exception):
    """The root of all errors raised on purpose."""

    status: int = 500
    code: str = "error"

    def extra(self) -> dict[str, Any]:
        """Further fields of the JSON shape."""
        return {}

    def detail(self) -> dict[str, Any]:
        """The one JSON shape of an error."""
        return {"error": {"code": self.code, "message": str(self), "problems": [], **self.extra()}}


class SpecError(PointsmanError):
    """A document is not what it should be; carries all problems at once."""

    status = 422
    code = "invalid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def extra(self) -> dict[str, Any]:
        """The problems as objects."""
        return {"problems": [asdict(problem) for problem in self.problems]}


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or nothing when no known name is near."""
    match = get_close_matches(name, list(known), n=1)
    return f"did you mean '{match[0]}'?" if match else ""


class UnknownName(PointsmanError):
    """A name that nothing has."""

    status = 404
    code = "unknown"

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        known = sorted(known)
        hint = nearest(name, known) or (
            f"known: {', '.join(known[:10])}" if known else f"there is no {kind} yet"
        )
        super().__init__(f"no {kind} named {name!r} - {hint}")


class StaleRevision(PointsmanError):
    """Somebody else wrote first: both revisions, and what differs between them."""

    status = 409
    code = "stale"

    def __init__(self, what: str, expected: int, found: int, difference: str = "") -> None:
        self.what, self.expected, self.found, self.difference = what, expected, found, difference
        text = f"{what}: expected revision {expected}, found {found} - read it again and decide anew"
        super().__init__(f"{text}\n{difference}" if difference else text)

    def extra(self) -> dict[str, Any]:
        """Both revisions and the difference."""
        return {"expected": self.expected, "found": self.found, "difference": self.difference}


class IllegalMove(PointsmanError):
    """An act that the present state does not allow."""

    status = 409
    code = "illegal_move"

    def __init__(self, state: str, action: str, hint: str = "") -> None:
        super().__init__(f"cannot {action} a run that is {state}" + (f" - {hint}" if hint else ""))


class StoreUnavailable(PointsmanError):
    """Redis does not answer, refuses, or is not there."""

    status = 503
    code = "store_unavailable"


class Fenced(PointsmanError):
    """A newer leader exists; what this one wanted to write changed nothing."""

    status = 409
    code = "fenced"


class Refused(PointsmanError):
    """An input is refused for a reason that is counted by name."""

    code = "refused"

    def __init__(
        self, reason: str, message: str = "", status: int = 400, problem: Problem | None = None
    ) -> None:
        self.reason, self.status, self.problem = reason, status, problem
        super().__init__(message or (str(problem) if problem else reason))

    def extra(self) -> dict[str, Any]:
        """The reason, as counted, and where it lies."""
        return {"reason": self.reason, "problems": [asdict(self.problem)] if self.problem else []}


class Unauthorised(PointsmanError):
    """No token, or the wrong one."""

    status = 401
    code = "unauthorised"
