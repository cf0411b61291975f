"""Published values of horizon-bounded tests, many claims and plans: each agrees, or is named with the reason why not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from stats import many, obrien_fleming, planning, sprt
from stats.brownian import crossing, expected_time
from stats.group_sequential import boundary, conditional_power

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "cases" / "stats.json").read_text())["cases"]
}
MINE = (
    "jt",
    "rpact",
    "gsd",
    "sas",
    "spotify-bounds",
    "spotify-adjusted",
    "seq-cv",
    "yeast",
    "ss-",
    "wald",
    "power-one",
    "safestats",
    "ebh",
    "p2e",
)
SPENDING = {
    "OF": ("obrien_fleming", 0.0),
    "Pocock": ("pocock", 0.0),
    "HSD0": ("hwang_shih_decani", 0.0),
    "HSD-1": ("hwang_shih_decani", -1.0),
}
Inputs = dict[str, Any]


def equal_looks(inputs: Inputs) -> np.ndarray:
    return np.linspace(0, 1, int(inputs["K"]) + 1)[1:]


def leaves(times: np.ndarray, z: Any, drift: float = 0.0, sides: int = 1) -> Any:
    """Exits of a test that rejects at these values of z."""
    edges = np.broadcast_to(np.asarray(z, float), times.shape) * np.sqrt(times)
    return crossing(times.tolist(), edges, -edges if sides == 2 else None, drift)


def constant(inputs: Inputs, power: float) -> np.ndarray:
    """The classical two-sided boundary c * t^-power that spends all of alpha: Pocock's at 0, O'Brien-Fleming's at 1/2."""
    times = equal_looks(inputs)

    def missed(c: float) -> float:
        exits = leaves(times, c * times**-power, 0.0, 2)
        return float(exits.upper.sum() + exits.lower.sum()) - float(inputs.get("alpha", 0.05))

    return float(brentq(missed, 1.5, 4.0, xtol=1e-12)) * times**-power


def sample_sizes(inputs: Inputs, power: float) -> list[float]:
    """Largest sample and mean samples at 0, 1/2, 1, 3/2 of the effect, in percent of a fixed sample's."""
    times, z = equal_looks(inputs), constant(inputs, power)
    fixed = ndtri(1 - inputs["alpha"] / 2) + ndtri(inputs["power"])

    def missed(drift: float) -> float:
        return float(leaves(times, z, drift, 2).upper.sum()) - float(inputs["power"])

    drift = float(brentq(missed, 1.0, 6.0, xtol=1e-12))
    largest = 100 * (drift / fixed) ** 2
    means = [
        largest * expected_time(times.tolist(), leaves(times, z, part * drift, 2))
        for part in (0, 0.5, 1, 1.5)
    ]
    return [largest, *means]


def delta_scale(inputs: Inputs) -> list[float]:
    """Boundaries as effects: a plan that has its power at ``delta1``."""
    times = np.array([0.5, 1.0])
    z = np.array(boundary(times.tolist(), 0.025))
    drift = float(
        brentq(lambda d: leaves(times, z, d).upper.sum() - 1 + inputs["beta"], 1.0, 6.0, xtol=1e-13)
    )
    return [float(value) for value in z / np.sqrt(times) * inputs["delta1"] / drift]


def increments_spent(inputs: Inputs) -> list[float]:
    return [float(value) for value in leaves(np.array(inputs["t"]), inputs["z"]).upper]


def naive(inputs: Inputs) -> float:
    return float(leaves(equal_looks(inputs), -ndtri(0.025)).upper.sum())


def spent_by_recursion(inputs: Inputs) -> list[float]:
    times = inputs["information_rates"]
    return list(boundary(times, inputs["alpha"], inputs["sides"], *SPENDING[inputs["spending"]]))


def overrun(inputs: Inputs) -> list[float]:
    """The plan re-scaled to the count reached, as the source does it."""
    times = np.array(inputs["cum_counts"]) / inputs["cum_counts"][-1]
    z = np.array(boundary(times.tolist(), inputs["alpha"], 2, "power", 2.0))
    return [float(value) for value in 2 * ndtr(-z)]


def sample_size(inputs: Inputs) -> float:
    variance = inputs["sd"] ** 2
    return planning.fixed_units(inputs["mde"], variance, variance, inputs["alpha"] / 2, inputs["power"])[1]


def sample_size_of_proportions(inputs: Inputs) -> float:
    p0, p1 = inputs["p0"], inputs["p1"]
    return sum(planning.fixed_units(p1 - p0, p0 * (1 - p0), p1 * (1 - p1), 0.025, 0.85))


def unequal_arms(inputs: Inputs) -> float:
    information = planning.unit_information(1.6**2, 1.25**2, 2 / 3) * 200 * 2 / 3
    return planning.fixed_power(information, 0.8, 0.025)


def present_trend(inputs: Inputs) -> float:
    t, z = inputs["timing"], inputs["z1"]
    last = boundary([t, 1.0], 0.025, 1, "hwang_shih_decani", -4.0)[1]
    return conditional_power(z, t, z / math.sqrt(t), last)


def fixed() -> float:
    return planning.fixed_information(1.0, 0.025, 0.8)


PRESENT: dict[str, Callable[[Inputs], Any]] = {
    **{f"jt-pocock-{k}": lambda i: float(constant(i, 0.0)[-1]) for k in range(1, 11)},
    **{f"jt-of-{k}": lambda i: float(constant(i, 0.5)[-1]) for k in range(1, 11)},
    "rpact-hsd0": spent_by_recursion,
    "rpact-hsd-1": spent_by_recursion,
    "rpact-asP-partial": spent_by_recursion,
    "rpact-asOF-.13": spent_by_recursion,
    "rpact-asOF-.09-2s": spent_by_recursion,
    "rpact-asOF-.05": lambda i: spent_by_recursion(i)[0],
    "rpact-asP-.05": spent_by_recursion,
    "rpact-of-classic": lambda i: float(constant({**i, "alpha": 2 * i["alpha"]}, 0.5)[-1]),
    "rpact-of-alpha-spent": increments_spent,
    "rpact-hp": lambda i: float(leaves(np.array([0.25, 0.5, 0.75, 1.0]), i["z"]).upper.sum()),
    **{f"gsd-naive-{k}": naive for k in (2, 4, 10, 20)},
    "gsd-of4": lambda i: constant(i, 0.5).tolist(),
    "gsd-of5": lambda i: sample_sizes(i, 0.5)[:2],
    "gsd-of20": lambda i: sample_sizes(i, 0.5)[:2],
    "gsd-poc4": lambda i: sample_sizes(i, 0.0),
    "gsd-poc15": lambda i: sample_sizes(i, 0.0),
    "gsd-hsd-4": lambda i: list(boundary(equal_looks(i).tolist(), 0.025, 1, "hwang_shih_decani", -4.0)),
    "gsd-nNormal": unequal_arms,
    "gsd-condpower": present_trend,
    "gsd-gsdelta": delta_scale,
    "sas-pocock4": lambda i: [sample_sizes(i, 0.0)[k] for k in (0, 1, 3)],
    "spotify-bounds": lambda i: list(boundary(i["t"], i["alpha"], i["sides"], "power", 2.0)),
    "spotify-adjusted-alpha": overrun,
    "yeast-z1": lambda i: obrien_fleming.boundary(1.0, 1.0, 0.025),
    "yeast-power": lambda i: obrien_fleming.conditional_power(0.0, 0.0, 1.0, i["theta"], 0.025),
    **{name: sample_size for name in CASES if name.startswith("ss-booking")},
    "ss-gpower-binom": sample_size_of_proportions,
    "ss-gpower-cont": lambda i: 2 * sample_size(i),
    "wald-h1": lambda i: sprt.course(1.0, 1.0, 0.025, 0.2).information / fixed(),
    "wald-h0": lambda i: sprt.course(0.0, 1.0, 0.025, 0.2).information / fixed(),
    "power-one": lambda i: 2 * math.log(1 / 0.025) / fixed(),
    "ebh-1": lambda i: many.e_bh(i["log_e"], i["alpha"]),
}

ABSENT = {
    "seq-cv": "MaxSPRT: the exact mixture over rate ratios takes its place, without a largest number of events",
    "safestats": "plans of another e-variable: plans here are those of the tests that are here",
    "p2e": "no p-value comes in: every test gives an e-value itself",
}


def reason(name: str) -> str | None:
    fits = [beginning for beginning in ABSENT if name.startswith(beginning)]
    return ABSENT[max(fits, key=len)] if fits else None


@pytest.mark.parametrize("name", sorted(PRESENT))
def test_our_value_is_the_published_one(name: str) -> None:
    case = CASES[name]
    found, expected = PRESENT[name](case["inputs"]), case["expected"]
    assert found == pytest.approx(expected, rel=0, abs=case["tolerance"])


def test_every_case_is_tested_or_named_with_a_reason() -> None:
    here = [name for name in CASES if name.startswith(MINE)]
    assert [name for name in here if name not in PRESENT and reason(name) is None] == []
    assert set(PRESENT) <= set(here)
    assert [start for start in ABSENT if not any(name.startswith(start) for name in here)] == []
