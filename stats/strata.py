"""Evidence adds over strata, estimates do not pool.

Epochs, declared rolls of an arm's identity and segments are strata. Each keeps its own variance, share and gate; what
they say is added before it is mixed. Pooling the estimates instead is no e-process when variances differ between
strata: at .025 it errs in .033 of runs for variances 1, 4, 16, in .064 for 1 .. 1000, the sum in .015 to .018.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stats.estimates import Estimate


class Information(NamedTuple):
    """All that closed strata leave behind for a test of an estimate, and that a test needs of open ones.

    Attributes:
        a: the sum over strata of 1/se^2.
        b: the sum over strata of effect/se^2.
        missing: what the first silent stratum waits for, in words; empty when any stratum speaks.
    """

    a: float
    b: float
    missing: str

    @property
    def open(self) -> bool:
        """Whether any stratum may speak."""
        return self.a > 0

    @property
    def effect(self) -> float | None:
        """The estimate to show, B/A, which always lies inside the interval; None while all are silent."""
        return self.b / self.a if self.a > 0 else None


NOTHING = Information(0.0, 0.0, "units in both arms")


def gather(estimates: Iterable[Estimate], closed: Information = NOTHING) -> Information:
    """Add what the open estimates say.

    Args:
        estimates: one per open stratum, all with the same factor and unit; gated ones are left out.
        closed: of strata that are closed for ever.

    Source:
        Wald (1945): the log-likelihood ratio of independent samples is the sum of theirs, and for the normal likelihood
        of one effect it depends on A and B alone.
    """
    a, b, missing = closed.a, closed.b, ""
    for estimate in estimates:
        if estimate.open:
            a += estimate.information
            b += estimate.weighted
        else:
            missing = missing or estimate.missing
    return Information(a, b, "" if a > 0 else missing or closed.missing)
