"""Charts as SVG text that stands alone: light and dark, with a title and a description in each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from router.api.charts import Point, points, tag
from tests.simulate.peers import given, shown
from tests.simulate.results import Row

WIDTH, LEFT, RIGHT, LINE = 800, 340, 60, 26
STYLE = """
svg { background: #fff; font: 13px system-ui, sans-serif; }
text { fill: #1d2733; } .small { font-size: 12px; fill: #52606d; } .title { font-size: 16px; font-weight: 600; }
.ours { fill: #1664c0; stroke: #1664c0; } .others { fill: #9aa5b1; stroke: #9aa5b1; }
.limit { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 5 4; } .axis { stroke: #cbd2d9; }
.error { stroke: #1d2733; stroke-width: 1.5; } .over { paint-order: stroke; stroke: #fff; stroke-width: 5px; } polyline { fill: none !important; stroke-width: 2.5; }
@media (prefers-color-scheme: dark) {
  svg { background: #12181f; } text { fill: #e4e7eb; } .small { fill: #9fb3c8; } .axis { stroke: #3e4c59; }
  .ours { fill: #62a8f7; stroke: #62a8f7; } .others { fill: #7b8794; stroke: #7b8794; }
  .limit { stroke: #ff8a80; } .error { stroke: #e4e7eb; } .over { stroke: #12181f; }
}
"""


def picture(height: int, title: str, about: str, parts: Sequence[str]) -> str:
    """A whole file."""
    head = [
        tag("title", title),
        tag("desc", about),
        f"<style>{STYLE}</style>",
        tag("text", title, x=16, y=26, class_="title"),
        tag("text", about, x=16, y=46, class_="small"),
    ]
    body = "".join([*map(str, head), *map(str, parts)])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{body}</svg>'


Bar = tuple[str, float, float, bool]  # label, value, error, ours
LINES = "a line reaches 3 standard errors back"
TOPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # where an axis may end, in powers of ten


def bars(title: str, about: str, rows: Sequence[Bar], limit: tuple[float, str] | None = None) -> str:
    """A horizontal bar for each row, with its error; the promise as a line."""
    most = max([value + 2 * error for _, value, error, _ in rows] + ([limit[0]] if limit else [])) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    parts: list[str] = []
    numbers: list[str] = []
    for i, (label, value, error, ours) in enumerate(rows):
        y = 66 + LINE * i
        length = max(1.0, value * scale)
        parts += [
            tag("text", label, x=LEFT - 10, y=y + 14, text_anchor="end"),
            tag(
                "rect",
                x=LEFT,
                y=y + 2,
                width=length,
                height=LINE - 9,
                rx=2,
                class_="ours" if ours else "others",
            ),
        ]
        number, end = shown(value) if error else given(value), LEFT + (value + 2 * error) * scale
        numbers.append(tag("text", number, x=end + 6, y=y + 14, class_="small over"))
        if error:
            ends = [LEFT + max(0.0, value + sign * 2 * error) * scale for sign in (-1, 1)]
            parts.append(tag("line", x1=ends[0], x2=ends[1], y1=y + 10, y2=y + 10, class_="error"))
    bottom = 66 + LINE * len(rows)
    if limit:
        x = LEFT + limit[0] * scale
        parts += [
            tag("line", x1=x, x2=x, y1=60, y2=bottom + 4, class_="limit"),
            tag("text", limit[1], x=min(x, WIDTH - 90), y=bottom + 20, text_anchor="middle", class_="small"),
        ]
    return picture(bottom + 34, title, about, [*parts, *numbers])


def _dot(value: float, error: float, y: float, scale: float) -> list[str]:
    """A dot; one beyond the promise shows how far luck reaches."""
    x = LEFT + value * scale
    dot = tag("circle", cx=x, cy=y, r=4, fill_opacity=0.4, class_="ours")
    if value <= 1:
        return [dot]
    reach = 3 * error * scale
    return [tag("line", x1=max(LEFT, x - reach), x2=x, y1=y, y2=y, class_="error"), dot]


def strips(title: str, about: str, rows: Mapping[str, Sequence[Row]]) -> str:
    """A dot for each world, at its rate over what was promised; 1 is the promise. A line is three standard errors."""
    most = max(row.measured / row.promised for found in rows.values() for row in found if row.promised)
    about, most = f"{about}; {LINES}" if most > 1 else about, max(1.2, most)
    scale = (WIDTH - LEFT - RIGHT) / most
    parts: list[str] = []
    for i, (label, found) in enumerate(rows.items()):
        y = 66 + LINE * i
        parts += [
            tag("text", label, x=LEFT - 10, y=y + 14, text_anchor="end"),
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y + 10, y2=y + 10, class_="axis"),
        ]
        for row in found:
            if row.promised:
                parts += _dot(row.measured / row.promised, row.error / row.promised, y + 10, scale)
    bottom, x = 66 + LINE * len(rows), LEFT + scale
    parts += [
        tag("line", x1=x, x2=x, y1=60, y2=bottom + 4, class_="limit"),
        tag("text", "promised", x=x, y=bottom + 20, text_anchor="middle", class_="small"),
        tag("text", "never", x=LEFT, y=bottom + 20, text_anchor="middle", class_="small"),
    ]
    return picture(bottom + 34, title, about, parts)


def _top(value: float) -> float:
    """The next round number, for the end of an axis."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(top * power for top in TOPS if top * power >= value)


def curves(
    title: str,
    about: str,
    lines: Mapping[str, tuple[Sequence[Sequence[float]], bool]],
    across: str,
    limit: tuple[float, str],
) -> str:
    """Courses over units; each is named at its end."""
    left, top, bottom, right = 70, 66, 300, WIDTH - 250
    places = [point for course, _ in lines.values() for point in course]
    most_x = max(x for x, _ in places)
    ys = [y for _, y in places] + [limit[0]]
    low, high = (0.0, _top(max(ys))) if min(ys) < 0.4 else (math.floor(min(ys) * 10) / 10, 1.0)

    def at(x: float, y: float) -> Point:
        return left + x / most_x * (right - left), bottom - (y - low) / ((high - low) or 1.0) * (bottom - top)

    parts: list[str] = [tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")]
    for y in (low, (low + high) / 2, high):
        parts.append(
            tag("text", f"{y * 100:.3g} %", x=left - 8, y=at(0, y)[1] + 4, text_anchor="end", class_="small")
        )
    for x, anchor in ((most_x / 2, "middle"), (most_x, "end")):
        parts.append(
            tag("text", f"{x:,.0f}", x=at(x, low)[0], y=bottom + 16, text_anchor=anchor, class_="small")
        )
    parts.append(tag("text", across, x=left, y=bottom + 36, class_="small"))
    y = at(0, limit[0])[1]
    parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="limit"))
    names = [(at(*course[-1])[1], name) for name, (course, _) in lines.items()] + [(y, limit[1])]
    for course, ours in lines.values():
        parts.append(
            tag("polyline", points=points(at(*p) for p in course), class_="ours" if ours else "others")
        )
    used = -100.0
    for height, name in sorted(names):
        used = max(height, used + 16)
        parts.append(tag("text", name, x=right + 8, y=used + 4, class_="small"))
    return picture(bottom + 48, title, about, parts)
