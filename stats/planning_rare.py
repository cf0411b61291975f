"""Before the start: what to expect of the exact tests of rare events.

Both walk over counts: the conditional test over the events of both arms, of which each falls into the treatment with
one chance; the zero-errors rule over the treatment's units, at just those sizes where one more event may be forgiven.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from stats import arguments, rare
from stats.counts import MORE
from stats.mixtures import edge

Floats = NDArray[np.float64]

MOST_FORGIVEN = 100  # events of the treatment that are followed; more count as "not shown"
ROUNDING = 1e-6  # of an edge that is a whole number
NEGLIGIBLE = 1e-13  # paths that fall this far behind are no longer followed


def ratio_course(
    events: Sequence[int] | NDArray[np.int64],
    true_ratio: float,
    share: float,
    alpha: float,
    null: float = 1.0,
    ratios: Sequence[float] = MORE.ratios,
    weights: Sequence[float] = MORE.weights,
) -> Floats:
    """The chance that the conditional test has shown a rate ratio above its null, by number of events.

    Args:
        events: events of both arms together at some looks, rising whole numbers above 0. Looks in between are left
            out, so that a few looks find a little less than many.
        true_ratio: rate of the treatment over that of the control, at least 0.
        share: the treatment's share of the units of both arms, within (0, 1).
        alpha: within (0, 1/2).
        null: rate ratio under the null, above 0.
        ratios: of the test's mixture, all above ``null``. For ratios below it exchange the arms: one minus the share,
            and the reciprocals of all ratios.
        weights: of the test's mixture, adding up to 1.

    Returns:
        Cumulative chances, one a look.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.at_least("true_ratio", true_ratio, 0.0)
    arguments.between("share", share, 0.0, 1.0)
    arguments.alpha(alpha)
    counts = np.asarray(events, np.int64)
    if len(counts) == 0 or counts[0] < 1 or bool(np.any(np.diff(counts) <= 0)):
        raise arguments.wrong("events", "rising whole numbers above 0", list(events))
    enough = _enough(counts, share, alpha, null, np.asarray(ratios), np.asarray(weights))
    chance = true_ratio * share / (true_ratio * share + 1 - share)
    inside, first, before, shown, result = np.ones(1), 0, 0, 0.0, np.empty(len(counts))
    for i, (now, least) in enumerate(zip(counts.tolist(), enough.tolist(), strict=True)):
        inside = np.convolve(inside, _binomial(now - before, chance))
        here = max(0, least - first)
        shown += float(inside[here:].sum())
        inside = inside[:here]
        behind = int(np.searchsorted(np.cumsum(inside), NEGLIGIBLE))
        inside, first, before, result[i] = inside[behind:], first + behind, now, shown
        if not len(inside):
            result[i:] = shown
            break
    return np.minimum(result, 1.0)


def _enough(
    counts: NDArray[np.int64], share: float, alpha: float, null: float, ratios: Floats, weights: Floats
) -> NDArray[np.int64]:
    """The least number of the treatment's events that rejects, by number of events; one more than all where none does."""
    falls = math.log1p((null - 1) * share) - np.log1p((ratios - 1) * share)
    exact = edge(np.log(weights) + counts[:, None] * falls, np.log(ratios / null), alpha)
    return np.clip(np.ceil(exact - ROUNDING), 0, counts + 1).astype(np.int64)


def forgiving_units(margin: float, alpha: float, most: float) -> NDArray[np.int64]:
    """Units of the treatment after which the zero-errors rule passes with 0, 1, 2, ... events.

    Args:
        margin: an absolute rate within (0, 1).
        alpha: within (0, 1/2).
        most: units that are looked at; larger ones are left out.

    Returns:
        Rising whole numbers, at most MOST_FORGIVEN; the first is what a perfect treatment needs.

    Raises:
        ValueError: an argument out of range.
    """
    arguments.between("margin", margin, 0.0, 1.0)
    arguments.alpha(alpha)
    found = np.arange(MOST_FORGIVEN)[:, None]
    rates = np.asarray(rare.PARTS)
    gains = np.log1p(-rates * margin) - math.log1p(-margin)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs = np.where(found > 0, found * (np.log(rates) - gains), 0.0)
    units = np.ceil(edge(np.log(rare.WEIGHTS) + costs, gains, alpha) - ROUNDING).astype(np.int64)
    return units[units <= most]


def below_margin_course(units: Sequence[int] | NDArray[np.int64], rate: float) -> Floats:
    """The chance that the zero-errors rule has passed, at each size where one more event may be forgiven.

    Args:
        units: as ``forgiving_units`` gives them. In between the rule cannot pass, so looks at every unit find no more.
        rate: the treatment's true rate, within [0, 1].

    Returns:
        Cumulative chances, one for each size; exact.

    Raises:
        ValueError: rate out of range.
    """
    arguments.at_least("rate", rate, 0.0)
    arguments.at_least("1 - rate", 1 - rate, 0.0)
    inside, before, shown, result = np.ones(1), 0, 0.0, np.empty(len(units))
    for forgiven, now in enumerate(np.asarray(units).tolist()):
        inside = np.convolve(inside, _binomial(now - before, rate, len(units)))[: len(units)]
        shown += float(inside[: forgiven + 1].sum())
        inside[: forgiven + 1] = 0.0
        before, result[forgiven] = now, shown
        if inside.sum() < NEGLIGIBLE:
            result[forgiven:] = shown
            break
    return np.minimum(result, 1.0)


def _binomial(n: int, p: float, most: int | None = None) -> Floats:
    """Chances of 0 .. n successes, or of the first ``most`` of these numbers."""
    k = np.arange(n + 1 if most is None else min(n + 1, most))
    log = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    return np.asarray(np.exp(log))
