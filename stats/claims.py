"""The four claims about a metric, each as one one-sided test: which sign, which null, which multiple of control.

Every open-ended one-sided test shows ``sign * (m1 - factor * m0) > null``. With ``i`` from ``strata.gather`` of
estimates made with ``factor``, a claim is tested by ``grid.log_evalue(i.a, claim.sign * i.b, claim.null, unit)``, and
the same with ``half_normal`` or ``half_student``.

A margin of a share of control's level has no null of its own: it is the linear form ``m1 - (1 - m) m0``, which has no
bias of a ratio. Its estimate is brought to multiples of control's level by ``Estimate.over``, where the unit of the
grid is the margin itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stats import arguments

SIGNS = {"higher": 1, "lower": -1}


class Claim(NamedTuple):
    """What is to be shown: ``sign * (m1 - factor * m0) > null``.

    Attributes:
        sign: 1 or -1.
        null: in the metric's unit; 0.0 for a relative margin.
        factor: what control's level is multiplied by; 1.0 for an absolute margin.
    """

    sign: int
    null: float
    factor: float


def superiority(better: str) -> Claim:
    """The treatment is better.

    Args:
        better: "higher" or "lower", the direction of the metric.

    Raises:
        ValueError: another word.
    """
    return Claim(_sign(better), 0.0, 1.0)


def non_inferiority(better: str, margin: float, *, relative: bool = False) -> Claim:
    """The treatment is not worse by as much as the margin.

    Args:
        better: "higher" or "lower".
        margin: above 0; in the metric's unit, or a share of control's level when ``relative``.
        relative: below 1 then, where higher is better.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("margin", margin, 0.0, _most(better, relative))
    return _claim(_sign(better), -_sign(better), margin, relative=relative)


def harm(better: str, tolerance: float, *, relative: bool = False) -> Claim:
    """The treatment is worse by more than the tolerance.

    Args:
        better: "higher" or "lower".
        tolerance: at least 0; in the metric's unit, or a share of control's level when ``relative``.
        relative: below 1 then, where higher is better.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.at_least("tolerance", tolerance, 0.0)
    if tolerance:
        arguments.between("tolerance", tolerance, 0.0, _most(better, relative))
    return _claim(-_sign(better), -_sign(better), tolerance, relative=relative)


def futility(better: str, mde: float, *, relative: bool = False) -> Claim:
    """The treatment is not better by as much as the smallest effect that matters.

    Args:
        better: "higher" or "lower".
        mde: above 0; in the metric's unit, or a share of control's level when ``relative``.
        relative: below 1 then, where lower is better.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("mde", mde, 0.0, _most("lower" if _sign(better) > 0 else "higher", relative))
    return _claim(-_sign(better), _sign(better), mde, relative=relative)


def _sign(better: str) -> int:
    if better not in SIGNS:
        raise arguments.wrong("better", "'higher' or 'lower'", better)
    return SIGNS[better]


def _most(better: str, relative: bool) -> float:
    """A level cannot fall by more than itself."""
    return 1.0 if _sign(better) > 0 and relative else math.inf


def _claim(sign: int, towards: int, distance: float, *, relative: bool) -> Claim:
    """The boundary of the null lies ``distance`` from no effect, up (``towards`` 1) or down (-1)."""
    if relative:
        return Claim(sign, 0.0, 1 + towards * distance)
    return Claim(sign, sign * towards * distance, 1.0)
