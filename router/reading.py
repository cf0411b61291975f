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
from stats import cuped, means, ordinal, proportions, ratios
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
    """One way to sum units up: names of the sums, a unit's part of them, the level of an arm, the effect of two.

    The first sum counts units. A part is made of a unit's value: fixed-point y, and n, what y is counted over; a third
    number where the reading says so. An effect is treatment minus ``factor`` times control; a ``lift``, to show, is their
    ratio less 1.
    """

    names: tuple[str, ...]
    part: Callable[..., tuple[int, ...]]
    level: Callable[[Sums], Level]
    effect: Callable[[Sums, Sums, float], Estimate]
    lift: Callable[[Sums, Sums], Estimate] | None = None


def _binary_part(y: int, n: int) -> tuple[int, ...]:
    return (1, 1 if y > 0 else 0)


def _binary_level(sums: Sums) -> Level:
    n, x = sums[:2]
    return Level(n, x / n if n else None, x)


def _binary_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return proportions.difference(control[0], control[1], treatment[0], treatment[1], factor)


def _binary_lift(control: Sums, treatment: Sums) -> Estimate:
    return proportions.lift(control[0], control[1], treatment[0], treatment[1])


def _mean_part(y: int, n: int) -> tuple[int, ...]:
    return (1, y, y * y)


def _mean_level(sums: Sums) -> Level:
    n, sx = sums[:2]
    return Level(n, sx / (n * FIXED_POINT) if n else None)


def _mean_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return means.difference(sample(*control), sample(*treatment), factor)


def _mean_lift(control: Sums, treatment: Sums) -> Estimate:
    return means.lift(sample(*control), sample(*treatment))


def _adjusted_part(y: int, n: int, x: int | None) -> tuple[int, ...]:
    return (1, y, y * y, 0, 0, 0, 0, 0, 0) if x is None else (1, y, y * y, 1, x, y, x * x, x * y, y * y)


def _adjusted_arm(sums: Sums) -> cuped.Arm:
    n, sy, syy, *present = sums
    with_x = Totals(*present)
    return cuped.Arm(with_x, (n - with_x.n, sy - with_x.sy, syy - with_x.syy))


def _adjusted_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return cuped.difference(_adjusted_arm(control), _adjusted_arm(treatment), factor)


def _adjusted_lift(control: Sums, treatment: Sums) -> Estimate:
    return cuped.lift(_adjusted_arm(control), _adjusted_arm(treatment))


def _ratio_part(y: int, n: int) -> tuple[int, ...]:
    return (1, n, y, n * n, n * y, y * y)


def _ratio_level(sums: Sums) -> Level:
    n, sx, sy = sums[:3]
    return Level(n, sy / (sx * FIXED_POINT) if sx else None)


def _ratio_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return ratios.difference(Totals(*control), Totals(*treatment), factor)


def _share_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return ratios.share_difference(Totals(*control), Totals(*treatment), factor)


def _ratio_lift(control: Sums, treatment: Sums) -> Estimate:
    return ratios.lift(Totals(*control), Totals(*treatment))


def _counts_level(sums: Sums) -> Level:
    n, sx, sy = sums[:3]
    return Level(n, sy / (sx * FIXED_POINT) if sx else None, sy // FIXED_POINT)


def _category_part(y: int, n: int) -> tuple[int, ...]:
    part = [0] * (MOST_CATEGORIES + 1)
    part[0] = part[y // FIXED_POINT] = 1
    return tuple(part)


def _category_level(sums: Sums) -> Level:
    return Level(sums[0], ordinal.scores(sums[1:]).mean if sums[0] else None)


def _category_effect(control: Sums, treatment: Sums, factor: float) -> Estimate:
    return ordinal.mean_score(control[1:], treatment[1:], factor)


def _age_part(y: int, n: int) -> tuple[int, ...]:
    part = [1] + [0] * (AGES + 1)
    if y > 0:
        part[1] = part[n + 2] = 1
    return tuple(part)


MOST_CATEGORIES = 10  # of a rating
AGES = 20  # equal parts of a window, in which first events are counted
RATIO_NAMES = ("n", "sx", "sy", "sxx", "sxy", "syy")
ADJUSTED_NAMES = ("n", "sy", "syy", "m", "mx", "my", "mxx", "mxy", "myy")

BINARY = Reading(("n", "x"), _binary_part, _binary_level, _binary_effect, _binary_lift)
MEAN = Reading(("n", "sx", "sxx"), _mean_part, _mean_level, _mean_effect, _mean_lift)
# A third number: the unit's covariate in fixed point, None without one. m counts the units that have it.
ADJUSTED_MEAN = Reading(ADJUSTED_NAMES, _adjusted_part, _mean_level, _adjusted_effect, _adjusted_lift)
RATIO = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _ratio_effect, _ratio_lift)
SHARE_OF_REPORTS = Reading(RATIO_NAMES, _ratio_part, _ratio_level, _share_effect, _ratio_lift)
COUNTS = Reading(RATIO_NAMES, _ratio_part, _counts_level, _ratio_effect, _ratio_lift)
CATEGORIES = Reading(
    ("n", *(f"c{score}" for score in range(1, MOST_CATEGORIES + 1))),
    _category_part,
    _category_level,
    _category_effect,
)
# n is the part of the window in which the first event came; it is read only where there was one.
FIRST_EVENTS = Reading(
    ("n", "x", *(f"a{age}" for age in range(AGES))), _age_part, _binary_level, _binary_effect
)


def harm_sign(metric: Mapping[str, Any]) -> int:
    """What an effect is multiplied by so that more is worse."""
    return 1 if metric["better"] == "lower" else -1


def information(
    reading: Reading, strata: Sequence[Stratum], metric: Mapping[str, Any], factor: float = 1.0
) -> Information:
    """A and B of ``treatment - factor * control``, added over the strata that are behind no gate.

    In the metric's unit; of a metric with relative differences in multiples of control's level.
    """
    return gather(_estimate(reading, stratum, metric, factor) for stratum in strata)


def _estimate(reading: Reading, stratum: Stratum, metric: Mapping[str, Any], factor: float) -> Estimate:
    estimate = reading.effect(stratum.control, stratum.treatment, factor)
    if metric.get("relative"):
        return estimate.over(reading.level(stratum.control).value or 0.0)
    return estimate


def point(reading: Reading, strata: Sequence[Stratum], metric: Mapping[str, Any]) -> float | None:
    """The estimate to show: B/A over all strata that vary, gated or not; where none does, the levels' difference."""
    estimates = [_estimate(reading, stratum, metric, 1.0) for stratum in strata]
    total = sum(estimate.information for estimate in estimates)
    if total:
        return sum(estimate.weighted for estimate in estimates) / total
    weight = weighted = 0.0
    for stratum, estimate in zip(strata, estimates, strict=True):
        control, treatment = reading.level(stratum.control), reading.level(stratum.treatment)
        effect = estimate.effect
        if (
            effect is None
            and control.value is not None
            and treatment.value is not None
            and not metric.get("relative")
        ):
            effect = treatment.value - control.value
        if effect is not None:
            units = control.n * treatment.n / (control.n + treatment.n)
            weight += units
            weighted += units * effect
    return weighted / weight if weight else None
