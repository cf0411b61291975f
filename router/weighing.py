"""Weighing: what one metric says now, as the row of it that evidence keeps: sums, tests, thresholds, what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router import readouts
from router.claims import grid_unit
from router.health import Health, reporting
from router.methods import NO_BOUND, OPEN_ENDED, Claim, Plan, accept_threshold, claim_of, method_of
from router.metric import KINDS, Kind
from router.moments import Moments, frozen_limit
from router.reading import Stratum, information, point
from stats import evalues, many

LEAST_CONTROL_EVENTS = 10  # an absent report means zero only while reports arrive
TREATMENTS = 1


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Numbers at which a claim counts as shown; ``alpha_promote`` is the error rate of each side of an interval."""

    harm: float
    promote: float
    alpha_promote: float

    @classmethod
    def of(cls, spec: Mapping[str, Any], plan: Plan) -> Thresholds:
        """Bonferroni over deciding metrics and treatments for harm; none for promotion, where all must pass."""
        claims = TREATMENTS * sum(metric["role"] != "observed" for metric in spec["metrics"])
        promote = plan.alpha / TREATMENTS
        return cls(many.bonferroni(claims, spec["alpha"]["harm"]), evalues.threshold(promote), promote)


@dataclass(frozen=True, slots=True)
class Look:
    """What all metrics of one look share."""

    run: Mapping[str, Any]
    moments: Moments
    health: Health
    plan: Plan
    thresholds: Thresholds

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the run keeps of its file."""
        found: Mapping[str, Any] = self.run["spec"]
        return found


@dataclass(frozen=True, slots=True)
class Values:
    """The sums of one metric by stratum: of all units, of closed windows, and those that a promotion reads."""

    running: list[Stratum]
    closed: list[Stratum]
    promoting: list[Stratum]
    absent: str

    @classmethod
    def of(cls, metric: dict[str, Any], kind: Kind, look: Look) -> Values:
        """Nothing of a metric whose silence means nothing now, or whose limit is still to come."""
        name, moments = metric["name"], look.moments
        running, closed = (moments.sums(name, kind.reading(metric, key), key) for key in ("r", "c"))
        absent = _absence(metric, moments, look.health) or _limit_missing(metric, moments, look.run)
        if absent:
            running = closed = []
        present = running if kind.promotes_on(metric) == "r" else closed
        return cls(running, closed, [*earlier_of(metric, look), *present] if present else [], absent)

    @property
    def missing(self) -> str:
        """Why there is no value now, in words."""
        if self.absent or (self.promoting and self.closed and self.running):
            return self.absent
        if not self.running:
            return "a value in both arms"
        return "" if self.closed else "a closed window with a value in both arms"


def earlier_of(metric: Mapping[str, Any], look: Look) -> list[Stratum]:
    """Earlier attempts with the same treatment go on in the same promotion e-process; a plan begins anew."""
    if method_of(look.spec).name != OPEN_ENDED:
        return []
    return [Stratum(*row) for row in look.run.get("prior", {}).get(metric["name"], ())]


def deciding_test(spec: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """The test that a promotion asks of a metric."""
    return "superiority" if spec["kind"] == "ab" and metric["role"] == "goal" else "non_inferiority"


def weigh_metric(metric: dict[str, Any], look: Look) -> tuple[dict[str, Any], Claim]:
    """The row of one metric, without its state, and the claim that decides for it."""
    kind, name = KINDS[metric["kind"]], metric["name"]
    values = Values.of(metric, kind, look)
    tests = {
        "harm": kind.harm(kind.reading(metric, "r"), values.running, metric),
        **kind.promoting(values.promoting, metric),
    }
    deciding = deciding_test(look.spec, metric)
    few = kind.units_missing(values.promoting, metric)
    claim = claim_of(kind, metric, deciding, values.promoting, tests[deciding], gated=bool(few))
    answer = method_of(look.spec).answer(claim, look.plan)
    tests[deciding] = answer.number
    threshold = {"harm": look.thresholds.harm, "promote": look.thresholds.promote}
    if answer.accepts is not None:
        tests["accept"], threshold["accept"] = answer.accepts, accept_threshold(look.plan.alpha)
    reported = None
    if metric["absent"] == "missing":
        reported = reporting(look.moments.reports(name))
        tests |= {"reported": reported["log_e"], "reported_equal": reported["log_e_equal"]}
    gate = "" if kind.exact(metric) else _gate(kind, metric, values)
    row = {key: metric[key] for key in ("role", "kind", "better", "margin", "tolerance", "mde")}
    row |= {"share": kind.share, "relative": bool(metric.get("relative")), "deciding": deciding}
    row |= _shown(metric, kind, values, look, harm=tests["harm"])
    row |= {
        "log_e": tests,
        "method": answer.shown | {"log_e": claim.log_e},
        "threshold": threshold,
        "gated": bool(gate),
        "missing": values.missing,
        "promotion_missing": few or gate,
        "reported": reported,
        "sums": {
            "running": [list(s) for s in values.running],
            "closed": [list(s) for s in values.closed],
            "earlier": [list(s) for s in earlier_of(metric, look)],
        },
    }
    return row | _explored(metric, kind, values, look), claim


def _gate(kind: Kind, metric: dict[str, Any], values: Values) -> str:
    reading = kind.reading(metric, kind.promotes_on(metric))
    return information(reading, values.promoting, metric).missing


def _absence(metric: Mapping[str, Any], moments: Moments, health: Health) -> str:
    """Why a metric has no value now, although its units are counted; empty when it has one."""
    if metric["absent"] != "zero" or metric["builtin"]:
        return ""
    events = moments.count(0, "e", metric["name"])
    if events < LEAST_CONTROL_EVENTS:
        return f"{LEAST_CONTROL_EVENTS} reports in control before silence can mean zero (now {events})"
    return "reports to arrive again" if health.silent is None or metric["name"] in health.silent else ""


def _limit_missing(metric: Mapping[str, Any], moments: Moments, run: Mapping[str, Any]) -> str:
    """What a limit that is a quantile of control still waits for; empty once it is frozen."""
    if not metric.get("quantile") or metric["name"] in run.get("constants", {}):
        return ""
    return f"its limit: {frozen_limit(metric, moments).missing or 'it is frozen with this look'}"


def _shown(metric: dict[str, Any], kind: Kind, values: Values, look: Look, *, harm: float) -> dict[str, Any]:
    """Levels, estimate and interval: of closed windows when they can speak, of all units so far else and for harm."""
    before = look.run["maxima"].get(metric["name"], {}).get("harm", 0.0)
    harmful = max(harm, before) >= look.thresholds.harm
    unit, alpha = grid_unit(metric, deciding_test(look.spec, metric)), 2 * look.thresholds.alpha_promote
    name, reading, key, strata = metric["name"], kind.reading(metric, "c"), "c", values.closed
    interval = None if harmful or kind.early(metric) else kind.interval(reading, strata, metric, unit, alpha)
    if interval is None and (values.running or not values.closed):
        reading, key, strata = kind.reading(metric, "r"), "r", values.running
        shown = grid_unit(metric, "harm") if harmful else unit
        interval = kind.interval(reading, strata, metric, shown, alpha) if strata else None
    levels = [reading.level(look.moments.level_sums(name, reading, key, arm)) for arm in (0, 1)]
    return {
        side: {"n": level.n, "value": level.value, "events": level.events}
        for side, level in zip(("control", "treatment"), levels, strict=True)
    } | {
        "reading": "closed" if key == "c" else "running",
        "estimate": point(reading, strata, metric),
        "interval": list(interval) if interval else None,
    }


def planned_interval(row: Mapping[str, Any], found: Claim) -> list[float] | None:
    """The repeated interval of a horizon's look: what its bound does not reject in either direction."""
    bound = row["method"].get("bound", NO_BOUND)
    if not found.information or bound >= NO_BOUND or row["estimate"] is None:
        return None
    radius = bound / math.sqrt(found.information)
    return [row["estimate"] - radius, row["estimate"] + radius]


def _explored(metric: dict[str, Any], kind: Kind, values: Values, look: Look) -> dict[str, Any]:
    """Read-outs, effects by segment, and of an observed metric whether the arms differ at all."""
    declared: Sequence[str] = look.spec.get("segments", {}).get("values", ())
    explored: dict[str, Any] = {
        "beside": readouts.beside(metric, kind, values.closed, look.moments),
        "segments": readouts.segments(metric, kind, values.closed, look.moments, declared),
    }
    if metric["role"] == "observed":
        log_e = readouts.differs(metric, kind, values.closed) if values.closed else 0.0
        explored["exploring"] = {"log_e": log_e}
    return explored
