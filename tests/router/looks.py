"""Runs, moments and looks at them for tests of the evidence."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

from router.events import FIXED_POINT as F
from router.evidence import Evidence, Health, weigh

NOW = 1_700_000_000_000
HARM_OF_THREE = math.log(3 / 0.01)
PROMOTE = math.log(1 / 0.05)


def metric(name: str, role: str, kind: str, margin: float, **changes: Any) -> dict[str, Any]:
    terms = {"better": "lower", "mde": margin, "margin": margin, "tolerance": 0.0}
    return {"name": name, "role": role, "kind": kind, "absent": "zero", "builtin": True, **terms} | changes


CORRECTED = metric("corrected", "goal", "proportion", 0.02, absent="missing", builtin=False)
ERRORS = metric("errors", "guardrail", "rare_proportion", 0.01)
SLOW = metric("slow", "guardrail", "rare_proportion", 0.05, tolerance=0.05)


def run_of(
    kind: str = "canary", metrics: tuple[dict[str, Any], ...] = (CORRECTED, ERRORS, SLOW)
) -> dict[str, Any]:
    lanes = [
        {"arm": "v2", "role": "treatment", "share": 250_000},
        {"arm": "v1", "role": "control", "share": 750_000},
    ]
    alpha = {"promote": 0.05, "harm": 0.01}
    spec = {"kind": kind, "alpha": alpha, "lanes": lanes, "metrics": copy.deepcopy(list(metrics))}
    return {"spec": spec, "epoch": 1, "control": "v1", "treatment": "v2", "maxima": {}, "srm": 0.0}


def units(n: tuple[int, int], stratum: str = "1") -> dict[str, int]:
    return {f"{stratum}|{arm}||{key}|n": n[arm] for arm in (0, 1) for key in ("u", "c")}


def events(
    name: str, n: tuple[int, int], x: tuple[int, int], keys: str = "rc", stratum: str = "1"
) -> dict[str, int]:
    """Units with at least one event."""
    rows: dict[str, int] = {}
    for arm in (0, 1):
        for key in keys:
            rows |= {f"{stratum}|{arm}|{name}|{key}|n": n[arm], f"{stratum}|{arm}|{name}|{key}|x": x[arm]}
    return rows


def feedback(name: str, n: tuple[int, int], x: tuple[int, int], stratum: str = "1") -> dict[str, int]:
    """One report a unit, running and closed."""
    rows = events(name, n, x, "c", stratum)
    for arm in (0, 1):
        start = f"{stratum}|{arm}|{name}"
        sums = {
            "n": n[arm],
            "sx": n[arm],
            "sy": x[arm] * F,
            "sxx": n[arm],
            "sxy": x[arm] * F,
            "syy": x[arm] * F * F,
        }
        rows |= {f"{start}|r|{key}": value for key, value in sums.items()} | {f"{start}|p|n": n[arm]}
    return rows


def moments(
    n: tuple[int, int] = (3000, 1000),
    corrected: tuple[float, float] = (0.43, 0.03),
    errors: tuple[int, int] = (0, 0),
    slow: tuple[int, int] = (0, 0),
    reporting: tuple[float, float] = (0.8, 0.8),
    stratum: str = "1",
) -> dict[str, int]:
    """A good canary unless said otherwise."""
    given_by = (round(n[0] * reporting[0]), round(n[1] * reporting[1]))
    wrong = (round(given_by[0] * corrected[0]), round(given_by[1] * corrected[1]))
    return {
        **units(n, stratum),
        **feedback("corrected", given_by, wrong, stratum),
        **events("errors", n, (min(errors[0], n[0]), min(errors[1], n[1])), stratum=stratum),
        **events("slow", n, (min(slow[0], n[0]), min(slow[1], n[1])), stratum=stratum),
    }


def look(run: dict[str, Any], values: dict[str, int], health: Health | None = None) -> Evidence:
    return weigh(run, values, health or Health(), NOW)


def after(run: dict[str, Any], evidence: Evidence) -> dict[str, Any]:
    return run | {"maxima": evidence.maxima, "srm": evidence.srm}


def state(evidence: Evidence, name: str) -> str:
    return str(evidence.document["metrics"][name]["state"])


def without(values: dict[str, int], group: str) -> dict[str, int]:
    """All moments of one (arm, metric, reading) are gone."""
    return {key: value for key, value in values.items() if "|".join(key.split("|")[:4]) != group}


def unknown(field: str) -> Health:
    gone: dict[str, Any] = {field: None}
    return dataclasses.replace(Health(), **gone)
