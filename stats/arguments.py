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
        fits = (low < value) & (value < high)
        if isinstance(fits, np.ndarray):
            fits = bool(fits.all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        ends = ("" if math.isinf(low) else f" above {low:g}", "" if math.isinf(high) else f" below {high:g}")
        raise wrong(argument, "a finite number" + " and".join(end for end in ends if end), value)


def at_least(argument: str, value: Any, low: float) -> None:
    """Finite numbers of at least ``low``.

    Raises:
        ValueError: it is no number, not finite, or below.
    """
    try:
        fits = (low <= value) & (value < math.inf)
        if isinstance(fits, np.ndarray):
            fits = bool(fits.all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise wrong(argument, f"a finite number of at least {low:g}", value)


def count(argument: str, value: Any, most: Any = None) -> None:
    """Whole numbers of at least 0, and at most ``most`` when it is given.

    Raises:
        ValueError: it is no whole number, negative, or above ``most``.
    """
    fits = isinstance(value, Integral) or (isinstance(value, np.ndarray) and value.dtype.kind in "iu")
    if fits:
        inside = (value >= 0) & (value <= most) if most is not None else value >= 0
        fits = bool(np.all(inside)) if isinstance(value, np.ndarray) else bool(inside)
    if not fits:
        raise wrong(
            argument, "a whole number of at least 0" + ("" if most is None else f" and at most {most}"), value
        )


def alpha(value: Any, argument: str = "alpha") -> None:
    """An error rate within (0, 1/2).

    Raises:
        ValueError: it is not.
    """
    between(argument, value, 0.0, 0.5)
