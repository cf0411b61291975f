"""Group-sequential boundaries: a horizon is fixed before the start, and looks may come at any time before it.

Lan and DeMets: what a look may spend depends on the information it has, not on how many looks there will be. The test
has the power of a fixed sample at a quarter fewer units on average, and no answer after its horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from stats.arguments import alpha as check_alpha
from stats.arguments import between, wrong
from stats.brownian import REACH, Path, check_times
from stats.spending import DEFAULT_SPENDING, spent

LEAST_SPENT = 1e-14  # what a look may spend below this waits for the next look
FUTILE_POWER = 0.1  # conditional power below which going on is called futile


def boundary(
    times: Sequence[float],
    alpha: float,
    sides: int = 1,
    spending: str = DEFAULT_SPENDING,
    parameter: float = 0.0,
) -> tuple[float, ...]:
    """Critical values of z at each look.

    Args:
        times: fractions of the planned information, rising, above 0. The first look at or above 1 spends all that is
            left at the information it really has; to looks after it nothing is left.
        alpha: error rate of the whole test over all looks, within (0, 1/2).
        sides: 1 or 2; with 2 each tail gets half of alpha and rejects when it is outside plus or minus the value.
        spending: a row of ``spending.SPENDING``.
        parameter: of the spending function, where it has one.

    Returns:
        One critical value a look; infinite where a look has (almost) nothing to spend. Cached.

    Raises:
        ValueError: arguments out of range.

    Not valid:
        When looks are timed by what the effect looks like, or z is no normal score: see the gates of the estimates.

    Source:
        Lan, DeMets (1983), Discrete sequential boundaries for clinical trials, by the recursion of Armitage,
        McPherson, Rowe (1969).
    """
    check_alpha(alpha)
    if sides not in (1, 2):
        raise wrong("sides", "1 or 2", sides)
    check_times(np.asarray(times, float))
    return _boundary(tuple(map(float, times)), alpha, sides, spending, parameter)


@lru_cache(maxsize=512)
def _boundary(
    times: tuple[float, ...], alpha: float, sides: int, spending: str, parameter: float
) -> tuple[float, ...]:
    allowed = np.atleast_1d(spent(np.asarray(times), alpha / sides, spending, parameter)).tolist()
    path, used, values = Path(), 0.0, []
    for time, target in zip(times, allowed, strict=True):
        z = _critical(path, time, target - used)
        if z < math.inf:
            used = target
        edge = z * math.sqrt(time)
        path.go_on(time, -edge if sides == 2 else -math.inf, edge)
        values.append(z)
    return tuple(values)


def _critical(path: Path, time: float, chance: float) -> float:
    """The z that a path exceeds with ``chance`` at ``time``."""
    if chance < LEAST_SPENT:
        return math.inf
    root = math.sqrt(time)
    if path.time == 0:
        return float(-ndtri(chance))
    return float(brentq(lambda z: path.above(time, z * root) - chance, -REACH, REACH, xtol=1e-11))


def futility_boundary(
    times: Sequence[float],
    upper: Sequence[float],
    drift: float,
    beta: float,
    spending: str = DEFAULT_SPENDING,
    parameter: float = 0.0,
) -> tuple[float, ...]:
    """Values of z below which a look may give up: beta spending, not binding.

    Args:
        times: fractions of the planned information, rising, above 0.
        upper: critical values of z for rejecting, one a look, as ``boundary`` gives them. They ignore the futility
            boundary, so going on below it breaks no promise.
        drift: effect worth detecting times sqrt(planned information), above 0.
        beta: the chance to give up although the effect is that large, within (0, 1).
        spending: a row of ``spending.SPENDING``.
        parameter: of the spending function, where it has one.

    Returns:
        One value a look, minus infinity where nothing may be spent; never above ``upper``.

    Raises:
        ValueError: arguments out of range.

    Source:
        Pampallona, Tsiatis, Kim (2001), Interim monitoring of group sequential trials using spending functions for
        the type I and type II error probabilities.
    """
    between("drift", drift, 0.0, math.inf)
    between("beta", beta, 0.0, 1.0)
    check_times(np.asarray(times, float))
    allowed = np.atleast_1d(spent(np.asarray(times, float), beta, spending, parameter)).tolist()
    path, used, values = Path(drift), 0.0, []
    for time, high, target in zip(times, upper, allowed, strict=True):
        root = math.sqrt(time)
        z = -math.inf
        if target - used >= LEAST_SPENT:
            z, used = min(high, _lower(path, time, target - used)), target
        path.go_on(time, z * root, high * root)
        values.append(z)
    return tuple(values)


def _lower(path: Path, time: float, chance: float) -> float:
    root = math.sqrt(time)
    centre = path.drift * root
    low, high = centre - REACH, centre + REACH
    if path.below(time, high * root) <= chance:
        return math.inf
    return float(brentq(lambda z: path.below(time, z * root) - chance, low, high, xtol=1e-11))


def conditional_power(z: float, t: float, drift: float, critical: float) -> float:
    """The chance that the last look rejects, given what is there now.

    Args:
        z: score over its standard deviation now.
        t: fraction of the planned information now, within (0, 1).
        drift: assumed effect times sqrt(planned information); z/sqrt(t) is the present trend.
        critical: value of z at the last look, at t = 1.

    Returns:
        A probability. Below FUTILE_POWER, at the effect worth detecting, going on is futile.

    Raises:
        ValueError: t is not within (0, 1).

    Not valid:
        As a reason to reject; and it ignores looks in between, so it is a little too low.

    Source:
        Lan, Simon, Halperin (1982), Stochastically curtailed tests in long-term clinical trials.
    """
    between("t", t, 0.0, 1.0)
    return float(ndtr((z * math.sqrt(t) + drift * (1 - t) - critical) / math.sqrt(1 - t)))
