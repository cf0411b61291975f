"""Moments of a run with a goal ``corrected`` and a guardrail ``errors``, from plain counts of (control, treatment)."""

from __future__ import annotations

from router.events import FIXED_POINT
from router.health import Health
from router.metric import KINDS

HEALTHY = Health(sent=(1000, 1000))


def moments_of(counts: dict[str, tuple[int, int]], epoch: int = 1) -> dict[str, int]:
    """One report per unit: ``n`` units per arm, of which so many were corrected, so many had an error."""
    moments: dict[str, int] = {}
    for arm in (0, 1):
        n = counts["n"][arm]
        for key in ("u", "c"):
            moments[f"{epoch}|{arm}||{key}|n"] = n
        moments[f"{epoch}|{arm}|corrected|p|n"] = n
        for name, kind in (("corrected", "proportion"), ("errors", "rare_proportion")):
            events = counts[name][arm]
            for key, reading in (("r", KINDS[kind].running), ("c", KINDS[kind].closed)):
                hit = reading.part(FIXED_POINT, 1)
                miss = reading.part(0, 1)
                for i, sum_name in enumerate(reading.names):
                    total = hit[i] * events + miss[i] * (n - events)
                    moments[f"{epoch}|{arm}|{name}|{key}|{sum_name}"] = total
    return moments
