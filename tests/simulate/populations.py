"""The worlds of the kinds of metric: one table, of all that a file may say of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulate.outcomes import (
    CAP,
    adjusted,
    by_arm,
    capped,
    edits,
    exceeding,
    first_events,
    lognormal,
    moving_rates,
    rates,
    ratings,
    ratios,
    sampled_means,
    sampled_shares,
    shares,
    stratified_means,
    stratified_shares,
    without_covariate,
)
from tests.simulate.units import STRATUM, Draw


@dataclass(frozen=True, slots=True)
class Population:
    """One world for one kind.

    Attributes:
        name: of the world.
        keys: of its metric in the file, beside name, direction and differences.
        draw: what units come to, by how much worse the treatment is.
        margin: by how much it is worse where it is, in the metric's unit, or as a share of control's level.
        unit: of the margin in the file.
        file: further lines of the file.
        strata: names of the strata.
        better: the metric's direction.
        frozen: whether its limit is frozen from the run's first units.
    """

    name: str
    keys: str
    draw: Callable[[float], Draw]
    margin: float
    unit: str
    file: str = ""
    strata: tuple[str, ...] = STRATUM
    better: str = "lower"
    frozen: bool = False


ROLLED = ("1/de", "1/other", "1.1/de", "1.1/other")
SEGMENTS = "segments: {from: header:x-country, values: [de]}\n"
COVARIATE = "covariate: header:x-before\n"
POPULATIONS = [
    Population(
        "proportion, relative margin", "kind: proportion", by_arm(shares(0.2, relative=True)), 0.2, "%"
    ),
    Population(
        "rare_proportion, relative margin",
        "kind: rare_proportion",
        by_arm(shares(0.02, relative=True)),
        0.9,
        "%",
    ),
    Population("mean, relative margin", "kind: mean", by_arm(lognormal), 0.15, "%"),
    Population("mean, covariate missing in a fifth", "kind: mean", by_arm(adjusted), 0.08, "", COVARIATE),
    Population(
        "winsorised_mean", f"kind: winsorised_mean, cap: {CAP:g}", by_arm(without_covariate), 0.15, ""
    ),
    Population(
        "winsorised_mean, covariate",
        f"kind: winsorised_mean, cap: {CAP:g}",
        by_arm(capped),
        0.12,
        "",
        COVARIATE,
    ),
    Population("ratio", "kind: ratio", by_arm(ratios), 0.08, ""),
    Population("edit_rate", "kind: edit_rate", by_arm(edits), 0.015, "pp"),
    Population("rate, relative margin", "kind: rate", by_arm(rates(relative=True)), 0.25, "%"),
    Population("rate, absolute margin", "kind: rate", by_arm(rates(relative=False)), 0.02, ""),
    Population("rate that falls, bursts of heavy units", "kind: rate", by_arm(moving_rates), 0.5, "%"),
    Population("rating", "kind: rating, scale: 5", by_arm(ratings), 0.12, "", better="higher"),
    Population(
        "exceedance, frozen median",
        "kind: exceedance, quantile: 50%",
        exceeding(0.5, relative=False),
        0.05,
        "pp",
        frozen=True,
    ),
    Population(
        "exceedance, frozen 90th percentile",
        "kind: exceedance, quantile: 90%",
        exceeding(0.9, relative=False),
        0.03,
        "pp",
        frozen=True,
    ),
    Population(
        "exceedance, the same, relative margin",
        "kind: exceedance, quantile: 90%",
        exceeding(0.9, relative=True),
        0.3,
        "%",
        frozen=True,
    ),
    Population(
        "exceedance, fixed limit",
        "kind: exceedance, over: 5",
        by_arm(shares(0.03, relative=False)),
        0.02,
        "pp",
    ),
    Population(
        "time_to_event, converters", "kind: time_to_event", by_arm(first_events(hazard=False)), 0.25, "%"
    ),
    Population(
        "time_to_event, log_rank",
        "kind: time_to_event, test: log_rank",
        by_arm(first_events(hazard=True)),
        0.25,
        "%",
    ),
    Population(
        "proportion, sampled labels", "kind: proportion, sampled: true", by_arm(sampled_shares), 0.05, "pp"
    ),
    Population("mean, sampled labels", "kind: mean, sampled: true", by_arm(sampled_means), 0.2, ""),
    Population(
        "proportion, segments and a roll",
        "kind: proportion",
        by_arm(stratified_shares((0.2, 0.5), relative=False)),
        0.05,
        "pp",
        SEGMENTS,
        ROLLED,
    ),
    Population(
        "rare_proportion, segments and a roll",
        "kind: rare_proportion",
        by_arm(stratified_shares((0.01, 0.04), relative=True)),
        0.8,
        "%",
        SEGMENTS,
        ROLLED,
    ),
    Population(
        "mean, segments and a roll", "kind: mean", by_arm(stratified_means), 0.15, "", SEGMENTS, ROLLED
    ),
]
