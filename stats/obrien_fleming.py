"""Continuous O'Brien-Fleming: any number of looks before a horizon that is fixed before the start, in closed form.

The score of a path without effect exceeds a constant before the horizon exactly twice as often as it does at the
horizon (Lévy), so the constant that is exceeded at the horizon with alpha/2 keeps alpha over all looks. The limit of
Lan-DeMets boundaries for endless looks: the power of a fixed sample but for two points, with a quarter fewer units.

``alpha`` is the error rate of the one-sided test "effect <= null"; for two sides ask twice, with half of it.
"""

from __future__ import annotations

import math

from numpy.polynomial.legendre import leggauss
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from stats import arguments

NOTHING = -700.0  # stands for the log of e = 0, which no document can hold
NODES, WEIGHTS = leggauss(64)


def boundary(
    information: float, horizon: float, alpha: float, last: tuple[float, float] | None = None
) -> float:
    """The score ``weighted - null * information`` at which "effect <= null" is rejected.

    Args:
        information: A, above 0, in 1/effect^2.
        horizon: the largest A that is planned for, fixed before the start, above 0.
        alpha: one-sided, over all looks, within (0, 1/2).
        last: information and score of the last look before the horizon, for the one look that overran it.

    Returns:
        A constant up to the horizon. Beyond it, what is still to be shown so that this last look spends only the
        error that is left given the look before; infinite when that look is not named, since then nothing is left.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For a second look beyond the horizon, or a horizon that was moved after looking.

    Source:
        Lévy's inequality; Kurennoy et al. (2025), YEAST; beyond the horizon the conditional error principle of Müller,
        Schäfer (2001), Adaptive group sequential designs for clinical trials.
    """
    _check(information, horizon, alpha)
    if information <= horizon:
        return _constant(horizon, alpha)
    if last is None:
        return math.inf
    then, score = last
    if not 0 <= then < horizon:
        raise arguments.wrong("last", "a look before the horizon", last)
    left = _log_hit(_constant(horizon, alpha) - score, horizon - then)
    if left >= 0:
        return -math.inf
    return float(score - math.sqrt(information - then) * ndtri(math.exp(left)))


def log_evalue(
    information: float,
    weighted: float,
    null: float,
    horizon: float,
    alpha: float,
    last: tuple[float, float] | None = None,
) -> float:
    """Evidence that the effect is above ``null``, for a test at ``alpha`` that ends at the horizon.

    Args:
        information: A, at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the largest effect under the null, in the metric's unit.
        horizon: the largest A that is planned for, fixed before the start, above 0.
        alpha: one-sided, over all looks, within (0, 1/2).
        last: information and score of the last look before the horizon, for the one look that overran it.

    Returns:
        The log of the chance, without an effect, still to reject by the horizon, over alpha. It is 0.0 at the start
        and ``log(1/alpha)`` exactly where the score reaches ``boundary``; NOTHING when the horizon has passed in vain.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        At another alpha than the one it is made for (valid, but it rejects later than need be).

    Source:
        Doob's martingale of the rejection; the chance by the reflection principle.
    """
    if information == 0:
        return 0.0
    _check(information, horizon, alpha)
    score = weighted - null * information
    arguments.between("weighted - null * information", score, -math.inf, math.inf)
    missing = boundary(information, horizon, alpha, last) - score
    if information >= horizon:
        return -math.log(alpha) if missing <= 0 else NOTHING
    return max(NOTHING, _log_hit(missing, horizon - information) - math.log(alpha))


def log_p(time: float, z: float, last: tuple[float, float] = (0.0, 0.0)) -> float:
    """The log of a p-value whose minimum over all looks up to the horizon is one: all alphas at once.

    Args:
        time: information over what is planned, above 0; above 1 for the one look that overran the horizon.
        z: score over its standard deviation.
        last: time and ``z * sqrt(time)`` of the last look before the horizon, for the look that overran it; the start
            where there was none.

    Returns:
        At most 0. It is at most ``log(alpha)`` exactly where the score reaches ``boundary`` for that alpha.

    Raises:
        ValueError: an argument out of range.

    Not valid:
        For a second look beyond the horizon.

    Source:
        As for ``boundary``: there is one alpha at which the present look just rejects.
    """
    arguments.between("time", time, 0.0, math.inf)
    arguments.between("z", z, -math.inf, math.inf)
    if time <= 1:
        return min(0.0, math.log(2) + float(log_ndtr(-z * math.sqrt(time))))
    then, path = last
    if not 0 <= then < 1:
        raise arguments.wrong("last", "a look before the horizon", last)
    beyond = (z * math.sqrt(time) - path) / math.sqrt(time - then)
    reached = path - math.sqrt(1 - then) * float(ndtri_exp(float(log_ndtr(-beyond)) - math.log(2)))
    return min(0.0, math.log(2) + float(log_ndtr(-reached)))


def conditional_power(information: float, score: float, horizon: float, effect: float, alpha: float) -> float:
    """The chance to reject by the horizon, given what is there now.

    Args:
        information: A now, at least 0 and below ``horizon``; 0.0, with score 0.0, gives the power of the plan.
        score: ``weighted - null * information`` now, not yet at the boundary.
        horizon: the largest A that is planned for.
        effect: assumed distance from the null, in the metric's unit; score/information is the present trend.
        alpha: one-sided, within (0, 1/2).

    Returns:
        A probability. Going on is called futile below ``group_sequential.FUTILE_POWER`` at the MDE.

    Raises:
        ValueError: an argument out of range.

    Source:
        First passage of Brownian motion with drift; Lan, Simon, Halperin (1982) for stopping by it.
    """
    arguments.at_least("information", information, 0.0)
    _check(math.inf if information >= horizon else 1.0, horizon, alpha)
    return _passage(_constant(horizon, alpha) - score, horizon - information, effect)


def expected_information(horizon: float, effect: float, alpha: float) -> float:
    """Mean information when the test ends, by rejecting or at the horizon.

    Args:
        horizon: the largest A that is planned for, above 0.
        effect: true distance from the null, in the metric's unit.
        alpha: one-sided, within (0, 1/2).

    Returns:
        The integral of the chance to be still undecided, in 1/effect^2.
    """
    _check(1.0, horizon, alpha)
    times = (horizon * (1 + NODES) / 2).tolist()
    undecided = [1 - _passage(_constant(horizon, alpha), time, effect) for time in times]
    return float(sum(w * chance for w, chance in zip(WEIGHTS.tolist(), undecided, strict=True)) * horizon / 2)


def _check(information: float, horizon: float, alpha: float) -> None:
    arguments.between("information", information, 0.0, math.inf)
    arguments.between("horizon", horizon, 0.0, math.inf)
    arguments.alpha(alpha)


def _constant(horizon: float, alpha: float) -> float:
    return float(-ndtri(alpha / 2) * math.sqrt(horizon))


def _log_hit(distance: float, time: float) -> float:
    """Log chance that a path without drift rises by ``distance`` within ``time``."""
    return min(0.0, math.log(2) + float(log_ndtr(-distance / math.sqrt(time))))


def _passage(distance: float, time: float, drift: float) -> float:
    """The chance that a path with drift rises by ``distance`` within ``time``."""
    if distance <= 0:
        return 1.0
    root = math.sqrt(time)
    reflected = 2 * drift * distance + float(log_ndtr((-distance - drift * time) / root))
    return float(ndtr((drift * time - distance) / root)) + math.exp(reflected)
