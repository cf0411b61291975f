"""Sample ratio mismatch: did units arrive in the proportions asked for?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from stats import arguments

CONCENTRATION = 10_000.0  # units that the prior around the asked shares is worth


def log_evalue(
    strata: Iterable[tuple[Sequence[int], Sequence[float]]], concentration: float = CONCENTRATION
) -> float:
    """Evidence that the arms of units are not drawn by the asked shares.

    Args:
        strata: (units per arm, asked share per arm) of each stratum, for any number of arms; shares add up to 1.
        concentration: of the Dirichlet prior around the asked shares, above 0: 10,000 looks for a mismatch of one
            percent, 100 for one of ten.

    Returns:
        The log e-value; it depends on totals only, so any batching of the same units gives the same value. Strata
        multiply, so shares may change from one to the next.

    Raises:
        ValueError: negative counts, no strict shares that add up to 1, or not one share per count.

    Not valid:
        For arms that are not drawn unit by unit: count units once, at their first exposure.

    Source:
        Lindon, Malek (2022), Anytime-valid inference for multinomial count data (Dirichlet-multinomial mixture).
    """
    arguments.between("concentration", concentration, 0.0, math.inf)
    total = 0.0
    for counts, shares in strata:
        if len(counts) != len(shares):
            raise arguments.wrong("counts", f"one count per share ({len(shares)})", counts)
        if abs(sum(shares) - 1) > 1e-9:
            raise arguments.wrong("shares", "shares that add up to 1", shares)
        n = 0
        for count, share in zip(counts, shares, strict=True):
            arguments.count("counts", count)
            arguments.between("shares", share, 0.0, 1.0)
            n += count
            prior = concentration * share
            total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
        total += math.lgamma(concentration) - math.lgamma(concentration + n)
    return total
