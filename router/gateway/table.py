"""Which route takes a path: one look per segment of the path, however many routes there are.

A table is never changed; a changed one shares everything that did not change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.gateway.snapshot import CompiledRoute, RoutedHead

Cell = tuple["CompiledRoute", ...]


class Table:
    """Routes by their path prefix, the most header fields first; equals by name, so that every worker decides alike."""

    __slots__ = ("_cells", "_deepest")

    def __init__(self, cells: dict[bytes, Cell] | None = None, deepest: int = 0) -> None:
        self._cells = cells or {}
        self._deepest = deepest  # slashes in the longest prefix there is, or was: no path is looked up deeper

    def __bool__(self) -> bool:
        return bool(self._cells)

    def find(self, head: RoutedHead) -> CompiledRoute | None:
        """The route with the longest prefix that takes a request."""
        path, cells = head.path, self._cells
        end = len(path)
        if path.count(b"/") > self._deepest:
            end = -1
            for _ in range(self._deepest + 1):
                end = path.index(b"/", end + 1)
        while end >= 0:
            for route in cells.get(path[:end], ()):
                if route.takes(head):
                    return route
            end = path.rfind(b"/", 0, end)
        return None

    def changed(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> Table:
        """A table with these routes, and without those."""
        cells, deepest = self._cells.copy(), self._deepest
        for route in old:
            left = tuple(one for one in cells[route.prefix] if one is not route)
            if left:
                cells[route.prefix] = left
            else:
                del cells[route.prefix]
        for route in new:
            cell = (*cells.get(route.prefix, ()), route)
            cells[route.prefix] = tuple(sorted(cell, key=_rank)) if len(cell) > 1 else cell
            deepest = max(deepest, route.prefix.count(b"/"))
        return Table(cells, deepest)


def _rank(route: CompiledRoute) -> tuple[int, str]:
    return -len(route.headers), route.flag.route
