"""Read-outs: what is shown beside a metric for those who know statistics. No verdict reads them, and no decision.

Beliefs, bounds of what silent units may hide, quantiles, strata one by one, the same claim by other tests. What is not
known is left out; a number behind a gate is too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router import claims
from router.events import FIXED_POINT
from router.metric import Kind, Metric
from router.moments import Moments
from router.outcome import DEFAULT_SCALE
from router.reading import BINARY, CATEGORIES, MEAN, Reading, Stratum, harm_sign, information
from stats import (
    beta,
    counts,
    half_normal,
    half_student,
    histogram,
    many,
    means,
    missing,
    normal,
    readout,
    student,
)
from stats.estimates import Estimate
from stats.moments import sample
from stats.strata import Information, gather

QUANTILES = (0.5, 0.9, 0.99)
DISCOVERY_RATE = 0.05  # the expected share of false ones among the differences that are named
PRIOR_UNITS = 100.0  # what the prior of a t test is worth: effects of a tenth of a deviation
SIDES = ("control", "treatment")


def beside(metric: Metric, kind: Kind, closed: Sequence[Stratum], moments: Moments) -> dict[str, Any]:
    """All read-outs of one metric, of units whose window has closed.

    Args:
        metric: as a run keeps it.
        kind: its row.
        closed: its sums by stratum; empty while they have no value.
        moments: of the run.
    """
    reading = kind.reading(metric, "c")
    shown: dict[str, Any] = kind.beside(closed, metric) if kind.beside and closed else {}
    if kind.quantiles:
        shown["quantiles"] = _quantiles(metric["name"], moments)
    if not closed:
        return shown
    shown["strata"] = _strata(metric, kind, closed, moments)
    if metric["absent"] == "missing" and reading in (BINARY, CATEGORIES):
        shown |= _bounds(metric, reading, moments)
    if metric.get("sampled"):
        shown["labelled"] = _labelled(metric, reading, moments)
    if reading is MEAN and len(closed) == 1:
        shown |= _small(metric, closed[0])
    if kind.exact(metric) and len(closed) == 1:
        shown["rate_ratio"] = _rate_ratio(claims.events(reading, closed))
    if reading.lift is not None and not metric.get("relative"):
        shown["lift"] = _lift(reading.lift(*stratum.arms) for stratum in closed)
    found = information(reading, closed, metric)
    if found.effect is not None:
        shown["belief"] = _belief(metric, found.effect, found.a**-0.5)
        shown["by_other_tests"] = _other_tests(metric, found)
    return shown


def _rate_ratio(rows: Sequence[counts.Stratum]) -> list[float | None] | None:
    """Rate ratios that the two-sided exact test does not reject."""
    if not rows or not sum(rows[0][:2]):
        return None
    return list(beta.interval(*rows[0], DISCOVERY_RATE))


def _lift(lifts: Iterable[Estimate]) -> dict[str, Any]:
    """The effect as a share of control's level, over the strata that are behind no gate."""
    found = gather(lifts)
    interval = (
        normal.interval(found.a, found.b, readout.PRIOR_LIFT**2, DISCOVERY_RATE) if found.open else None
    )
    return {"estimate": found.effect, "interval": None if interval is None else list(interval)}


def _other_tests(metric: Metric, found: Information) -> dict[str, Any]:
    """Superiority by the half-normal mixture, a difference by the two-sided one, and the intervals that invert them."""
    variance, sign = metric["mde"] ** 2, -harm_sign(metric)
    return {
        "half_normal": {
            "log_e": half_normal.log_evalue(found.a, sign * found.b, 0.0, variance),
            "interval": list(half_normal.interval(found.a, found.b, variance, DISCOVERY_RATE)),
        },
        "two_sided_normal": {
            "log_e": normal.log_evalue(found.a, found.b, 0.0, variance),
            "interval": list(normal.interval(found.a, found.b, variance, DISCOVERY_RATE)),
        },
    }


def stopped(metric: Metric, kind: Kind, closed: Sequence[Stratum]) -> dict[str, Any] | None:
    """The estimate at which a claim was shown: biased, since large ones stop a test; a shrunken one beside it."""
    found = information(kind.reading(metric, "c"), closed, metric)
    if found.effect is None:
        return None
    estimate = readout.at_stopping(found.effect, found.a**-0.5, metric["mde"])
    return {"biased": estimate.naive, "shrunken": estimate.shrunken}


def _belief(metric: Metric, effect: float, se: float) -> dict[str, float]:
    """A normal posterior; its prior is centred on no effect, as wide as the MDE or, of lifts, as lifts mostly are."""
    prior = readout.PRIOR_LIFT if metric.get("relative") else metric["mde"]
    posterior = readout.posterior(effect, se, prior)
    benefit = posterior._replace(mean=-harm_sign(metric) * posterior.mean)
    return {
        "prior_sd": prior,
        "mean": posterior.mean,
        "sd": posterior.sd,
        "beats": readout.beats(benefit),
        "loss": readout.expected_loss(benefit),
    }


def _quantiles(name: str, moments: Moments) -> dict[str, list[float | None]]:
    shown = {}
    for arm, side in enumerate(SIDES):
        counts = moments.histogram(name, arm)
        values = [histogram.quantile(counts, share) for share in QUANTILES]
        shown[side] = [None if value is None else value / FIXED_POINT for value in values]
    return shown


def _strata(metric: Metric, kind: Kind, closed: Sequence[Stratum], moments: Moments) -> list[dict[str, Any]]:
    """Each stratum behind its own gate."""
    reading, rows = kind.reading(metric, "c"), []
    for name, stratum in zip(moments.filled(metric["name"], "c"), closed, strict=True):
        found = information(reading, [stratum], metric)
        rows.append(
            {
                "stratum": name,
                "information": found.a,
                "estimate": found.effect,
                "missing": "" if kind.exact(metric) else found.missing,
            }
        )
    return rows


def _bounds(metric: Metric, reading: Reading, moments: Moments) -> dict[str, Any]:
    """What the difference may be whatever the silent units would have said, and if silence only ever grows in one arm."""
    name = metric["name"]
    closed = [sum(pair[arm][0] for pair in moments.reports(name)) for arm in (0, 1)]
    sums = [moments.level_sums(name, reading, "c", arm) for arm in (0, 1)]
    if any(row[0] > n for row, n in zip(sums, closed, strict=True)):
        return {}
    if reading is BINARY:
        values, counts = [0.0, 1.0], [[n - x, x] for n, x in sums]
    else:
        values = [float(score) for score in range(1, metric.get("scale", DEFAULT_SCALE) + 1)]
        counts = [list(row[1 : len(values) + 1]) for row in sums]
    arms = [
        missing.Reported(n, row[0], sum(v * k for v, k in zip(values, found, strict=True)))
        for n, row, found in zip(closed, sums, counts, strict=True)
    ]
    worst = missing.manski(arms[0], arms[1], values[0], values[-1])
    trimmed = missing.lee(values, counts[0], counts[1], closed[0], closed[1])
    return {"manski": list(worst) if worst else None, "lee": list(trimmed) if trimmed else None}


def _labelled(metric: Metric, reading: Reading, moments: Moments) -> dict[str, Any]:
    """Means over all units of an arm, from labels that were sampled with a known chance."""
    shown = {}
    for arm, side in enumerate(SIDES):
        _, w, wy, ww, wwy, wwyy = moments.level_sums(metric["name"], reading, "c", arm)
        scaled = (w, wy / FIXED_POINT, ww / FIXED_POINT, wwy / FIXED_POINT**2, wwyy / FIXED_POINT**3)
        mean = missing.inverse_probability(missing.Weighted(*(value / FIXED_POINT for value in scaled)))
        shown[side] = None if mean is None else [mean.value, math.sqrt(mean.variance)]
    return shown


def _small(metric: Metric, stratum: Stratum) -> dict[str, Any]:
    """What a few units of a continuous metric say if their values are normal: it needs no gate."""
    found = means.small(sample(*stratum.control), sample(*stratum.treatment))
    if found is None or metric.get("relative"):
        return {}
    interval = student.interval(*found, PRIOR_UNITS, DISCOVERY_RATE)
    benefit = found._replace(effect=-harm_sign(metric) * found.effect)
    return {
        "if_normal": {
            "interval": None if interval is None else list(interval),
            "log_e": student.log_evalue(*found, 0.0, PRIOR_UNITS),
            "benefit_log_e": half_student.log_evalue(*benefit, 0.0, PRIOR_UNITS),
            "benefit_at_least": half_student.bound(*benefit, PRIOR_UNITS, DISCOVERY_RATE),
        }
    }


def differs(metric: Metric, kind: Kind, strata: Sequence[Stratum]) -> float:
    """The two-sided log e-value that the arms differ at all; 0.0 while nothing may speak."""
    reading = kind.reading(metric, "c")
    if kind.exact(metric):
        return math.fsum(beta.log_evalue(*row) for row in claims.events(reading, strata))
    found = information(reading, strata, metric)
    return normal.log_evalue(found.a, found.b, 0.0, metric["mde"] ** 2) if found.open else 0.0


def segments(
    metric: Metric, kind: Kind, closed: Sequence[Stratum], moments: Moments, declared: Sequence[str]
) -> list[dict[str, Any]]:
    """The effect in each segment, over its epochs and rolls."""
    names = moments.filled(metric["name"], "c") if closed else []
    rows = []
    for segment in declared:
        own = [s for name, s in zip(names, closed, strict=True) if name.partition("/")[2] == segment]
        found = information(kind.reading(metric, "c"), own, metric)
        interval = (
            normal.interval(found.a, found.b, metric["mde"] ** 2, DISCOVERY_RATE) if found.open else None
        )
        rows.append(
            {
                "segment": segment,
                "estimate": found.effect,
                "interval": None if interval is None else list(interval),
                "log_e": differs(metric, kind, own) if own else 0.0,
            }
        )
    return rows


def adjust(rows: Mapping[str, dict[str, Any]]) -> None:
    """Beside each goal and each observed metric its log e, adjusted for the others of its role by closure."""
    goals = [row for row in rows.values() if row["role"] == "goal"]
    observed = [row for row in rows.values() if row["role"] == "observed"]
    claims_ = [row["method"] for row in goals], [row["exploring"] for row in observed]
    for parts in claims_:
        for part, log_e in zip(parts, many.closed([part["log_e"] for part in parts]), strict=True):
            part["adjusted_log_e"] = log_e


def name_differences(rows: Mapping[str, dict[str, Any]]) -> None:
    """Mark what differs among observed metrics and segments, all together, by e-BH."""
    explored = [row["exploring"] for row in rows.values() if row["role"] == "observed"]
    explored += [segment for row in rows.values() for segment in row["segments"]]
    found = set(many.e_bh([part["log_e"] for part in explored], DISCOVERY_RATE))
    for i, part in enumerate(explored):
        part["differs"] = i in found
