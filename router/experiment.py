"""An experiment as people write it: what we want to learn about a treatment, and when we know.

``spec`` compiles it to plain values that a run keeps for its whole life, so that a later default or a changed file
never changes a running test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from router.bucketing import PPM
from router.conditions import Conditions, ScheduleModel
from router.experiment_keys import Alpha, HeadPlace, Method, SegmentsModel, Step
from router.metric import KINDS
from router.metric_keys import Metric
from router.quantity import percent_ppm
from router.ramp import DEFAULT_RAMPS, STEP_TIME_MS, STEP_UNITS, coverage_of
from router.run import plain_values
from router.strict import Duration, Name, Percent, Truth, Whole, wrong

DEFAULT_ALPHA = {"canary": (50_000, 10_000), "ab": (50_000, 50_000)}
MOST_METRICS = 10  # of each role

Metrics = Annotated[list[Metric], Field(max_length=MOST_METRICS)]


class Experiment(Method):
    """An experiment file."""

    experiment: Name
    route: Name
    kind: Literal["canary", "ab"]
    control: Name
    treatment: Name
    goal: Metric | None = None
    goals: Annotated[Metrics, Field(min_length=1)] | None = None
    guardrails: list[Metric] = []
    observe: Metrics = []
    ramp: Annotated[list[Percent | Step], Field(min_length=1, max_length=20)] | None = None
    alpha: Alpha = Alpha()
    traffic: Percent = PPM
    deadline: Duration | None = None
    at_deadline: Literal["hold", "rollback"] = "hold"
    schedule: ScheduleModel | None = None
    attempt: Whole = 1
    covariate: HeadPlace | None = None
    segments: SegmentsModel | None = None
    audience: Conditions | None = None
    holdouts: Annotated[list[Name], Field(max_length=5)] = []
    layer: Name | None = None
    layer_share: Percent | None = None
    sticky: Truth = False

    @model_validator(mode="after")
    def _coherent(self) -> Experiment:
        if self.control == self.treatment:
            raise wrong("a treatment other than the control", repr(self.treatment))
        if (self.goal is None) is (self.goals is None):
            raise wrong("either goal or goals", "neither" if self.goal is None else "both")
        names = [metric.metric for metric in self.metrics()]
        if len(set(names)) != len(names):
            raise wrong("each metric once", ", ".join(names))
        self._check_goals()
        self._check_observed()
        for guardrail in self.guardrails:
            if guardrail.margin is None:
                raise wrong(
                    f"a margin for guardrail {guardrail.metric}", "none", "how much harm may remain unproven"
                )
        if self.covariate is not None and not any(metric.row().adjusted for metric in self.metrics()):
            adjusted = ", ".join(kind.name for kind in KINDS.values() if kind.adjusted)
            raise wrong(f"a metric that a covariate adjusts ({adjusted})", "none of these kinds")
        self._check_ramp([step.traffic for step in self.steps()])
        if (self.layer is None) != (self.layer_share is None):
            expected = "a layer and its layer_share together"
            raise wrong(expected, "the share alone" if self.layer is None else "the layer alone")
        if len(set(self.holdouts)) != len(self.holdouts):
            raise wrong("each holdout once", ", ".join(self.holdouts), at=("holdouts",))
        return self

    def _check_goals(self) -> None:
        if self.goals is not None and self.kind != "ab":
            raise wrong("one goal for a canary", "goals", "only an ab test may have several")
        for goal in self.aims():
            if goal.mde is None:
                raise wrong(
                    f"an mde for goal {goal.metric}",
                    "none",
                    "the smallest effect worth detecting, such as '2 pp'",
                )

    def _check_observed(self) -> None:
        """Only shown: so nothing may wait for them, and a unit is closed when all its windows are."""
        longest = max(metric.window + metric.grace for metric in (*self.aims(), *self.guardrails))
        for metric in self.observe:
            if metric.mde is None and metric.margin is None:
                raise wrong(f"an mde for observed metric {metric.metric}", "none", "what it is tuned to")
            if metric.window + metric.grace > longest:
                raise wrong(
                    f"a window of observed metric {metric.metric} that no deciding metric waits for",
                    f"window and grace of {(metric.window + metric.grace) / 1000:g} s",
                    f"at most {longest / 1000:g} s, the longest of goals and guardrails",
                )

    def _check_ramp(self, shares: list[int]) -> None:
        if PPM in shares:
            raise wrong(
                "steps below 100%", "100%", "promotion is a decision, not a step: end with the largest step"
            )
        if shares != sorted(set(shares)):
            raise wrong("a ramp whose steps grow", ", ".join(f"{share / 10_000:g}%" for share in shares))
        if shares[-1] > PPM // 2 and self.kind == "ab":
            raise wrong("an A/B ramp of at most 50%", f"{shares[-1] / 10_000:g}%")
        if shares[-1] > self.reach() * 9 // 10:
            raise wrong(
                "a largest step that leaves the control at least a tenth", f"{shares[-1] / 10_000:g}%"
            )

    def aims(self) -> list[Metric]:
        """The goal, or the goals."""
        return [self.goal] if self.goal is not None else self.goals or []

    def metrics(self) -> list[Metric]:
        """The goals, then the guardrails, then what is only observed."""
        return [*self.aims(), *self.guardrails, *self.observe]

    def reach(self) -> int:
        """The share (ppm) of all units that may take part: inclusion within the part of its layer."""
        return self.traffic * (self.layer_share or PPM) // PPM

    def steps(self) -> list[Step]:
        """The ramp with every default filled in."""
        ramp = self.ramp
        if ramp is None:
            ramp = [percent_ppm(share) for share in DEFAULT_RAMPS[self.kind]]
        return [
            step
            if isinstance(step, Step)
            else Step.model_construct(traffic=step, time=STEP_TIME_MS, units=STEP_UNITS)
            for step in ramp
        ]

    def spec(self) -> dict[str, Any]:
        """Everything a run keeps."""
        steps, reach = self.steps(), self.reach()
        lane = steps[-1].traffic * PPM // reach
        promote, harm = DEFAULT_ALPHA[self.kind]
        return self._population() | {
            "experiment": self.experiment,
            "route": self.route,
            "kind": self.kind,
            "control": self.control,
            "treatment": self.treatment,
            "attempt": self.attempt,
            "traffic": self.traffic,
            "alpha": {
                "promote": (self.alpha.promote or promote) / PPM,
                "harm": (self.alpha.harm or harm) / PPM,
            },
            "deadline_ms": self.deadline,
            "at_deadline": self.at_deadline,
            "lanes": [
                {"arm": self.treatment, "role": "treatment", "start": 0, "share": lane},
                {"arm": self.control, "role": "control", "start": lane, "share": PPM - lane},
            ],
            "ramp": [
                {
                    "coverage": coverage_of(step.traffic * PPM // reach, lane),
                    "traffic": step.traffic,
                    "time_ms": step.time,
                    "units": step.units,
                }
                for step in steps
            ],
            "metrics": self._metric_specs(),
            **self._traits(),
            **self.kept(),
        }

    def _metric_specs(self) -> list[dict[str, Any]]:
        roles = {"goal": self.aims(), "guardrail": self.guardrails, "observed": self.observe}
        covariate = self.covariate is not None
        return [
            metric.spec(role, covariate=covariate) for role, metrics in roles.items() for metric in metrics
        ]

    def _traits(self) -> dict[str, Any]:
        """What is read of a request beside its unit; nothing is kept of what is not declared."""
        kept: dict[str, Any] = {}
        if self.covariate is not None:
            kept["covariate"] = list(self.covariate)
        if self.segments is not None:
            kept["segments"] = {"from": list(self.segments.from_), "values": list(self.segments.values)}
        return kept

    def _population(self) -> dict[str, Any]:
        """Who may take part, and when; only what is said, so that a run of an older file stays equal to its file."""
        salt = f"audience:{self.experiment}"
        audience = [plain_values(one.compiled(salt)) for one in self.audience or ()]
        schedule = self.schedule.compiled() if self.schedule else None
        said = {
            "schedule": schedule and {"start_ms": schedule.start_ms, "end_ms": schedule.end_ms},
            "audience": audience,
            "holdouts": list(self.holdouts),
            "layer": self.layer,
            "layer_share": self.layer_share,
            "sticky": self.sticky,
        }
        return {key: value for key, value in said.items() if value}
