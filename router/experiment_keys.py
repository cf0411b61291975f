"""The keys of an experiment file that say how it runs: ramp, error rates, segments, and the method of promotion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from router.errors import nearest
from router.quantity import Unreadable, error_rate_ppm, moderate
from router.ramp import STEP_TIME_MS, STEP_UNITS
from router.route import PLACES
from router.strict import Duration, Name, Percent, Strict, Whole, place, reads, wrong
from router.traits import HEAD_PLACES, OTHER
from stats.spending import DEFAULT_SPENDING, SPENDING

MOST_SEGMENTS = 20
MOST_LOOKS = 50

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


class Method(Strict):
    """How a promotion is shown, and the plan that a horizon asks for."""

    method: Literal["open_ended", "horizon", "sprt"] = "open_ended"
    max_units: Whole | None = None
    looks: Whole | None = None
    spending: str | None = None
    spending_parameter: Annotated[float, reads(moderate)] | None = None

    @model_validator(mode="after")
    def _planned(self) -> Method:
        if self.method == "horizon":
            if not self.max_units:
                found = "none" if self.max_units is None else "0"
                raise wrong("max_units above 0 for method: horizon", found, "the plan ends with them")
            if self.looks is not None and not 0 < self.looks <= MOST_LOOKS:
                raise wrong(
                    f"1 .. {MOST_LOOKS} looks", str(self.looks), "leave it out for any number of looks"
                )
        for key in ("max_units", "looks", "spending", "spending_parameter"):
            if self.method != "horizon" and getattr(self, key) is not None:
                raise wrong(f"{key!r} for method: horizon only", f"it with method: {self.method}")
        self._spent()
        return self

    def _spent(self) -> None:
        """How looks share the error rate; any number of looks spends it in one way only."""
        if self.spending is None and self.spending_parameter is None:
            return
        name, parameter = self.spending or DEFAULT_SPENDING, self.spending_parameter
        if self.looks is None:
            raise wrong("'spending' with 'looks' only", "no looks")
        if name not in SPENDING:
            raise wrong(f"spending to be one of {', '.join(SPENDING)}", repr(name), nearest(name, SPENDING))
        asked = SPENDING[name].parameter
        if asked and parameter is None:
            raise wrong(f"a spending_parameter for spending: {name}", "none", asked)
        if not asked and parameter is not None:
            raise wrong(f"no spending_parameter for spending: {name}", f"{parameter:g}")
        if name == "power" and not (parameter or 0) > 0:
            raise wrong(f"spending_parameter: {asked}", f"{parameter:g}")

    def kept(self) -> dict[str, Any]:
        """What a run keeps of it; the default leaves nothing behind."""
        if self.method == "open_ended":
            return {}
        keys = ("method", "max_units", "looks", "spending", "spending_parameter")
        plan = {key: getattr(self, key) for key in keys}
        return {key: value for key, value in plan.items() if value is not None}
