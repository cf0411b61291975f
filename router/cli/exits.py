"""The exit codes of every command."""

from __future__ import annotations

from router.errors import PointsmanError, SpecError

YES = 0
NO = 1
TROUBLE = 2
NOT_DECIDED = 3
# The question was understood, and the answer is no: the state forbids it, or somebody else wrote first.
REFUSALS = frozenset({409, 412})


class InvalidFiles(SpecError):
    """The files that a command was asked about are not what they should be."""


def exit_of_problem(problem: PointsmanError) -> int:
    """An error as an exit code: a 'no' is an answer, everything else is trouble."""
    return NO if isinstance(problem, InvalidFiles) or problem.status in REFUSALS else TROUBLE
