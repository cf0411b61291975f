"""Charts as SVG, made here: no script, no style attribute, a title and a description in each.

Colours come from the style sheet by class, so that a dark page has dark charts. Every number that is drawn also stands
in a table of the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from router.api.words import PPM, difference, interval_text, share

Point = tuple[float, float]


def tag(name: str, content: str = "", **attributes: object) -> Markup:
    """One element; attribute names lose a trailing underscore, inner ones become dashes."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{shown}>{escape(content)}</{name}>")  # noqa: S704 - every part is escaped above


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def joined(parts: Iterable[str]) -> Markup:
    """Elements side by side."""
    return Markup("").join(parts)


def svg(width: int, height: int, title: str, parts: Iterable[str], class_: str, about: str = "") -> Markup:
    """A picture with its words."""
    words = [tag("title", title), *([tag("desc", about)] if about else [])]
    return tag(
        "svg",
        joined([*words, *parts]),
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_=class_,
        aria_label=title,
    )


# ---- one metric's interval, on the axis that all metrics share -------------------------------------------------------

STRIP = (240, 34)
STRIP_REACH = 2.2  # margins to each side of zero


def strip(row: Mapping[str, Any], name: str) -> Markup:
    """The interval in margins: zero in the middle, harm to the right, the margin as a line."""
    width, height = STRIP
    middle = height / 2

    def x(margins: float) -> float:
        return width / 2 + max(-STRIP_REACH, min(STRIP_REACH, margins)) / STRIP_REACH * (width / 2 - 6)

    parts = [
        tag("rect", x=x(1), y=2, width=width - 2 - x(1), height=height - 4, class_="harm-zone"),
        tag("line", x1=x(0), y1=2, x2=x(0), y2=height - 2, class_="zero"),
        tag("line", x1=x(1), y1=2, x2=x(1), y2=height - 2, class_="margin"),
    ]
    sign = 1 if row["better"] == "lower" else -1
    if row["estimate"] is None:
        text = f"{name}: no value yet"
        parts.append(tag("text", "no value yet", x=10, y=middle + 4, class_="label"))
        return svg(width, height, text, parts, "strip")
    margin = row["margin"]
    text = f"{name}: difference {difference(row, row['estimate'])}, interval {interval_text(row, row['interval'])}"
    tone = {"harmful": "bad", "superior": "good", "non_inferior": "good"}.get(row["state"], "open")
    if row["interval"]:
        low, high = sorted(edge * sign / margin for edge in row["interval"])
        parts.append(tag("line", x1=x(low), y1=middle, x2=x(high), y2=middle, class_=f"whisker {tone}"))
        parts += [_edge(x(edge), middle, edge, tone) for edge in (low, high)]
    parts.append(tag("circle", cx=x(row["estimate"] * sign / margin), cy=middle, r=5, class_=f"dot {tone}"))
    return svg(width, height, f"{text}, margin {difference(row, margin).lstrip('+')}", parts, "strip")


def _edge(x: float, y: float, margins: float, tone: str) -> Markup:
    """An end of the whisker; an arrow where the axis ends before it does."""
    if abs(margins) <= STRIP_REACH:
        return tag("line", x1=x, y1=y - 6, x2=x, y2=y + 6, class_=f"whisker {tone}")
    out = math.copysign(6, margins)
    return tag("path", d=f"M{x:.1f} {y - 6} L{x + out:.1f} {y} L{x:.1f} {y + 6}", class_=f"arrow {tone}")


# ---- who gets what: the lanes over all buckets ------------------------------------------------------------------------


def lanes(rows: Sequence[Mapping[str, Any]], coverage: int) -> Markup:
    """All buckets as one bar: each lane, and how far it is filled."""
    width, height = 1000, 46
    parts, words = [], []
    for row in rows:
        x, w = (row[field] * width / PPM for field in ("start", "share"))
        filled = row["share"] * coverage // PPM
        parts.append(tag("rect", x=x + 1, y=6, width=w - 2, height=34, rx=4, class_=f"lane {row['role']}"))
        parts.append(
            tag(
                "rect",
                x=x + 1,
                y=6,
                width=max(0.0, filled * width / PPM - 2),
                height=34,
                rx=4,
                class_=f"filled {row['role']}",
            )
        )
        words.append(f"{row['arm']}: {share(filled)} of a lane of {share(row['share'])}")
    return svg(width, height, "Enrolled: " + "; ".join(words), parts, "lanes")


def bar(fraction: float | None, title: str) -> Markup:
    """A share as a bar."""
    parts = [tag("rect", x=0, y=0, width=100, height=8, rx=4, class_="bar-all")]
    if fraction:
        parts.append(tag("rect", x=0, y=0, width=max(2.0, 100 * fraction), height=8, rx=4, class_="bar-part"))
    return svg(100, 8, title, parts, "bar")


def points(places: Iterable[Point]) -> str:
    """A course of places, as SVG writes it."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def sparkline(run: Mapping[str, Any]) -> Markup:
    """The goal's estimate over time, small."""
    looks: list[float] = [look[1] for look in run["looks"] if look[1] is not None]
    name = run["experiment"]
    if len(looks) < 2:
        return svg(
            120,
            28,
            f"{name}: no course yet",
            [tag("line", x1=2, y1=14, x2=118, y2=14, class_="zero")],
            "spark",
        )
    low, high = min(0.0, *looks), max(0.0, *looks)
    span = (high - low) or 1.0

    def y(effect: float) -> float:
        return 25 - 22 * (effect - low) / span

    course = [(2 + 116 * i / (len(looks) - 1), y(effect)) for i, effect in enumerate(looks)]
    parts = [
        tag("line", x1=2, y1=y(0.0), x2=118, y2=y(0.0), class_="zero"),
        tag("polyline", points=points(course), class_="curve"),
        tag("circle", cx=course[-1][0], cy=course[-1][1], r=2.5, class_="now"),
    ]
    return svg(120, 28, f"{name}: course of the goal's difference", parts, "spark")


def scan(pixels: Sequence[int], title: str) -> Markup:
    """A scan of 8 × 8 pixels, 0 white to 16 black."""
    parts = [
        tag(
            "rect", x=i % 8, y=i // 8, width=1.02, height=1.02, class_="ink", fill_opacity=min(16, pixel) / 16
        )
        for i, pixel in enumerate(pixels)
        if pixel > 0
    ]
    paper = tag("rect", x=0, y=0, width=8, height=8, class_="paper")
    return svg(8, 8, title, [paper, *parts], "scan")
