"""The prospect of one metric: the chances that its tests have spoken, by number of units, if a given effect is true.

Which test speaks for which kind is said by ``metric``; here is what to expect of them. Exact tests are walked through
exactly, tests of an estimate by the path of its score; tests of one metric that are walked through apart are taken to
exclude each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.claims import claim_of, grid_unit, mixture_of
from router.methods import BETA, OPEN_ENDED
from router.metric import CONTINUOUS_UNITS, KINDS
from router.reading import harm_sign
from stats import group_sequential, obrien_fleming, sprt
from stats.estimates import EXPECTED_EVENTS, MEAN_UNITS
from stats.planning import GridTest, course, drawn_in, grid_edge, unit_information
from stats.planning_rare import below_margin_course, forgiving_units, ratio_course
from stats.spending import DEFAULT_SPENDING

Floats = NDArray[np.float64]

LOOKS = 60
EVENT_LOOKS = 100
MOST_EVENTS = 40_000
NEARLY_NONE = 1e-12


class Baseline(NamedTuple):
    """What a metric is like today.

    Attributes:
        rate: share of units with the event, above 0 and below 1.
        sd: standard deviation of one unit's value, above 0, in the metric's unit; of a ratio R, of (y - R x)/mean x.
        level: average of one unit, above 0; of a rate, events of one unit.
        reported: share of units with a value.
    """

    rate: float | None = None
    sd: float | None = None
    level: float | None = None
    reported: float = 1.0


class Planned(NamedTuple):
    """The method of promotion, and of a horizon: treatment units at its end, its looks and how they share alpha."""

    method: str = OPEN_ENDED
    units: float = math.inf
    looks: int | None = None
    spending: tuple[str, float] = (DEFAULT_SPENDING, 0.0)


class Asked(NamedTuple):
    """What is asked of a metric: alpha of harm and of promotion, the treatment's share, whether to be superior, how."""

    harm: float
    promote: float
    share: float
    superior: bool
    planned: Planned = Planned()

    @property
    def test(self) -> str:
        """The test that a promotion asks for."""
        return "superiority" if self.superior else "non_inferiority"


class Prospect(NamedTuple):
    """Cumulative chances by units: harm is shown, what a promotion asks is shown, the goal is shown to be futile."""

    harm: Floats
    passed: Floats
    futile: Floats


class Arms(NamedTuple):
    """The truth of a metric: rates of both arms, where it has rates, and information of one treatment unit."""

    p0: float
    p1: float
    information: float


def tested_as(metric: Mapping[str, Any]) -> str:
    """``ratio``: counts, relatively; ``rare``: the exact tests; ``share`` and ``number``: an estimate, behind its gate."""
    kind = KINDS[metric["kind"]]
    if kind.exact(metric):
        return "ratio" if metric.get("relative") else "rare"
    return "share" if kind.name in ("proportion", "exceedance") else "number"


def is_share(metric: Mapping[str, Any]) -> bool:
    """Whether control's level is a share of units; else it is a number per unit."""
    return tested_as(metric) != "number" and metric["kind"] != "rate"


def arms(metric: Mapping[str, Any], baseline: Baseline, effect: float, share: float) -> Arms | None:
    """The truth when the treatment is worse by ``effect``; None when a rate is unknown or cannot move that far.

    Args:
        metric: as a run keeps it.
        baseline: of control.
        effect: harm, in the metric's unit, or as a share of control's level where it is tested so; negative is benefit.
        share: the treatment's share of the units of both arms.
    """
    if tested_as(metric) == "number":
        if baseline.sd is None:
            return None
        return Arms(0.0, 0.0, unit_information(baseline.sd**2, baseline.sd**2, share))
    p0 = baseline.rate if is_share(metric) else baseline.level
    if p0 is None:
        return None
    p1 = p0 + harm_sign(metric) * effect * (p0 if tested_as(metric) == "ratio" else 1.0)
    if p1 < -NEARLY_NONE or (is_share(metric) and p1 > 1 + NEARLY_NONE):
        return None
    p1 = max(p1, 0.0)
    if not is_share(metric):
        return Arms(p0, p1, 0.0)
    p1 = min(p1, 1.0)
    pooled = share * p1 + (1 - share) * p0
    variance = pooled * (1 - pooled)
    information = min(
        unit_information(p0 * (1 - p0), p1 * (1 - p1), share), unit_information(variance, variance, share)
    )
    return Arms(p0, p1, information)


def prospect(
    metric: dict[str, Any], baseline: Baseline, effect: float, asked: Asked, units: Floats
) -> Prospect | None:
    """The chances by ``units``, the treatment units so far; None when a rate cannot move that far."""
    truth = arms(metric, baseline, effect, asked.share)
    if truth is None:
        return None
    tested = tested_as(metric)
    if tested == "ratio":
        return _ratio(metric, truth, asked, units)
    if tested == "rare":
        return _rare(metric, truth, effect, asked, units)
    return _estimated(metric, truth, effect, asked, units)


# ---- by the path of an estimate's score ------------------------------------------------------------------------------


def gate(metric: Mapping[str, Any], truth: Arms, share: float) -> float:
    """Treatment units behind which a test of an estimate may speak."""
    smaller = min(1.0, (1 - share) / share)
    if tested_as(metric) == "number":
        return MEAN_UNITS / smaller
    pooled = share * truth.p1 + (1 - share) * truth.p0
    rarest = min(pooled, 1 - pooled)
    return EXPECTED_EVENTS / (smaller * rarest) if rarest > 0 else math.inf


def _estimated(metric: dict[str, Any], truth: Arms, effect: float, asked: Asked, units: Floats) -> Prospect:
    opens = gate(metric, truth, asked.share)
    nothing = np.zeros(len(units))
    if opens >= units[-1]:
        return Prospect(nothing, nothing, nothing)
    looks = _looks(asked.planned, opens, float(units[-1]))
    information = looks * truth.information
    harm = grid_edge(information, GridTest(metric["tolerance"], grid_unit(metric, "harm"), asked.harm))
    proof, ended = _proof(metric, asked, looks, information)
    exits = course(information, effect, harm, proof)
    passed, futile = exits.lower, np.zeros(len(looks))
    if ended is not None:
        goal = course(information, effect, ended, proof)
        passed, futile = goal.lower, goal.upper if asked.superior else futile

    def by_units(chances: Floats) -> Floats:
        return np.interp(units, looks, chances, left=0.0)

    if tested_as(metric) == "number":
        ready = looks * min(1.0, (1 - asked.share) / asked.share) >= CONTINUOUS_UNITS
        passed, futile = np.where(ready, passed, 0.0), np.where(ready, futile, 0.0)
    return Prospect(by_units(exits.upper), by_units(passed), by_units(futile))


def _looks(planned: Planned, opens: float, most: float) -> Floats:
    """Treatment units at some dozens of looks, closest together at the gate, the planned ones among them."""
    looks = opens + (most - opens) * np.linspace(0.0, 1.0, LOOKS) ** 2
    if math.isinf(planned.units):
        return looks
    parts = np.arange(1, (planned.looks or 1) + 1) / (planned.looks or 1)
    own = parts * planned.units
    return np.union1d(looks, own[(own > opens) & (own < most)])


def _proof(
    metric: dict[str, Any], asked: Asked, looks: Floats, information: Floats
) -> tuple[Floats, Floats | None]:
    """Scores of harm below which a promotion is proven, and above which its test has given up; None where it never does."""
    null = 0.0 if asked.superior else metric["margin"]
    unit, planned, reach = grid_unit(metric, asked.test), asked.planned, drawn_in(information)
    futile = None
    if asked.superior:
        futile = grid_edge(information, GridTest(-metric["mde"], metric["mde"], asked.promote))
    if planned.method == "sprt":
        edges = [sprt.boundary(a, unit, asked.promote, BETA) for a in information.tolist()]
        reject, accept = (np.array([getattr(row, end) for row in edges]) for end in ("reject", "accept"))
        return null * information - reject + reach, null * information - accept - reach
    if planned.method == OPEN_ENDED:
        return -grid_edge(information, GridTest(-null, unit, asked.promote)), futile
    over = looks > planned.units * (1 + NEARLY_NONE)
    if futile is not None:
        futile = np.where(over, math.inf, futile)
    horizon = float(planned.units * information[0] / looks[0])
    if planned.looks is None:
        score = obrien_fleming.boundary(horizon, horizon, asked.promote)
        return np.where(over, -math.inf, null * information - score + reach), futile
    times = tuple((np.arange(1, planned.looks + 1) / planned.looks).tolist())
    bounds = group_sequential.boundary(times, asked.promote, 1, *planned.spending)
    lower = np.full(len(looks), -math.inf)
    for time, z in zip(times, bounds, strict=True):
        at = np.isclose(looks, time * planned.units, rtol=1e-9)
        lower[at] = null * information[at] - z * np.sqrt(information[at])
    return lower, futile


# ---- by counts of events ---------------------------------------------------------------------------------------------


def _rare(metric: dict[str, Any], truth: Arms, effect: float, asked: Asked, units: Floats) -> Prospect:
    """Exact tests, which stay open-ended under every method; the grid is half of those against a margin."""
    half = asked._replace(promote=asked.promote / 2, planned=Planned())
    grid = _estimated(metric, truth, effect, half, units)
    harm = grid.harm
    if metric["tolerance"] == 0:
        harm = counted(metric, "harm", truth, asked.share, asked.harm, units)
    if asked.superior:
        passed = counted(metric, "superiority", truth, asked.share, asked.promote, units)
        return Prospect(harm, passed, grid.futile)
    return Prospect(harm, np.maximum(grid.passed, absence_shown(metric, truth, asked, units)), grid.futile)


def _ratio(metric: dict[str, Any], truth: Arms, asked: Asked, units: Floats) -> Prospect:
    """The exact conditional tests of a ratio of rates."""

    def shown(test: str, alpha: float) -> Floats:
        return counted(metric, test, truth, asked.share, alpha, units)

    futile = shown("futility", asked.promote) if asked.superior else np.zeros(len(units))
    return Prospect(shown("harm", asked.harm), shown(asked.test, asked.promote), futile)


def counted(
    metric: dict[str, Any], test: str, truth: Arms, share: float, alpha: float, units: Floats
) -> Floats:
    """The chance that the exact conditional test has shown its claim, by treatment units."""
    claim = claim_of(metric, test)
    ratios, weights = mixture_of(claim, test)
    null, part, rates = claim.factor, share, (truth.p0, truth.p1)
    if ratios[0] < null:  # the same from the other arm
        null, part, rates = 1 / null, 1 - share, (truth.p1, truth.p0)
        ratios = tuple(1 / ratio for ratio in ratios)
    per_unit = truth.p1 + truth.p0 * (1 - share) / share
    most = min(MOST_EVENTS, int(units[-1] * per_unit))
    if most < 1:
        return np.zeros(len(units))
    looks = np.unique(np.ceil(most * np.linspace(0.01, 1.0, EVENT_LOOKS) ** 2).astype(np.int64))
    ratio = rates[1] / max(rates[0], NEARLY_NONE)
    chances = ratio_course(looks, ratio, part, alpha, null, ratios, weights)
    return np.interp(units * per_unit, looks, chances, left=0.0)


def absence_shown(metric: Mapping[str, Any], truth: Arms, asked: Asked, units: Floats) -> Floats:
    """The zero-errors rule on the arm whose rate would have to be at least the margin.

    Half of e is the grid's, which counts as 1 behind its gate: the rule itself must reach 2/alpha - 1.
    """
    if metric["margin"] >= 1:
        return np.zeros(len(units))
    rate, scale = truth.p1, 1.0
    if metric["better"] == "higher":
        rate, scale = truth.p0, (1 - asked.share) / asked.share
    sizes = forgiving_units(metric["margin"], asked.promote / (2 - asked.promote), float(units[-1]) * scale)
    if not len(sizes):
        return np.zeros(len(units))
    shown = np.concatenate(([0.0], below_margin_course(sizes, rate)))
    return shown[np.searchsorted(sizes, units * scale, side="right")]
