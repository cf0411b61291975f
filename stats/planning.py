"""Before the start: how much information a test needs, and what to expect of it.

Two yardsticks. A *fixed* sample is looked at once, at its end. The *grid* test (the open-ended default) is looked at all
the time; how its path leaves its region is computed on a coarse grid of looks, with its edges moved inwards by what the
looks in between would find.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw, ndtr, ndtri

from stats import arguments
from stats.brownian import Crossing, crossing
from stats.grid import STEPS, WEIGHTS
from stats.mixtures import edge

Floats = NDArray[np.float64]

# What a path sampled with steps dA overshoots an edge by, in sqrt(dA): -zeta(1/2)/sqrt(2 pi).
OVERSHOOT = 0.5826
LOOKS = 80
FARTHEST = 6.0  # information that a plan looks at, in multiples of what a fixed sample needs


class GridTest(NamedTuple):
    """A one-sided grid test: the null in the metric's unit, what the grid is centred on, and alpha."""

    null: float
    unit: float
    alpha: float


def fixed_information(effect: float, alpha: float, power: float) -> float:
    """Information that a fixed sample needs.

    Args:
        effect: distance from the null, in the metric's unit, not 0.
        alpha: one-sided, within (0, 1/2).
        power: chance to show the effect, within (0, 1).

    Returns:
        A = 1/se^2, in 1/effect^2.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For looks before the end, at any of which it would be shown too often.
    """
    arguments.between("abs(effect)", abs(effect), 0.0, math.inf)
    arguments.alpha(alpha)
    arguments.between("power", power, 0.0, 1.0)
    return float(((ndtri(1 - alpha) + ndtri(power)) / effect) ** 2)


def fixed_power(information: float, effect: float, alpha: float) -> float:
    """Chance that a fixed sample of this information shows an effect above the null, one-sided."""
    arguments.at_least("information", information, 0.0)
    arguments.alpha(alpha)
    return float(ndtr(effect * math.sqrt(information) + ndtri(alpha)))


def unit_information(variance0: float, variance1: float, share: float) -> float:
    """Information of one treatment unit together with the control units that come with it.

    Args:
        variance0: of one control unit, in the metric's unit squared, at least 0; of a proportion p, p(1 - p).
        variance1: of one treatment unit; not both 0.
        share: the treatment's share of the units of both arms, within (0, 1).

    Returns:
        1/se^2 of a difference of means, over the number of treatment units.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.at_least("variance0", variance0, 0.0)
    arguments.at_least("variance1", variance1, 0.0)
    arguments.between("variance0 + variance1", variance0 + variance1, 0.0, math.inf)
    arguments.between("share", share, 0.0, 1.0)
    return 1 / (variance1 + variance0 * share / (1 - share))


def fixed_units(
    effect: float, variance0: float, variance1: float, alpha: float, power: float, share: float = 0.5
) -> tuple[int, int]:
    """Units of control and treatment that a fixed sample needs, each rounded up.

    Args:
        effect: as in ``fixed_information``.
        variance0: as in ``unit_information``.
        variance1: as in ``unit_information``.
        alpha: one-sided; half of it for a two-sided test.
        power: as in ``fixed_information``.
        share: as in ``unit_information``.
    """
    units = fixed_information(effect, alpha, power) / unit_information(variance0, variance1, share)
    return math.ceil(units * (1 - share) / share), math.ceil(units)


def mixing_variance(information: float, alpha: float, sides: int = 2) -> float:
    """The mixing variance with which a normal mixture rejects the smallest effect at this information.

    Args:
        information: A that the test is meant for, above 0, in 1/effect^2.
        alpha: within (0, 1/2).
        sides: 2 for the two-sided mixture; 1 for the half-normal one, whose factor of 2 acts as twice alpha.

    Returns:
        tau^2 = r/A with r + 1 = x, x - log x = 1 + 2 log(1/alpha): r = 8.212 at alpha .05 two-sided, 6.638 one-sided.

    Raises:
        ValueError: an argument out of range.

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, on tuning by
        Lambert's W.
    """
    arguments.between("information", information, 0.0, math.inf)
    arguments.alpha(alpha)
    if sides not in (1, 2):
        raise arguments.wrong("sides", "1 or 2", sides)
    tail = alpha if sides == 2 else 2 * alpha
    return (-float(lambertw(-(tail**2) / math.e, -1).real) - 1) / information


def drawn_in(information: Floats) -> Floats:
    """How far an edge is drawn in for what looks in between would find, in the unit of a score.

    Args:
        information: A at some dozens of looks, rising, above 0; the first is where the gate opens.

    Returns:
        Distances, one a look; 0 at the first.

    Source:
        Siegmund (1985), Sequential Analysis, on corrected diffusions.
    """
    inwards = OVERSHOOT * np.sqrt(np.diff(information, prepend=0.0))
    inwards[0] = 0.0
    return np.asarray(inwards)


def grid_edge(information: Floats, test: GridTest) -> Floats:
    """The score B at which a grid test shows that the effect is above its null, taken to be looked at all the time.

    Args:
        information: as for ``drawn_in``.
        test: the test; one that shows an effect to be *below* ``null`` has the negated edge of ``-null``.
    """
    slopes = np.asarray(STEPS) * test.unit
    rises = edge(np.log(WEIGHTS) - information[:, None] * slopes**2 / 2, slopes, test.alpha)
    return test.null * information + rises - drawn_in(information)


def course(information: Floats, effect: float, upper: Floats | None, lower: Floats | None) -> Crossing:
    """How a metric goes: the chances, by information, that it has left a region of scores upwards, or downwards.

    Args:
        information: as for ``drawn_in``.
        effect: the true effect, in the metric's unit.
        upper: scores B at which it leaves upwards, one a look, infinite where it cannot; None where it never can.
        lower: the same downwards, minus infinity where it cannot.

    Returns:
        Cumulative chances of the first exit, one a look; accurate to about .01.

    Raises:
        ValueError: an argument out of range.
    """
    high = np.full(len(information), math.inf) if upper is None else upper
    exits = crossing(information.tolist(), high, lower, effect)
    return Crossing(np.cumsum(exits.upper), np.cumsum(exits.lower))


def grid_course(
    information: Floats, effect: float, rises: GridTest | None = None, falls: GridTest | None = None
) -> Crossing:
    """``course`` between two grid tests: one shows that the effect is above its null, the other that it is below.

    Args:
        information: as for ``drawn_in``.
        effect: the true effect, in the metric's unit.
        rises: shows that the effect is above its null, or None.
        falls: shows that it is below its null, or None.
    """
    upper = None if rises is None else grid_edge(information, rises)
    lower = None if falls is None else -grid_edge(information, falls._replace(null=-falls.null))
    return course(information, effect, upper, lower)


def grid_information(alpha: float, power: float) -> float:
    """Information, times unit^2, by which the grid test has shown an effect of one unit with a given chance.

    Args:
        alpha: one-sided, within (0, 1/2).
        power: within (0, 1), at most .99.

    Returns:
        A number without unit: divide it by the squared effect for A, or A into it for the smallest effect.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.alpha(alpha)
    arguments.between("power", power, 0.0, 0.995)
    information, shown = _unit_course(alpha)
    return float(np.interp(power, shown, information))


@lru_cache(maxsize=64)
def _unit_course(alpha: float) -> tuple[Floats, Floats]:
    most = FARTHEST * fixed_information(1.0, alpha, 0.8)
    information = np.linspace(most / LOOKS, most, LOOKS)
    return information, grid_course(information, 1.0, GridTest(0.0, 1.0, alpha)).upper


def grid_expected(alpha: float, effect: float = 1.0) -> float:
    """Mean information, times unit^2, at which the grid test shows an effect of so many units.

    Args:
        alpha: one-sided, within (0, 1/2).
        effect: the true effect in units, above 0.

    Returns:
        As ``grid_information``; runs that last longer than six fixed samples count as that long.
    """
    arguments.between("effect", effect, 0.0, math.inf)
    most = FARTHEST * fixed_information(1.0, alpha, 0.8)
    information = np.linspace(most / LOOKS, most, LOOKS)
    open_still = 1 - grid_course(information, effect, GridTest(0.0, 1.0, alpha)).upper
    return float(np.trapezoid(np.concatenate(([1.0], open_still)), np.concatenate(([0.0], information))))


def smallest_effect(information: float, alpha: float, power: float) -> float:
    """The smallest effect that the grid test, centred on it, shows with a given chance by this information.

    Args:
        information: A at the end, above 0.
        alpha: one-sided, within (0, 1/2).
        power: within (0, 1), at most .99.

    Returns:
        A distance from the null, in the metric's unit.
    """
    arguments.between("information", information, 0.0, math.inf)
    return math.sqrt(grid_information(alpha, power) / information)
