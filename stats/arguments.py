"""Checks of arguments: one sentence that names the argument, what was expected and what was found.

They take a number or an array of numbers; NaN and text fit no range. A check costs a comparison where all is well.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np


def wrong(argument: str, expected: str, found: object) -> ValueError:
    """The one error of this package, for the caller to raise."""
    return ValueError(f"{argument}: expected {expected}, found {found!r}")


def between(argument: str, value: Any, low: float, high: float) -> None:
    """Numbers strictly between two others; an infinite end stands for none, and infinity itself never fits.

    Raises:
        ValueError: it is no number, or not between them.
    """
    try:
        fits = low < value < high
    except (TypeError, ValueError):
        fits = _numbers(value) and bool(np.all((low < value) & (value < high)))
    if not fits:
        ends = ("" if math.isinf(low) else f" above {low:g}", "" if math.isinf(high) else f" below {high:g}")
        raise wrong(argument, "a finite number" + " and".join(end for end in ends if end), value)


def at_least(argument: str, value: Any, low: float) -> None:
    """Finite numbers of at least ``low``.

    Raises:
        ValueError: it is no number, not finite, or below.
    """
    try:
        fits = low <= value < math.inf
    except (TypeError, ValueError):
        fits = _numbers(value) and bool(np.all((low <= value) & (value < math.inf)))
    if not fits:
        raise wrong(argument, f"a finite number of at least {low:g}", value)


def _numbers(value: Any) -> bool:
    """An array that compares; a chain of comparisons of one is ambiguous, and of text an error."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf"


def count(argument: str, value: Any, most: Any = None) -> None:
    """Whole numbers of at least 0, and at most ``most`` when it is given.

    Raises:
        ValueError: it is no whole number, negative, or above ``most``.
    """
    if type(value) is int:  # by far the commonest, and an abstract class is slow to ask
        fits = value >= 0 and (most is None or value <= most)
    elif isinstance(value, np.ndarray):
        fits = value.dtype.kind in "iu" and bool(
            np.all(value >= 0) and (most is None or np.all(value <= most))
        )
    else:
        fits = isinstance(value, Integral) and int(value) >= 0 and (most is None or int(value) <= most)
    if not fits:
        limit = "" if most is None else f" and at most {most}"
        raise wrong(argument, f"a whole number of at least 0{limit}", value)


def score(information: Any, weighted: Any, null: Any, name: str, tuning: Any) -> None:
    """What every test of an estimate takes, in one comparison where all is well.

    Args:
        information: at least 0.
        weighted: finite.
        null: finite.
        name: of the tuning.
        tuning: above 0.

    Raises:
        ValueError: one of them is no number or out of range.
    """
    try:
        if (
            0.0 < tuning < math.inf
            and 0.0 <= information < math.inf
            and -math.inf < weighted < math.inf
            and -math.inf < null < math.inf
        ):
            return
    except (TypeError, ValueError):
        pass  # arrays compare one by one below
    between(name, tuning, 0.0, math.inf)
    at_least("information", information, 0.0)
    between("weighted", weighted, -math.inf, math.inf)
    between("null", null, -math.inf, math.inf)


def alpha(value: Any, argument: str = "alpha") -> None:
    """An error rate within (0, 1/2).

    Raises:
        ValueError: it is not.
    """
    between(argument, value, 0.0, 0.5)
