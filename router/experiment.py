"""An experiment as people write it: what we want to learn about a treatment, and when we know.

``spec`` compiles it to plain values that a run keeps for its whole life, so that a later default or a changed file
never changes a running test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from router.bucketing import PPM
from router.conditions import Conditions, ScheduleModel
from router.metric import KINDS
from router.metric_keys import Metric
from router.quantity import Unreadable, error_rate_ppm, percent_ppm
from router.ramp import DEFAULT_RAMPS, STEP_TIME_MS, STEP_UNITS, coverage_of
from router.route import PLACES
from router.run import plain_values
from router.strict import Duration, Name, Percent, Strict, Whole, place, reads, wrong
from router.traits import HEAD_PLACES, OTHER

DEFAULT_ALPHA = {"canary": (50_000, 10_000), "ab": (50_000, 50_000)}
MOST_SEGMENTS = 20

ErrorRate = Annotated[int, reads(error_rate_ppm)]


def _head_place(value: object) -> tuple[str, str]:
    """A place that stands in a request's head: reading it never waits for the body."""
    kind, found = place(value, PLACES)
    if kind not in HEAD_PLACES:
        raise Unreadable(f"one of {', '.join(f'{name}:NAME' for name in HEAD_PLACES)}", value)
    return kind, found


HeadPlace = Annotated[tuple[str, str], reads(_head_place)]


class SegmentsModel(Strict):
    """Where a unit's segment stands, and the segments that are strata of their own."""

    from_: Annotated[HeadPlace, Field(alias="from")]
    values: Annotated[list[Name], Field(min_length=1, max_length=MOST_SEGMENTS)]

    @model_validator(mode="after")
    def _once(self) -> SegmentsModel:
        if len(set(self.values)) != len(self.values) or OTHER in self.values:
            raise wrong(f"each segment once, and none named {OTHER!r}", ", ".join(self.values))
        return self


class Step(Strict):
    """One step of a ramp."""

    traffic: Percent
    time: Duration = STEP_TIME_MS
    units: Whole = STEP_UNITS


class Alpha(Strict):
    """The error rates of promotion and of harm."""

    promote: ErrorRate | None = None
    harm: ErrorRate | None = None


class Experiment(Strict):
    """An experiment file."""

    experiment: Name
    route: Name
    kind: Literal["canary", "ab"]
    control: Name
    treatment: Name
    goal: Metric
    guardrails: list[Metric] = []
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

    @model_validator(mode="after")
    def _coherent(self) -> Experiment:
        if self.control == self.treatment:
            raise wrong("a treatment other than the control", repr(self.treatment))
        names = [metric.metric for metric in self.metrics()]
        if len(set(names)) != len(names):
            raise wrong("each metric once", ", ".join(names))
        if self.goal.mde is None:
            raise wrong("an mde for the goal", "none", "the smallest effect worth detecting, such as '2 pp'")
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

    def metrics(self) -> list[Metric]:
        """The goal, then the guardrails."""
        return [self.goal, *self.guardrails]

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
        roles = ["goal", *("guardrail" for _ in self.guardrails)]
        metrics = [
            metric.spec(role, covariate=self.covariate is not None)
            for metric, role in zip(self.metrics(), roles, strict=True)
        ]
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
            "metrics": metrics,
            **self._traits(),
        }

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
        }
        return {key: value for key, value in said.items() if value}
