"""A forecast of an experiment before it starts: how long it takes, and how likely each verdict is, if this or that is true.

Metrics are taken to be independent, units to come steadily and only once, and tests to be looked at all the time. Harm is
counted when windows have closed; a running one may show it up to a window earlier. What nobody has told is missing,
never guessed: ``missing`` names it, and what hangs on it is None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.prospect import SHARES, Asked, Baseline, Prospect, least_harm, least_margin, prospect
from router.timetable import HOUR_MS, Timetable
from stats import counts
from stats.planning_rare import forgiving_units, ratio_course

Floats = NDArray[np.float64]

TIMES = 400
LONGEST_HOURS = 90 * 24.0  # looked at when the file names no deadline
# What a share is taken to be when nobody says: the widest for a proportion; for rare events, a number to be corrected.
ASSUMED_RATES = {"proportion": 0.5, "rare_proportion": 0.01}


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
    spec = {**spec, "metrics": _deciding(spec)}
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
    for metric in _deciding(spec):
        name, kind = metric["name"], metric["kind"]
        if metric.get("relative"):
            missing.append(f"{name}: a forecast of relative differences is not made; write them absolutely")
            continue
        given = baselines.get(name, Baseline())
        if kind in SHARES and given.rate is None:
            given = given._replace(rate=ASSUMED_RATES[kind])
            assumed.append(
                f"{name}: a rate of {ASSUMED_RATES[kind] * 100:g} % in control (--rate {name}=...)"
            )
        if kind not in SHARES and given.sd is None:
            missing.append(f"{name}: the standard deviation of one unit's value (--sd {name}=...)")
            continue
        if metric["absent"] == "missing" and given.reported == 1.0:
            assumed.append(f"{name}: every unit reports (--reported {name}=...)")
        known[name] = given
    goals = [metric["name"] for metric in spec["metrics"] if metric["role"] == "goal"]
    if len(goals) > 1:
        assumed.append(f"{goals[0]} alone is to be better; no promotion by another goal is counted")
    if "method" in spec:
        assumed.append(f"open-ended tests; what method: {spec['method']} gains is left out")
    return known, assumed, missing


def _deciding(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first goal and the guardrails: what every promotion that is counted here asks for."""
    first = spec["metrics"][0]
    return [first, *(metric for metric in spec["metrics"] if metric["role"] == "guardrail")]


def _scenarios(spec: Mapping[str, Any]) -> Iterator[Scenario]:
    goal = spec["metrics"][0]
    yield Scenario("as good", goal["name"], 0.0)
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
        alpha = self.spec["alpha"]
        superior = self.spec["kind"] == "ab" and metric["role"] == "goal"
        return Asked(alpha["harm"] / len(self.spec["metrics"]), alpha["promote"], self.share, superior)

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
        harmless = np.ones(len(self.hours))
        passed, futile = harmless.copy(), harmless * 0
        for metric in metrics:
            found = self.prospect(metric, scenario.effect if metric["name"] == scenario.metric else 0.0)
            if found is None:
                return None
            harmless = harmless * (1 - found.harm)
            passed = passed * found.passed
            futile = np.maximum(futile, found.futile)
        ready = self.hours >= self.timetable.promotes
        promoted = np.where(ready, passed, 0.0)
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
        baseline = self.known.get(metric["name"])
        if baseline is None:
            return row | dict.fromkeys(("rate", "sd", "least_harm", "least_margin", "note"))
        asked, units = self.asked(metric), float(self.units[-1]) * baseline.reported
        return row | {
            "rate": baseline.rate,
            "sd": baseline.sd,
            "least_harm": least_harm(metric, baseline, asked, units),
            "least_margin": least_margin(metric, baseline, asked, units),
            "note": _rare_note(metric, baseline, asked),
        }


def _rare_note(metric: Mapping[str, Any], baseline: Baseline, asked: Asked) -> str | None:
    """What a rare proportion asks for: a margin in pp may be passed without any event, a relative one needs events."""
    if (
        metric["kind"] != "rare_proportion"
        or asked.superior
        or metric["margin"] >= 1
        or baseline.rate is None
    ):
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
