"""An experiment as people write it: what we want to learn about a treatment, and when we know.

``spec`` compiles it to plain values that a run keeps for its whole life, so that a later default or a changed file
never changes a running test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from router.bucketing import PPM
from router.conditions import Conditions, ScheduleModel
from router.errors import nearest
from router.quantity import percent_ppm, plain, points
from router.ramp import DEFAULT_RAMPS, STEP_TIME_MS, STEP_UNITS, coverage_of
from router.run import plain_values
from router.strict import Duration, Name, Percent, Strict, Whole, wrong

HOUR_MS = 3_600_000
GRACE_MS = 60_000
DEFAULT_ALPHA = {"canary": (50_000, 10_000), "ab": (50_000, 50_000)}
SHARE_KINDS = ("proportion", "rare_proportion")
VALUES = {"proportion": "any", "rare_proportion": "any", "mean": "mean", "ratio": "sum"}
# The built-in metrics: kind, direction, whether harm must exceed the margin (True) or merely be shown (False).
BUILT_IN: dict[str, tuple[str, str, bool]] = {
    "errors": ("rare_proportion", "lower", False),
    "slow": ("rare_proportion", "lower", True),
    "refused": ("rare_proportion", "lower", False),
    "latency": ("mean", "lower", True),
}

Kind = Literal["proportion", "rare_proportion", "ratio", "mean"]


class Metric(Strict):
    """A goal or a guardrail."""

    metric: Name
    kind: Kind | None = None
    better: Literal["lower", "higher"] | None = None
    mde: str | None = None
    margin: str | None = None
    tolerance: str | None = None
    window: Duration = HOUR_MS
    grace: Duration = GRACE_MS
    absent: Literal["zero", "missing"] | None = None
    value: Literal["any", "first", "last", "sum", "mean"] | None = None
    over: Duration | None = None

    @model_validator(mode="after")
    def _complete(self) -> Metric:
        built_in = BUILT_IN.get(self.metric)
        if built_in is None and (self.kind is None or self.better is None):
            hint = nearest(self.metric, BUILT_IN)
            raise wrong("kind and better for a metric that is not built in", repr(self.metric), hint)
        if built_in is not None and (
            self.kind not in (None, built_in[0]) or self.better not in (None, built_in[1])
        ):
            raise wrong(
                f"built-in {self.metric} to be {built_in[0]}, better {built_in[1]}",
                "another kind or direction",
            )
        if (self.metric == "slow") != (self.over is not None):
            raise wrong("'over' for slow, and for slow only", "none" if self.metric == "slow" else "one")
        if self.metric == "latency" and self.value not in (None, "mean"):
            raise wrong("latency to be a mean", repr(self.value))
        for quantity in ("mde", "margin", "tolerance"):
            self._difference(quantity)
        return self

    def _kind(self) -> str:
        return self.kind or BUILT_IN[self.metric][0]

    def _difference(self, quantity: str) -> float | None:
        text = getattr(self, quantity)
        if text is None:
            return None
        reader = points if self._kind() in SHARE_KINDS else plain
        try:
            value = reader(text)
        except ValueError as problem:
            raise wrong(f"{quantity}: {getattr(problem, 'expected', '')}", repr(text)) from problem
        if value <= 0 and quantity != "tolerance":
            raise wrong(f"{quantity} above 0", repr(text))
        return value

    def spec(self, role: str) -> dict[str, Any]:
        """The metric as a run keeps it."""
        kind = self._kind()
        built_in = BUILT_IN.get(self.metric)
        mde, margin, tolerance = (self._difference(name) for name in ("mde", "margin", "tolerance"))
        margin = margin if margin is not None else mde
        if tolerance is None:
            tolerance = margin if built_in is not None and built_in[2] else 0.0
        return {
            "name": self.metric,
            "role": role,
            "kind": kind,
            "better": self.better or (built_in[1] if built_in else "lower"),
            "mde": mde if mde is not None else margin,
            "margin": margin,
            "tolerance": tolerance,
            "window_ms": self.window,
            "grace_ms": self.grace,
            "absent": self.absent or ("zero" if built_in else "missing"),
            "value": self.value or VALUES[kind],
            "over_ms": self.over,
            "builtin": built_in is not None,
        }


class Step(Strict):
    """One step of a ramp."""

    traffic: Percent
    time: Duration = STEP_TIME_MS
    units: Whole = STEP_UNITS


class Alpha(Strict):
    """The error rates of promotion and of harm."""

    promote: Percent | None = None
    harm: Percent | None = None


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
    audience: Conditions | None = None
    holdouts: Annotated[list[Name], Field(max_length=5)] = []
    layer: Name | None = None
    layer_share: Percent | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Experiment:
        if self.control == self.treatment:
            raise wrong("a treatment other than the control", repr(self.treatment))
        names = [self.goal.metric, *(guardrail.metric for guardrail in self.guardrails)]
        if len(set(names)) != len(names):
            raise wrong("each metric once", ", ".join(names))
        if self.goal.mde is None:
            raise wrong("an mde for the goal", "none", "the smallest effect worth detecting, such as '2 pp'")
        for guardrail in self.guardrails:
            if guardrail.margin is None:
                raise wrong(
                    f"a margin for guardrail {guardrail.metric}", "none", "how much harm may remain unproven"
                )
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
        metrics = [self.goal.spec("goal"), *(guardrail.spec("guardrail") for guardrail in self.guardrails)]
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
        }

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
