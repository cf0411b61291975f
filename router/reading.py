"""Readings: how a unit's value becomes whole-number sums, and what the sums of two arms say of their difference.

A reading names its sums and owns their update: a unit's part is added when its value appears and taken away when it
changes, so the sums are mergeable and exact. Evidence adds over strata before mixing; every stratum keeps its own
variance and its own gate. No test and no verdict here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from router.events import FIXED_POINT
from stats import means, proportions, ratios
from stats.estimates import Estimate
from stats.moments import sample
from stats.pairs import Totals
from stats.strata import Information, gather

Sums = Sequence[int]


class Stratum(NamedTuple):
    """The sums of both arms in one stratum, and the treatment's share of their units."""

    control: Sums
    treatment: Sums
    share: float

    @property
    def arms(self) -> tuple[Sums, Sums]:
        """By arm index."""
        return self.control, self.treatment


class Level(NamedTuple):
    """A metric in one arm: units with a value, the value, and events where they are counted."""

    n: int
    value: float | None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to sum units up: names of the sums, a unit's part of them, the level of an arm, the effect of two."""

    names: tuple[str, ...]
    part: Callable[[int, int], tuple[int, ...]]
    level: Callable[[Sums], Level]
    effect: Callable[[Sums, Sums], Estimate]


def _binary_part(y: int, n: int) -> tuple[int, ...]:
    return (1, 1 if y > 0 else 0)


def _binary_level(sums: Sums) -> Level:
    n, x = sums
    return Level(n, x / n if n else None, x)


def _binary_effect(control: Sums, treatment: Sums) -> Estimate:
    return proportions.difference(control[0], control[1], treatment[0], treatment[1])


def _mean_part(y: int, n: int) -> tuple[int, ...]:
    return (1, y, y * y)


def _mean_level(sums: Sums) -> Level:
    n, sx, _ = sums
    return Level(n, sx / (n * FIXED_POINT) if n else None)


def _mean_effect(control: Sums, treatment: Sums) -> Estimate:
    return means.difference(sample(*control), sample(*treatment))


def _ratio_part(y: int, n: int) -> tuple[int, ...]:
    return (1, n, y, n * n, n * y, y * y)


def _ratio_level(sums: Sums) -> Level:
    n, sx, sy = sums[:3]
    return Level(n, sy / (sx * FIXED_POINT) if sx else None)


def _ratio_effect(control: Sums, treatment: Sums) -> Estimate:
    return ratios.difference(Totals(*control), Totals(*treatment))


def _share_effect(control: Sums, treatment: Sums) -> Estimate:
    return ratios.share_difference(Totals(*control), Totals(*treatment))


RATIO_NAMES = ("n", "sx", "sy", "sxx", "sxy", "syy")
BINARY = Reading(("n", "x"), _binary_part, _binary_level, _binary_effect)
MEAN = Reading(("n", "sx", "sxx"), _mean_part, _mean_level, _mean_effect)
RATIO = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _ratio_effect)
SHARE_OF_REPORTS = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _share_effect)


def harm_sign(metric: Mapping[str, Any]) -> int:
    """What an effect is multiplied by so that more is worse."""
    return 1 if metric["better"] == "lower" else -1


def information(reading: Reading, strata: Sequence[Stratum], metric: dict[str, Any]) -> Information:
    """Evidence of harm (b's sign says more is worse), added over the strata that are behind no gate."""
    found = gather(reading.effect(stratum.control, stratum.treatment) for stratum in strata)
    return found._replace(b=found.b * harm_sign(metric))


def point(reading: Reading, strata: Sequence[Stratum]) -> float | None:
    """The estimate to show: B/A over all strata that vary, gated or not; where none does, the levels' difference."""
    estimates = [reading.effect(stratum.control, stratum.treatment) for stratum in strata]
    total = sum(estimate.information for estimate in estimates)
    if total:
        return sum(estimate.weighted for estimate in estimates) / total
    weight = weighted = 0.0
    for stratum in strata:
        control, treatment = reading.level(stratum.control), reading.level(stratum.treatment)
        if control.value is not None and treatment.value is not None:
            units = control.n * treatment.n / (control.n + treatment.n)
            weight += units
            weighted += units * (treatment.value - control.value)
    return weighted / weight if weight else None


class Moments:
    """The moments of a run, by stratum, arm and metric."""

    def __init__(self, values: Mapping[str, int], run: Mapping[str, Any]) -> None:
        self._values = values
        lanes = run["spec"]["lanes"]
        total = sum(lane["share"] for lane in lanes)
        self.share = next(lane["share"] for lane in lanes if lane["role"] == "treatment") / total
        self.strata = sorted({name.partition("|")[0] for name in values}) or [str(run["epoch"])]

    def value(self, stratum: str, arm: int, metric: str, reading: str, name: str = "n") -> int:
        """One sum; 0 where nothing was ever folded, since the fold writes no zeros."""
        return self._values.get(f"{stratum}|{arm}|{metric}|{reading}|{name}", 0)

    def count(self, arm: int, reading: str, metric: str = "") -> int:
        """Units of an arm over all strata."""
        return sum(self.value(stratum, arm, metric, reading) for stratum in self.strata)

    def sums(self, metric: str, reading: Reading, key: str) -> list[Stratum]:
        """Both arms' sums in each stratum where both have units."""
        strata = []
        for stratum in self.strata:
            control, treatment = (
                tuple(self.value(stratum, arm, metric, key, name) for name in reading.names) for arm in (0, 1)
            )
            if control[0] and treatment[0]:
                strata.append(Stratum(control, treatment, self.share))
        return strata

    def level_sums(self, metric: str, reading: Reading, key: str, arm: int) -> tuple[int, ...]:
        """One arm's sums over all strata, for display."""
        rows = [[self.value(s, arm, metric, key, name) for name in reading.names] for s in self.strata]
        return tuple(map(sum, zip(*rows, strict=True)))

    def reports(self, metric: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Of each stratum and arm: units whose window of the metric has closed, and those of them that reported."""
        rows = []
        for stratum in self.strata:
            pairs = []
            for arm in (0, 1):
                closed = self.value(stratum, arm, metric, "m") or self.value(stratum, arm, "", "c")
                pairs.append((closed, min(closed, self.value(stratum, arm, metric, "p"))))
            rows.append((pairs[0], pairs[1]))
        return rows

    def contradictions(self, names: Sequence[str]) -> list[str]:
        """Fewer units exposed than were analysed: some count is missing, and nothing built on it can be believed."""
        problems = []
        for label, arm in (("control", 0), ("treatment", 1)):
            exposed = self.count(arm, "u") + self.count(arm, "x")
            analysed = max(self.count(arm, key, name) for name in ("", *names) for key in ("c", "r"))
            if analysed > exposed:
                problems.append(
                    f"counts contradict each other: {exposed} {label} units exposed, {analysed} analysed"
                )
        return problems
