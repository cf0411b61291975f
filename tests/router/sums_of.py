"""Sums of two arms for tests of kinds and claims, the treatment with a quarter of the units."""

from __future__ import annotations

from typing import Any

from router.events import FIXED_POINT as F
from router.metric import KINDS
from router.reading import Stratum

SHARE = 0.25


def metric(kind: str = "proportion", **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "better": "lower", "mde": 0.02, "margin": 0.02, "tolerance": 0.0} | changes


def binary(x0: int, n0: int, x1: int, n1: int) -> list[Stratum]:
    return [Stratum((n0, x0), (n1, x1), SHARE)]


def reports(x0: int, n0: int, x1: int, n1: int) -> list[Stratum]:
    """One report a unit."""
    control, treatment = ((n, n, x * F, n, x * F, x * F * F) for n, x in ((n0, x0), (n1, x1)))
    return [Stratum(control, treatment, SHARE)]


def values(n0: int, mean0: float, n1: int, mean1: float, spread: float = 1.0) -> list[Stratum]:
    """Half of the units `spread` below the mean and half above."""
    sums = []
    for n, mean in ((n0, mean0), (n1, mean1)):
        low, high = round((mean - spread) * F), round((mean + spread) * F)
        sums.append((n, n // 2 * (low + high), n // 2 * (low * low + high * high)))
    return [Stratum(sums[0], sums[1], SHARE)]


def harm(kind: str, strata: list[Stratum], **changes: Any) -> float:
    return KINDS[kind].harm(KINDS[kind].running, strata, metric(kind, **changes))


def promoting(kind: str, strata: list[Stratum], **changes: Any) -> dict[str, float]:
    return KINDS[kind].promoting(strata, metric(kind, **changes))
