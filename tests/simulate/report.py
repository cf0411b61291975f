"""Results as tables and pictures in ``stats/README.md`` and ``stats/pictures``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.simulate import methods, pictures
from tests.simulate.peers import given, shown
from tests.simulate.results import Result, Row

STATS = Path(__file__).parent.parent.parent / "stats"
BEGIN = "<!-- written by ./run simulate: begin -->"
END = "<!-- written by ./run simulate: end -->"
METHODS_BEGIN = "<!-- methods, written by ./run simulate: begin -->"
METHODS_END = "<!-- methods, written by ./run simulate: end -->"


def table(result: Result) -> str:
    """A study as a section of the README."""
    wide = any(row.column for row in result.rows)
    body = _wide(result.rows) if wide else _long(result.rows)
    cost = f"{result.reps:,} runs (seed {result.seed}, {result.seconds:.0f} s of one core)."
    return f"### {result.title}\n\n{result.about} {cost}\n\n{body}\n"


def _long(rows: Sequence[Row]) -> str:
    lines = ["| what | measured | promised | others |", "|---|---|---|---|"]
    for row in rows:
        limit = "" if row.promised is None else f"{'≥' if row.side == 'least' else '≤'} {given(row.promised)}"
        measured = f"{shown(row.measured)} ± {shown(row.error)}"
        lines.append(f"| {row.what} | {_marked(measured, [row])} | {limit} | {row.peers} |")
    return "\n".join(lines)


def _marked(text: str, rows: Iterable[Row]) -> str:
    return f"**{text}, missed**" if any(row.missed for row in rows) else text


def _wide(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(row.column for row in rows))
    promises = {
        c: sorted({r.promised for r in rows if r.column == c and r.promised}, reverse=True) for c in columns
    }
    heads = [f"{c} (≤ {' / '.join(given(p) for p in promises[c])})" for c in columns]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(columns)]
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.what, row.column), []).append(row)
    for what in dict.fromkeys(row.what for row in rows):
        found = [cells.get((what, column), []) for column in columns]
        texts = [_marked(" / ".join(shown(row.measured) for row in cell), cell) for cell in found]
        lines.append(f"| {what} | {' | '.join(texts)} |")
    return "\n".join([*_worst(rows, columns), "", _errors(rows), "", *_folded(lines)])


def _worst(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """The worst world of each column, at each promise."""
    lines = ["| | promised | worst measured | in | worlds |", "|---|---|---|---|---|"]
    for column in columns:
        own = [row for row in rows if row.column == column]
        for promise in sorted({row.promised for row in own if row.promised is not None}, reverse=True):
            of = [row for row in own if row.promised == promise]
            worst = max(of, key=lambda row: row.measured)
            measured = _marked(f"{shown(worst.measured)} ± {shown(worst.error)}", of)
            lines.append(f"| {column} | ≤ {given(promise)} | {measured} | {worst.what} | {len(of)} |")
    return lines


def _errors(rows: Sequence[Row]) -> str:
    """The Monte-Carlo errors of a wide table, which has no room for each."""
    parts = []
    for promise in sorted({row.promised for row in rows if row.promised is not None}, reverse=True):
        errors = [row.error for row in rows if row.promised == promise]
        low, high = shown(min(errors)), shown(max(errors))
        parts.append(f"{low if low == high else f'{low} to {high}'} at {given(promise)}")
    return f"Monte-Carlo standard errors, at least that of the promise itself: {'; '.join(parts)}."


def _folded(lines: Sequence[str]) -> list[str]:
    return ["<details><summary>Every world</summary>", "", *lines, "", "</details>"]


def sections(results: Sequence[Result], drawn: Mapping[str, Mapping[str, str]]) -> str:
    """What stands between the markers."""
    parts = []
    for result in results:
        parts.append(table(result))
        for name, svg in drawn[result.name].items():
            title = svg.partition("<title>")[2].partition("</title>")[0]
            parts.append(f"![{title}](pictures/{name}.svg)\n")
    return f"{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}"


def write(results: Sequence[Result]) -> None:
    """Replace the part of the README between its markers, and the pictures."""
    folder = STATS / "pictures"
    folder.mkdir(exist_ok=True)
    drawn = pictures.draw(results)
    for pictures_of_one in drawn.values():
        for name, svg in pictures_of_one.items():
            (folder / f"{name}.svg").write_text(svg + "\n")
    path = STATS / "README.md"
    text = _between(path.read_text(), METHODS_BEGIN, METHODS_END, table_of_methods(results))
    path.write_text(_between(text, BEGIN, END, sections(results, drawn)))


def table_of_methods(results: Sequence[Result]) -> str:
    """What stands between the other two markers."""
    return f"{METHODS_BEGIN}\n\n{methods.table(results)}\n\n{METHODS_END}"


def _between(text: str, begin: str, end: str, body: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + body + after if rest else f"{text.rstrip()}\n\n{body}\n"
