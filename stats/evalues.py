"""Log e-values: the tests of this product, each valid at every look for ever.

One shape: numbers in, a natural-log e-value out; reject at ``log(1/alpha)``. Evidence over strata adds before mixing,
so that every stratum keeps its own variance and share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

GRID = (0.5, 1.0, 2.0, 4.0)
GRID_WEIGHTS = (0.2, 0.5, 0.2, 0.1)
HARM_RATIOS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
HARM_WEIGHTS = (0.05, 0.1, 0.2, 0.35, 0.2, 0.07, 0.03)
RARE_RATES = (0.0, 0.25, 0.5, 0.75)
RARE_WEIGHTS = (0.4, 0.2, 0.2, 0.2)
SRM_CONCENTRATION = 10_000.0


def log_sum_exp(terms: Iterable[float]) -> float:
    """``log(sum(exp(t)))`` without overflow; -inf for no terms.

    Args:
        terms: natural logs; -inf stands for 0.
    """
    values = list(terms)
    top = max(values, default=-math.inf)
    if not math.isfinite(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


def mde_grid(information: float, weighted: float, null: float, unit: float) -> float:
    """One-sided mixture over effects of a half, one, two and four units; the null is effect <= ``null``.

    Args:
        information: A, the sum over strata of 1/se^2; at least 0.
        weighted: B, the sum over strata of effect/se^2.
        null: the largest effect under the null, in the metric's unit.
        unit: the effect that the grid is centred on (MDE or margin), above 0.

    Returns:
        The log e-value; 0.0 without information.

    Raises:
        ValueError: unit is not above 0, or information is negative.

    Not valid:
        For samples below the gate of the estimate: the normal likelihood is then no approximation.

    Source:
        Wald (1945) likelihood ratios mixed over a grid; Robbins (1970), Statistical methods related to the law of the
        iterated logarithm, for the mixture.
    """
    if unit <= 0 or information < 0:
        raise ValueError(f"expected unit > 0 and information >= 0, found {unit} and {information}")
    if information == 0:
        return 0.0
    shift = weighted - null * information
    return log_sum_exp(
        math.log(weight) + k * unit * shift - information * (k * unit) ** 2 / 2
        for k, weight in zip(GRID, GRID_WEIGHTS, strict=True)
    )


def two_sided_normal(information: float, weighted: float, null: float, variance: float) -> float:
    """Two-sided normal mixture; the null is effect = ``null``.

    Args:
        information: A, the sum over strata of 1/se^2.
        weighted: B, the sum over strata of effect/se^2.
        null: the effect under the null.
        variance: of the mixing distribution, fixed before the start, above 0.

    Returns:
        The log e-value; 0.0 without information.

    Raises:
        ValueError: variance is not above 0, or information is negative.

    Not valid:
        For samples below the gate of the estimate.

    Source:
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, equation 14.
    """
    if variance <= 0 or information < 0:
        raise ValueError(f"expected variance > 0 and information >= 0, found {variance} and {information}")
    shift = weighted - null * information
    r = variance * information
    return -0.5 * math.log1p(r) + 0.5 * variance * shift * shift / (1 + r)


def rate_ratio(
    strata: Iterable[tuple[int, int, float]],
    ratios: Sequence[float] = HARM_RATIOS,
    weights: Sequence[float] = HARM_WEIGHTS,
    null: float = 1.0,
) -> float:
    """Exact conditional test of a ratio of rates: given an event, in which arm did it fall?

    Args:
        strata: (events of control, events of treatment, the treatment's share of both arms' units) of each stratum;
            the share strictly between 0 and 1.
        ratios: rate ratios of the mixture; all above ``null`` to show harm, all below to show its absence.
        weights: of the mixture, adding up to 1.
        null: the rate ratio under the null.

    Returns:
        The log e-value; 0.0 without events. Exact at any sample size, under any common change of the rate in time.

    Raises:
        ValueError: a share outside (0, 1) or negative counts.

    Not valid:
        For events that come in bursts from one unit: count units with at least one event.

    Source:
        Lindon, Malek (2022), Anytime-valid inference for multinomial count data, with a discrete mixture.
    """
    totals = [0.0] * len(ratios)
    for x0, x1, share in strata:
        if not 0 < share < 1 or x0 < 0 or x1 < 0:
            raise ValueError(f"expected counts >= 0 and a share within (0, 1), found {x0}, {x1}, {share}")
        q0 = null * share / (null * share + 1 - share)
        for i, ratio in enumerate(ratios):
            q = ratio * share / (ratio * share + 1 - share)
            totals[i] += x1 * math.log(q / q0) + x0 * math.log((1 - q) / (1 - q0))
    return log_sum_exp(math.log(weight) + total for weight, total in zip(weights, totals, strict=True))


def rare_below_margin(n: int, x: int, margin: float) -> float:
    """The zero-errors rule: the treatment's own rate is below ``margin``; the null is rate >= margin.

    Args:
        n: units of the treatment whose window has closed, each with a recorded value.
        x: of them with at least one event, 0 .. n.
        margin: an absolute rate within (0, 1).

    Returns:
        The log e-value. Exact: each term is a supermartingale for every rate of at least the margin. Since a rate of
        the control is never negative, a rate below the margin implies a difference below the margin.

    Raises:
        ValueError: counts or margin out of range.

    Source:
        Ville (1939); Wald (1945) likelihood ratios of a Bernoulli rate mixed over {0, 1/4, 1/2, 3/4} of the margin.
    """
    if not 0 < margin < 1 or not 0 <= x <= n:
        raise ValueError(f"expected 0 <= x <= n and a margin within (0, 1), found {x}, {n}, {margin}")
    terms = []
    for part, weight in zip(RARE_RATES, RARE_WEIGHTS, strict=True):
        if part == 0.0 and x > 0:
            continue  # 0^x = 0
        events = x * math.log(part) if x else 0.0
        terms.append(math.log(weight) + events + (n - x) * (math.log1p(-part * margin) - math.log1p(-margin)))
    return log_sum_exp(terms)


def average(log_e: Sequence[float]) -> float:
    """The log of the average of e-values, which is an e-value whatever their dependence.

    Args:
        log_e: at least one log e-value.

    Source:
        Vovk, Wang (2021), E-values: calibration, combination and applications.
    """
    return log_sum_exp(log_e) - math.log(len(log_e))


def srm(
    strata: Iterable[tuple[Sequence[int], Sequence[float]]], concentration: float = SRM_CONCENTRATION
) -> float:
    """Sample ratio mismatch: did units arrive in the proportions asked for?

    Args:
        strata: (units per arm, asked share per arm) of each stratum; shares add up to 1.
        concentration: of the Dirichlet prior around the asked shares.

    Returns:
        The log e-value against "each unit's arm is drawn by the asked shares"; it depends on totals only, so any
        batching of the same units gives the same value. Strata multiply.

    Raises:
        ValueError: negative counts, or shares that do not add up to 1.

    Source:
        Lindon, Malek (2022), Anytime-valid inference for multinomial count data (Dirichlet-multinomial mixture).
    """
    total = 0.0
    for counts, shares in strata:
        if abs(sum(shares) - 1) > 1e-9 or min(shares) <= 0 or min(counts) < 0:
            raise ValueError(f"expected counts >= 0 and shares that add up to 1, found {counts} and {shares}")
        n = sum(counts)
        total += math.lgamma(concentration) - math.lgamma(concentration + n)
        for count, share in zip(counts, shares, strict=True):
            alpha = concentration * share
            total += math.lgamma(alpha + count) - math.lgamma(alpha) - count * math.log(share)
    return total
