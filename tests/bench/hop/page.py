"""The table, on a terminal and in the gateway's README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.bench.hop.proxies import ROOT
from tests.bench.hop.rows import ROWS, Line

README = ROOT / "router" / "gateway" / "README.md"
BEGIN = "<!-- written by ./run bench gateway --write: begin -->"
END = "<!-- written by ./run bench gateway --write: end -->"

Kept = Mapping[str, Any]


def shown(value: float | str | None, unit: str) -> str:
    """A value with its unit; nothing for none."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{digits(value, unit)} {unit}"


def digits(value: float, unit: str) -> str:
    """As many as tell something."""
    return f"{value:.{0 if unit == '%' else 3 if unit == '×' and abs(value) < 0.1 else 2}f}"


def bound(value: float | str | None, unit: str) -> str:
    """A bar or an aim."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"≤ {value:g} {unit}"


def measured(line: Line, figure: Kept) -> str:
    """The value and its range; a dash where there is none."""
    value = figure["value"]
    if value is None:
        return "–"
    text = shown(value, line.unit)
    if figure["low"] is not None:
        text += f" ({digits(figure['low'], line.unit)} to {digits(figure['high'], line.unit)})"
    return text


def verdict(line: Line, figure: Kept) -> str:
    """Whether the bar is met; nothing where it is no number, or there is no value."""
    if figure["value"] is None or not isinstance(line.bar, float):
        return ""
    return "yes" if figure["value"] <= line.bar else "no"


def cells(kept: Kept) -> Iterable[tuple[str, ...]]:
    """Each line of the rows that were measured."""
    for row in ROWS:
        for line, figure in zip(row.lines, kept.get(row.name, {}).get("figures", ()), strict=False):
            yield (
                line.what,
                measured(line, figure),
                bound(line.bar, line.unit),
                bound(line.aim, line.unit),
                verdict(line, figure),
                figure["rounds"],
                figure["note"],
            )


HEADS = ("what", "measured", "bar", "aim", "met", "rounds", "costs")


def for_terminal(kept: Kept) -> str:
    """As a table of aligned columns."""
    table = [HEADS, *cells(kept)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def for_readme(kept: Kept) -> str:
    """As Markdown, with where and when it was measured."""
    lines = [" | ".join(row) for row in (HEADS, ["---"] * len(HEADS), *cells(kept))]
    table = "\n".join(f"| {line} |" for line in lines)
    places: dict[str, list[str]] = {}
    for row in ROWS:
        if row.name in kept:
            places.setdefault(kept[row.name]["where"], []).append(f"`{row.name}`")
    measured_on = "\n".join(f"* {', '.join(names)}: {where}" for where, names in places.items())
    return f"{table}\n\n{measured_on}"


def write(kept: Kept) -> None:
    """Replace the part of the README between its marks."""
    before, begin, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{README} has lost its marks"
    README.write_text(f"{before}{BEGIN}\n{for_readme(kept)}\n{END}{after}")
