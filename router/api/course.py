"""The chart of a verdict page: the goal's estimate and interval at each look, over the life of the run.

Scaled to the last four fifths of the looks: the first ones know so little that they would flatten all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from router.api.charts import joined, points, svg, tag
from router.api.words import PPM, difference, interval_text, scale_of, share

WIDE, HIGH = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 26, 36
LABEL_ROOM = 44


class Frame:
    """Scales of a chart: seconds to x, effects to y."""

    def __init__(self, seconds: float, low: float, high: float) -> None:
        self.seconds, self.low, self.high = seconds or 1.0, low, high

    def x(self, seconds: float) -> float:
        """Where a time stands."""
        return LEFT + (WIDE - LEFT - RIGHT) * max(0.0, min(1.0, seconds / self.seconds))

    def y(self, effect: float) -> float:
        """Where an effect stands; outside it is clipped at the edge."""
        inside = (max(self.low, min(self.high, effect)) - self.low) / (self.high - self.low)
        return HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * inside


def over_time(run: Mapping[str, Any], goal: Mapping[str, Any]) -> Markup:
    """Estimate and interval of the goal at each look, with zero, margin, steps and the decision."""
    looks = [look for look in run["looks"] if look[1] is not None]
    title = f"{goal['name']}: difference {run['treatment']} − {run['control']} over time, with its interval"
    if len(looks) < 2:
        parts = [tag("text", "drawn from the second look on", x=WIDE / 2, y=HIGH / 2, class_="label mid")]
        return svg(WIDE, HIGH, title, parts, "over-time")
    begun = run["started"]
    end = max(looks[-1][0], run.get("ended") or 0)
    sign = 1 if goal["better"] == "lower" else -1
    frame = Frame((end - begun) / 1000, *_reach(looks, goal["margin"] * sign))
    parts = [
        *_y_axis(frame, scale_of(goal)),
        *_x_axis(frame),
        *_marks(frame, run),
        _level_line(frame, 0.0, "zero", "no difference"),
        _level_line(frame, goal["margin"] * sign, "margin", "margin"),
        *_curves(frame, looks, begun),
    ]
    last = looks[-1]
    edges = [last[2], last[3]] if last[2] is not None else None
    about = f"Last look: {difference(goal, last[1])}, interval {interval_text(goal, edges)}."
    return svg(WIDE, HIGH, title, parts, "over-time", about)


def _reach(looks: Sequence[Sequence[Any]], margin: float) -> tuple[float, float]:
    """The effects that fit: the last four fifths of the looks, zero and the margin; early wide ones are clipped."""
    late = looks[len(looks) // 5 :]
    shown = [edge for look in late for edge in look[1:4] if edge is not None] + [0.0, margin, -margin / 2]
    low, high = min(shown), max(shown)
    room = (high - low) * 0.06 or 0.01
    return low - room, high + room


def _ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers between low and high."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step: float = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _y_axis(frame: Frame, scale: str) -> Iterable[Markup]:
    for effect in _ticks(frame.low, frame.high, 5):
        y = frame.y(effect)
        text = f"{effect * 100:+g} {scale}" if scale else f"{effect:+g}"
        yield tag("line", x1=LEFT, y1=y, x2=WIDE - RIGHT, y2=y, class_="grid")
        yield tag("text", text.replace("-", "−") if effect else "0", x=LEFT - 8, y=y + 4, class_="label end")


def _x_axis(frame: Frame) -> Iterable[Markup]:
    unit, size = next(
        (row for row in (("d", 86_400), ("h", 3600), ("min", 60)) if frame.seconds >= 3 * row[1]), ("s", 1)
    )
    for value in _ticks(0, frame.seconds / size, 8):
        x = frame.x(value * size)
        yield tag("text", f"{value:g} {unit}", x=x, y=HIGH - BOTTOM + 20, class_="label mid")
        yield tag("line", x1=x, y1=HIGH - BOTTOM, x2=x, y2=HIGH - BOTTOM + 4, class_="axis")
    yield tag("line", x1=LEFT, y1=HIGH - BOTTOM, x2=WIDE - RIGHT, y2=HIGH - BOTTOM, class_="axis")


def _level_line(frame: Frame, effect: float, class_: str, text: str) -> Markup:
    y = frame.y(effect)
    line = tag("line", x1=LEFT, y1=y, x2=WIDE - RIGHT, y2=y, class_=class_)
    return joined([line, tag("text", text, x=WIDE - RIGHT - 4, y=y - 5, class_=f"label end {class_}-word")])


def _marks(frame: Frame, run: Mapping[str, Any]) -> Iterable[Markup]:
    """A vertical line for each step of the ramp, and for the end."""
    lane = next(lane["share"] for lane in run["spec"]["lanes"] if lane["role"] == "treatment")
    inclusion = run["spec"].get("traffic", PPM)
    labelled = float("-inf")
    for time, _, coverage in run["coverage"]:
        if coverage > 0:
            text = share(round(lane * coverage * inclusion / PPM / PPM, -2))
            seconds = (time - run["started"]) / 1000
            crowded = frame.x(seconds) - labelled < LABEL_ROOM
            labelled = labelled if crowded else frame.x(seconds)
            yield _mark(frame, seconds, "" if crowded else text, "step-mark")
    if run.get("ended"):
        word = str(run["state"]).replace("_", " ")
        yield _mark(frame, (run["ended"] - run["started"]) / 1000, word, "end-mark", end=True)


def _mark(frame: Frame, seconds: float, text: str, class_: str, *, end: bool = False) -> Markup:
    x = frame.x(seconds)
    line = tag("line", x1=x, y1=TOP, x2=x, y2=HIGH - BOTTOM, class_=class_)
    side = "end" if end else ""
    return joined(
        [line, tag("text", text, x=x - 4 if end else x + 4, y=TOP - 8, class_=f"label {side} {class_}-word")]
    )


def _curves(frame: Frame, looks: Sequence[Sequence[Any]], begun: int) -> Iterable[Markup]:
    xs = [frame.x((look[0] - begun) / 1000) for look in looks]
    banded = [(x, look) for x, look in zip(xs, looks, strict=True) if look[2] is not None]
    if len(banded) > 1:
        over = [(x, frame.y(look[3])) for x, look in banded]
        under = [(x, frame.y(look[2])) for x, look in reversed(banded)]
        yield tag("polygon", points=points([*over, *under]), class_="band")
        for edge in (over, under):
            yield tag("polyline", points=points(edge), class_="band-edge")
    if banded:
        x, last = banded[-1]
        yield tag("line", x1=x, y1=frame.y(last[2]), x2=x, y2=frame.y(last[3]), class_="reach")
    yield tag(
        "polyline",
        points=points([(x, frame.y(look[1])) for x, look in zip(xs, looks, strict=True)]),
        class_="curve",
    )
    yield tag("circle", cx=xs[-1], cy=frame.y(looks[-1][1]), r=4.5, class_="now")
