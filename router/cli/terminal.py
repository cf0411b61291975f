"""Lines that fit a terminal. What goes to a file or a pipe stays whole, so that it can be searched line by line."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from functools import cache

HANGING = 4
GAP = "  "  # between the columns of a table
# No line ends between a number and its unit, in "of 1,168", or between a date and its time.
JOINED = re.compile(
    r"(?<=\d) (?=(?:pp|%|h|d|min|s|ms)(?:[\s,;:.)\]]|$))|(?<=[%\d] of) (?=\d)|(?<=\d-\d\d) (?=\d\d:\d\d)"
)
GLUE = "\N{NO-BREAK SPACE}"


def width() -> int | None:
    """Columns of the terminal that answers go to; None where they go elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, columns: int, hanging: str = "") -> list[str]:
    """A text in lines; a word that is longer than a line stands whole in one of its own."""
    lines = textwrap.wrap(
        JOINED.sub(GLUE, text),
        max(1, columns),
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(GLUE, " ") for line in lines] or [""]


def folded(text: str, columns: int | None = None) -> str:
    """Each line of a text in as many as it takes, further in than it began; by default for the terminal there is."""
    columns = columns or width()
    if columns is None:
        return text
    lines = []
    for line in text.splitlines():
        hanging = " " * (len(line) - len(line.lstrip()) + HANGING)
        lines += [line] if len(line) <= columns else wrapped(line, columns, hanging)
    return "\n".join(lines)


def fitted(cells: Sequence[Sequence[str]], columns: int | None = None) -> list[list[str]]:
    """The rows of a table, wrapped inside their cells where they are too wide; by default for the terminal there is.

    What must give is taken where it makes fewest lines, and no word is broken. A row goes on in the next one.
    """
    columns = columns or width()
    by_column = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in by_column]
    if columns is None:
        return [list(row) for row in cells]
    least = [max(len(word) for cell in column for word in wrapped(cell, 1)) for column in by_column]
    room = columns - len(GAP) * (len(widths) - 1)
    widths = [min(now, max(low, room - sum(least) + low)) for now, low in zip(widths, least, strict=True)]
    lines = cache(wrapped)

    def height(narrowed: int) -> int:
        rooms = [now - (i == narrowed) for i, now in enumerate(widths)]
        return sum(max(len(lines(cell, w)) for cell, w in zip(row, rooms, strict=True)) for row in cells)

    while sum(widths) > room and widths != least:
        widths[min((i for i in range(len(widths)) if widths[i] > least[i]), key=height)] -= 1
    rows = []
    for row in cells:
        parts = [lines(cell, w) for cell, w in zip(row, widths, strict=True)]
        rows += [[part[i] if i < len(part) else "" for part in parts] for i in range(max(map(len, parts)))]
    return rows
