"""A forecast of an experiment before it starts: how long it takes, and how likely each verdict is, if this or that is true.

Metrics are taken to be independent, units to come steadily and only once, and tests to be looked at all the time. Harm is
counted when windows have closed; a running one may show it up to a window earlier. What nobody has told is missing,
never guessed: ``missing`` names it, and what hangs on it is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.methods import OPEN_ENDED, method_of, promotion_alpha, spending_of
from router.metric import KINDS
from router.prospect import Asked, Baseline, Planned, Prospect, is_share, prospect, tested_as
from router.sizes import YARDSTICKS, least_harm, least_margin, yardsticks
from router.timetable import HOUR_MS, Timetable
from stats import counts
from stats.planning_rare import forgiving_units, ratio_course

Floats = NDArray[np.float64]

TIMES = 400
LONGEST_HOURS = 90 * 24.0  # looked at when the file names no deadline
# What a share is taken to be when nobody says: the widest where it is estimated; where it is counted, a number to correct.
ASSUMED_RATES = {"share": 0.5, "rare": 0.01, "ratio": 0.01}


class Scenario(NamedTuple):
    """A truth: one metric is worse by ``effect`` (better where negative), all others are equal in both arms."""

    name: str
    metric: str
    effect: float


def forecast(
    spec: Mapping[str, Any], units_per_hour: float, baselines: Mapping[str, Baseline]
) -> dict[str, Any]:
    """The forecast as one document.

    Args:
        spec: as ``Experiment.spec`` gives it.
        units_per_hour: units that the route has not seen before, of all traffic, above 0.
        baselines: what is known of metrics today, by name; a share that is not among them is assumed and named as such.

    Returns:
        ``ramp``, ``scenarios``, ``metrics``, ``assumed``, ``missing``; ``power`` and ``expected_ms`` of the scenario in
        which the treatment deserves promotion (None while something is missing), ``horizon_ms``, and ``deadline``.
    """
    timetable = Timetable.of(spec, units_per_hour)
    horizon = LONGEST_HOURS if spec["deadline_ms"] is None else spec["deadline_ms"] / HOUR_MS
    known, assumed, missing = _known(spec, baselines)
    deciding = [metric for metric in spec["metrics"] if metric["role"] != "observed"]
    spec = {**spec, "metrics": [_absolute(metric, known.get(metric["name"])) for metric in deciding]}
    met = [stop.met for stop in timetable.stops if stop.met < horizon]
    hours = np.union1d(
        horizon * np.linspace(0.0, 1.0, TIMES) ** 2, met
    )  # closest together where most happens
    plan = _Plan(spec, known, timetable, hours)
    scenarios = [plan.row(scenario) for scenario in _scenarios(spec)]
    deserving = scenarios[1 if spec["kind"] == "ab" else 0]
    return {
        "experiment": spec["experiment"],
        "kind": spec["kind"],
        "method": method_of(spec).name,
        "units_per_hour": units_per_hour,
        "horizon_ms": round(horizon * HOUR_MS),
        "deadline": spec["deadline_ms"] is not None,
        "ramp": plan.ramp(),
        "scenarios": scenarios,
        "metrics": [plan.metric(metric) for metric in spec["metrics"]],
        "power": deserving["promote"],
        "expected_ms": deserving["decided_ms"],
        "assumed": assumed,
        "missing": missing,
    }


def _known(
    spec: Mapping[str, Any], baselines: Mapping[str, Baseline]
) -> tuple[dict[str, Baseline], list[str], list[str]]:
    known, assumed, missing = {}, [], []
    for metric in spec["metrics"]:
        if metric["role"] == "observed":
            continue
        name, tested = metric["name"], tested_as(metric)
        given = baselines.get(name, Baseline())
        if is_share(metric) and given.rate is None:
            rate = _assumed_rate(metric)
            given = given._replace(rate=rate)
            if "quantile" not in metric:
                assumed.append(f"{name}: a rate of {rate * 100:g} % in control (--rate {name}=...)")
        lacks = _lacks(metric, given)
        missing += [f"{name}: {line}" for line in lacks]
        if lacks:
            continue
        if metric["absent"] == "missing" and given.reported == 1.0:
            assumed.append(f"{name}: every unit reports (--reported {name}=...)")
        if metric.get("covariate"):
            assumed.append(f"{name}: no part of its variance is taken out by the covariate")
        if method_of(spec).name != OPEN_ENDED and tested in ("rare", "ratio"):
            assumed.append(f"{name}: an open-ended test, as exact tests of events are")
        known[name] = given
    return known, assumed, missing


def _assumed_rate(metric: Mapping[str, Any]) -> float:
    """A quantile of control says itself how many exceed it."""
    if "quantile" in metric:
        return 1 - float(metric["quantile"])
    return ASSUMED_RATES[tested_as(metric)]


def _lacks(metric: Mapping[str, Any], given: Baseline) -> list[str]:
    """What is not told, and cannot be assumed."""
    name, lacks = metric["name"], []
    if tested_as(metric) == "number" and given.sd is None:
        lacks.append(f"the standard deviation of one unit's value (--sd {name}=...)")
    if not is_share(metric) and metric.get("relative") and given.level is None:
        what = "events of one unit" if metric["kind"] == "rate" else "the average of one unit's value"
        lacks.append(f"{what} in control (--level {name}=...)")
    return lacks


def _absolute(metric: dict[str, Any], given: Baseline | None) -> dict[str, Any]:
    """Relative differences of an estimate as those of today's level; of counted events they stay as they are."""
    if not metric.get("relative") or tested_as(metric) == "ratio" or given is None:
        return metric
    level = given.rate if is_share(metric) else given.level
    return (
        metric
        | {key: metric[key] * (level or 0.0) for key in ("mde", "margin", "tolerance")}
        | {"relative": False}
    )


def _scenarios(spec: Mapping[str, Any]) -> Iterator[Scenario]:
    yield Scenario("as good", spec["metrics"][0]["name"], 0.0)
    for goal in (metric for metric in spec["metrics"] if metric["role"] == "goal"):
        yield Scenario("better by the mde", goal["name"], -goal["mde"])
    for metric in spec["metrics"]:
        yield Scenario("worse by the margin", metric["name"], metric["margin"])
        yield Scenario("worse by twice the margin", metric["name"], 2 * metric["margin"])


class _Plan:
    def __init__(
        self, spec: Mapping[str, Any], known: Mapping[str, Baseline], timetable: Timetable, hours: Floats
    ) -> None:
        lanes = {lane["role"]: lane["share"] for lane in spec["lanes"]}
        self.spec, self.known, self.timetable, self.hours = spec, known, timetable, hours
        self.share = lanes["treatment"] / (lanes["treatment"] + lanes["control"])
        self.units = timetable.closed(hours)
        self._found: dict[tuple[str, float], Prospect | None] = {}

    def asked(self, metric: Mapping[str, Any]) -> Asked:
        """What is asked of a metric; of several goals the first step of Holm."""
        superior = self.spec["kind"] == "ab" and metric["role"] == "goal"
        goals = sum(one["role"] == "goal" for one in self.spec["metrics"])
        return Asked(
            harm=self.spec["alpha"]["harm"] / len(self.spec["metrics"]),
            promote=promotion_alpha(self.spec) / (goals if superior else 1),
            share=self.share,
            superior=superior,
            planned=self.planned(self.known[metric["name"]]),
        )

    def planned(self, baseline: Baseline) -> Planned:
        """The method; a horizon in treatment units that report."""
        units = self.spec.get("max_units", math.inf) * self.share * baseline.reported
        return Planned(method_of(self.spec).name, units, self.spec.get("looks"), spending_of(self.spec))

    def prospect(self, metric: dict[str, Any], effect: float) -> Prospect | None:
        key = (metric["name"], effect)
        if key not in self._found:
            baseline = self.known[metric["name"]]
            units = self.units * baseline.reported
            self._found[key] = prospect(metric, baseline, effect, self.asked(metric), units)
        return self._found[key]

    def course(self, scenario: Scenario) -> Prospect | None:
        """All metrics together: rolled back, promoted and ended as futile, by time; None when it cannot be said."""
        metrics: Sequence[dict[str, Any]] = self.spec["metrics"]
        if len(self.known) < len(metrics):
            return None
        harmless, guarded, aimless, futile = (np.ones(len(self.hours)) for _ in range(4))
        for metric in metrics:
            found = self.prospect(metric, scenario.effect if metric["name"] == scenario.metric else 0.0)
            if found is None:
                return None
            harmless = harmless * (1 - found.harm)
            if metric["role"] == "goal":
                aimless, futile = aimless * (1 - found.passed), futile * found.futile
            else:
                guarded = guarded * found.passed
        ready = self.hours >= self.timetable.promotes
        promoted = np.where(ready, guarded * (1 - aimless), 0.0)
        rolled_back = np.minimum(1 - harmless, 1 - promoted)
        return Prospect(
            rolled_back, promoted, np.where(ready, np.minimum(futile, 1 - promoted - rolled_back), 0.0)
        )

    def row(self, scenario: Scenario) -> dict[str, Any]:
        row: dict[str, Any] = scenario._asdict() | dict.fromkeys(
            ("promote", "roll_back", "keep", "undecided", "decided_ms")
        )
        found = self.course(scenario)
        if found is None:
            return row
        open_still = np.maximum(0.0, 1 - found.harm - found.passed - found.futile)
        return row | {
            "roll_back": float(found.harm[-1]),
            "promote": float(found.passed[-1]),
            "keep": float(found.futile[-1]),
            "undecided": float(open_still[-1]),
            "decided_ms": round(float(np.trapezoid(open_still, self.hours)) * HOUR_MS),
        }

    def ramp(self) -> list[dict[str, Any]]:
        """Each step, and how likely a goal that is worse by twice its margin has been rolled back by its end."""
        goal = self.spec["metrics"][0]
        worse = self.course(Scenario("", goal["name"], 2 * goal["margin"]))
        return [
            {
                "traffic": stop.traffic,
                "begins_ms": round(stop.begins * HOUR_MS),
                "met_ms": round(stop.met * HOUR_MS),
                "units": round(stop.units),
                "rolled_back": None if worse is None else float(np.interp(stop.met, self.hours, worse.harm)),
            }
            for stop in self.timetable.stops
        ]

    def metric(self, metric: dict[str, Any]) -> dict[str, Any]:
        row = {key: metric[key] for key in ("name", "role", "kind", "better", "margin", "mde")}
        row |= {"share": KINDS[metric["kind"]].share, "relative": bool(metric.get("relative"))}
        baseline = self.known.get(metric["name"])
        if baseline is None:
            return row | dict.fromkeys(
                ("rate", "sd", "level", "least_harm", "least_margin", *YARDSTICKS, "note")
            )
        asked, units = self.asked(metric), float(self.units[-1]) * baseline.reported
        return row | {
            "rate": baseline.rate,
            "sd": baseline.sd,
            "level": baseline.level,
            "least_harm": least_harm(metric, baseline, asked, units),
            "least_margin": least_margin(metric, baseline, asked, units),
            **yardsticks(metric, baseline, asked, units),
            "note": _rare_note(metric, baseline, asked),
        }


def _rare_note(metric: Mapping[str, Any], baseline: Baseline, asked: Asked) -> str | None:
    """What a rare proportion asks for: a margin in pp may be passed without any event, a relative one needs events."""
    if tested_as(metric) != "rare" or asked.superior or metric["margin"] >= 1 or baseline.rate is None:
        return None
    perfect = forgiving_units(metric["margin"], asked.promote / (2 - asked.promote), 1e9)[0]
    events = np.arange(2, 400, 4)
    # Seen from control: its events against those of a treatment that has twice as many.
    doubled = counts.within(2.0)
    reciprocals = tuple(1 / ratio for ratio in doubled.ratios)
    shown = ratio_course(events, 1.0, 1 - asked.share, asked.promote, 0.5, reciprocals, doubled.weights)
    mean_events = float(np.trapezoid(1 - np.concatenate(([0.0], shown)), np.concatenate(([0], events))))
    relative = mean_events * asked.share / baseline.rate
    return (
        f"{perfect:,} units pass a margin of {metric['margin'] * 100:g} pp if none has an event; to show less than "
        f"twice {baseline.rate * 100:g} % takes about {relative:,.0f} treatment units, since a ratio needs events"
    )
