"""Spending functions: how much of an error rate may be used up when a fraction of the planned information is there.

Each takes the fraction t and one tail's error rate, rises from 0 at t = 0 to the whole rate at t = 1, and stays there:
after the horizon nothing is left to spend. To add one: a row of SPENDING and its case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from stats.arguments import wrong

Fractions = Any  # a number or an array of numbers


def _obrien_fleming(t: Fractions, tail: float, parameter: float) -> Fractions:
    with np.errstate(divide="ignore"):
        return 2 * ndtr(ndtri(tail / 2) / np.sqrt(t))


def _pocock(t: Fractions, tail: float, parameter: float) -> Fractions:
    return tail * np.log1p(np.expm1(1.0) * t)


def _power(t: Fractions, tail: float, parameter: float) -> Fractions:
    return tail * t**parameter


def _hwang_shih_decani(t: Fractions, tail: float, parameter: float) -> Fractions:
    if parameter == 0:
        return tail * t
    return tail * np.expm1(-parameter * t) / np.expm1(-parameter)


class Spending(NamedTuple):
    """A spending function of (t, one tail's error rate, parameter), and what its parameter is; empty where it has none."""

    spent: Callable[[Fractions, float, float], Fractions]
    parameter: str = ""


SPENDING: dict[str, Spending] = {
    "obrien_fleming": Spending(_obrien_fleming),
    "pocock": Spending(_pocock),
    "power": Spending(_power, "a power above 0"),
    "hwang_shih_decani": Spending(_hwang_shih_decani, "a number; the smaller, the later it is spent"),
}

DEFAULT_SPENDING = "obrien_fleming"


def spent(t: Fractions, tail: float, spending: str = DEFAULT_SPENDING, parameter: float = 0.0) -> Fractions:
    """Error rate that may be spent by the fraction ``t`` of the horizon.

    Args:
        t: information over planned information, at least 0; a number or an array. Above 1 it counts as 1.
        tail: the error rate of one tail, within (0, 1).
        spending: a row of SPENDING.
        parameter: rho above 0 of ``power``, gamma of ``hwang_shih_decani``; the others have none.

    Returns:
        Cumulative error rate of that tail, in the shape of ``t``.

    Raises:
        ValueError: an unknown spending function, or rho not above 0.

    Source:
        Lan, DeMets (1983), Discrete sequential boundaries for clinical trials, alpha_1* and alpha_2*; Kim, DeMets
        (1987) for powers; Hwang, Shih, DeCani (1990) for the last.
    """
    if spending not in SPENDING:
        raise wrong("spending", f"one of {', '.join(SPENDING)}", spending)
    if spending == "power" and not parameter > 0:
        raise wrong("parameter", SPENDING[spending].parameter, parameter)
    return SPENDING[spending].spent(np.clip(t, 0.0, 1.0), tail, parameter)
