"""Methods of promotion: what the evidence of a claim amounts to, by the method that the file names.

One currency: each method yields a number that is compared with ``log(1/alpha)``, so that verdicts know no method. Harm
is always open-ended, since a rollback must be valid for ever. Exact tests of rare events stay open-ended too, but for
ratios of rates under ``sprt``. A horizon is the run's own: closed units over ``max_units``, at healthy looks only.

To add a method: one row of METHODS, its word in ``router.experiment_keys``, its line in config/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from router import claims
from router.metric import Kind, Metric
from router.reading import Stratum, information
from stats import group_sequential, many, obrien_fleming, sprt
from stats.spending import DEFAULT_SPENDING

BETA = 0.2  # chance that sprt gives up on an effect of the MDE, or a canary that is as good as control
OPEN_ENDED = "open_ended"
ROUNDING = 1e-9  # a boundary that is reached is reached, whichever way its alpha is written
NO_BOUND = 1e6  # stands for the bound of a look that may spend nothing, which no document can hold


class Claim(NamedTuple):
    """What is to be shown of one metric, and all that is known of it.

    Attributes:
        metric: its name.
        log_e: its open-ended log e-value.
        information: A; 0.0 where the test is exact, or still behind its gate.
        score: what is expected to be 0 at the null, and above where the claim is true.
        unit: distance of the alternative from the null.
        events: (of control, of treatment, share) by stratum, where a ratio of rates is tested; else None.
        ratios: that ratio under the alternative and under the null.
    """

    metric: str
    log_e: float
    information: float
    score: float
    unit: float
    events: Sequence[tuple[int, int, float]] | None = None
    ratios: tuple[float, float] = (1.0, 1.0)

    @property
    def z(self) -> float:
        """The score over its standard deviation."""
        return self.score / math.sqrt(self.information)


class Answer(NamedTuple):
    """What a method makes of a claim.

    Attributes:
        number: compared with ``log(1/alpha)``.
        accepts: compared with ``log((1 - alpha)/BETA)``: evidence to give up; None where the method never does.
        shown: how the number came about.
    """

    number: float
    accepts: float | None
    shown: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a run stands in its method.

    Attributes:
        alpha: of promotion, after what earlier attempts have spent.
        levels: parts of alpha at which a claim may count: one for each goal, by Holm.
        time: closed units over ``max_units``; 0.0 without a horizon.
        looks: planned; None for any number.
        fractions: times of the planned looks taken so far.
        last: by metric, time and path of its last look before the horizon.
        over: whether the horizon had passed before this look.
        spending: how planned looks share alpha: a row of ``stats.spending``, and its parameter.
    """

    alpha: float
    levels: tuple[float, ...]
    time: float = 0.0
    looks: int | None = None
    fractions: tuple[float, ...] = ()
    last: Mapping[str, tuple[float, float]] | None = None
    over: bool = False
    spending: tuple[str, float] = (DEFAULT_SPENDING, 0.0)

    @property
    def due(self) -> bool:
        """Whether this look is one of the plan."""
        if self.over or self.time <= 0:
            return False
        if self.looks is None:
            return True
        before = self.fractions[-1] if self.fractions else 0.0
        return math.floor(min(1.0, self.time) * self.looks) > math.floor(before * self.looks)

    def after(self, claims_: Sequence[Claim]) -> dict[str, Any]:
        """What the run keeps of this look, when it was healthy."""
        last = dict(self.last or {})
        if self.due and self.time < 1:
            last |= {
                claim.metric: (self.time, claim.z * math.sqrt(self.time))
                for claim in claims_
                if claim.information > 0
            }
        fractions = [*self.fractions, self.time] if self.due and self.looks is not None else self.fractions
        return {
            "fractions": list(fractions),
            "last": {name: list(pair) for name, pair in last.items()},
            "over": self.over or self.time >= 1,
        }


def promotion_alpha(spec: Mapping[str, Any]) -> float:
    """Alpha of promotion: open-ended attempts go on in one e-process, others have ever smaller parts of it."""
    alpha = float(spec["alpha"]["promote"])
    if method_of(spec).name == OPEN_ENDED or spec.get("attempt", 1) == 1:
        return alpha
    return many.attempt_alpha(2 * alpha, spec["attempt"])


def spending_of(spec: Mapping[str, Any]) -> tuple[str, float]:
    """How planned looks share alpha: a row of ``stats.spending``, and its parameter."""
    return spec.get("spending", DEFAULT_SPENDING), spec.get("spending_parameter", 0.0)


def plan_of(run: Mapping[str, Any], closed: int) -> Plan:
    """The plan of a run, with so many closed units of both arms."""
    spec, kept = run["spec"], run.get("horizon") or {}
    goals = sum(metric["role"] == "goal" for metric in spec["metrics"])
    alpha = promotion_alpha(spec)
    plan = Plan(alpha, tuple(alpha / part for part in range(1, goals + 1)))
    if "max_units" not in spec:
        return plan
    last = {name: (time, path) for name, (time, path) in kept.get("last", {}).items()}
    return replace(
        plan,
        time=closed / spec["max_units"],
        looks=spec.get("looks"),
        spending=spending_of(spec),
        fractions=tuple(kept.get("fractions", ())),
        last=last,
        over=kept.get("over", False),
    )


def claim_of(
    kind: Kind, metric: Metric, test: str, strata: Sequence[Stratum], log_e: float, *, gated: bool
) -> Claim:
    """The claim that decides for a metric, in the terms of every method."""
    asked, unit = claims.claim_of(metric, test), claims.grid_unit(metric, test)
    reading = kind.reading(metric, kind.promotes_on(metric))
    if kind.exact(metric):
        nothing = Claim(metric["name"], log_e, 0.0, 0.0, unit)
        if not metric.get("relative") or claims.is_log_rank(metric):
            return nothing
        wanted = 1.0 if test == "non_inferiority" else claims.claim_of(metric, "futility").factor
        return nothing._replace(events=claims.events(reading, strata), ratios=(wanted, asked.factor))
    found = information(reading, strata, metric, asked.factor)
    if gated or not found.open:
        return Claim(metric["name"], log_e, 0.0, 0.0, unit)
    score = asked.sign * found.b - asked.null * found.a
    return Claim(metric["name"], log_e, found.a, score, unit)


def _open_ended(claim: Claim, plan: Plan) -> Answer:
    return Answer(claim.log_e, None, {"test": OPEN_ENDED})


def _horizon(claim: Claim, plan: Plan) -> Answer:
    if not claim.information:
        return _open_ended(claim, plan)
    shown = {"test": "horizon", "time": plan.time, "z": claim.z, "look": plan.due, "over": plan.over}
    return (_any_look if plan.looks is None else _planned_look)(claim, plan, shown)


def _any_look(claim: Claim, plan: Plan, shown: dict[str, Any]) -> Answer:
    if not plan.due:
        return Answer(0.0, None, shown)
    log_p = obrien_fleming.log_p(plan.time, claim.z, (plan.last or {}).get(claim.metric, (0.0, 0.0)))
    if plan.time < 1:
        horizon = claim.information / plan.time
        bound = obrien_fleming.boundary(claim.information, horizon, plan.alpha)
        shown["bound"] = bound / math.sqrt(claim.information)
        shown["plan_log_e"] = obrien_fleming.log_evalue(
            claim.information, claim.score, 0.0, horizon, plan.alpha
        )
        shown["power"] = obrien_fleming.conditional_power(
            claim.information, claim.score, horizon, claim.unit, plan.alpha
        )
    return Answer(-log_p, None, shown)


def _planned_look(claim: Claim, plan: Plan, shown: dict[str, Any]) -> Answer:
    if not plan.due:
        return Answer(0.0, None, shown)
    times = (*plan.fractions, plan.time)
    bounds = {level: group_sequential.boundary(times, level, 1, *plan.spending) for level in plan.levels}
    shown |= {"number": len(times), "bound": min(bounds[plan.alpha][-1], NO_BOUND)}
    drift = claim.unit * math.sqrt(claim.information / plan.time)
    futile = group_sequential.futility_boundary(times, bounds[plan.alpha], drift, BETA, *plan.spending)
    if futile[-1] > -math.inf:
        shown["futile_below"] = futile[-1]
    if plan.time < 1:
        last = group_sequential.boundary((*times, 1.0), plan.alpha, 1, *plan.spending)[-1]
        shown["power"] = group_sequential.conditional_power(claim.z, plan.time, drift, last)
    reached = [math.log(1 / level) + ROUNDING for level, bound in bounds.items() if claim.z >= bound[-1]]
    return Answer(max(reached, default=0.0), None, shown)


def _sprt(claim: Claim, plan: Plan) -> Answer:
    if claim.events is not None:
        ratio = sprt.rate_log_evalue(claim.events, *claim.ratios)
    elif claim.information:
        ratio = sprt.log_evalue(claim.information, claim.score, 0.0, claim.unit)
    else:
        return _open_ended(claim, plan)._replace(accepts=0.0)
    low, high = sprt.thresholds(plan.alpha, BETA)
    shown = {"test": "sprt", "log_likelihood_ratio": ratio, "accept": low, "reject": high}
    # Wald's threshold log((1 - beta)/alpha), in the one currency.
    return Answer(ratio - math.log(1 - BETA), -ratio, shown)


def accept_threshold(alpha: float) -> float:
    """What ``accepts`` must reach to give up."""
    return -sprt.thresholds(alpha, BETA).accept


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its word in the file, what it promises, and its number."""

    name: str
    about: str
    answer: Callable[[Claim, Plan], Answer]


_ROWS = (
    Method(OPEN_ENDED, "e-values, valid at every look for ever", _open_ended),
    Method("horizon", "O'Brien-Fleming boundaries up to a planned number of units", _horizon),
    Method("sprt", "Wald's likelihood ratio against the smallest effect, which also gives up", _sprt),
)
METHODS = {method.name: method for method in _ROWS}


def method_of(spec: Mapping[str, Any]) -> Method:
    """The method that a run keeps."""
    return METHODS[spec.get("method", OPEN_ENDED)]
