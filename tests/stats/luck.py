"""How many false claims a test that keeps its promise may show before a simulation calls it broken."""

from __future__ import annotations

from scipy.special import bdtr

LUCK = 1e-7


def most_allowed(runs: int, alpha: float) -> int:
    """The least k with P(Binomial(runs, alpha) > k) < LUCK: the false-alarm chance of a simulation with this bound."""
    return next(k for k in range(runs + 1) if 1 - bdtr(k, runs, alpha) < LUCK)
