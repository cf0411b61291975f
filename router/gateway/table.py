"""Which route takes a path: one look per segment of the path, however many routes there are.

A table is never changed; a changed one shares everything that did not change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from router.gateway.head import Head
from router.gateway.parts import BITS, LAST, Parts

if TYPE_CHECKING:
    from router.gateway.snapshot import CompiledRoute

Cell = tuple["CompiledRoute", ...]
PATHS_MOST: Final = 1024  # paths of models are few
PATH_OCTETS: Final = 256


class Table:
    """Routes by their path prefix, the most header fields first; equals by name, so that every worker decides alike."""

    __slots__ = ("_by_path", "_cells", "_deepest", "_found")

    def __init__(
        self, cells: Parts[bytes, Cell] | None = None, deepest: int = 0, *, by_path: bool = True
    ) -> None:
        self._cells: Parts[bytes, Cell] = cells if cells is not None else Parts.empty()
        self._deepest = deepest  # slashes in the longest prefix there is, or was: no path is looked up deeper
        self._by_path = by_path  # no route asks, or has asked, for more than a path
        self._found: dict[bytes, CompiledRoute | None] = {}

    def __bool__(self) -> bool:
        return len(self._cells) > 0

    def find(self, head: Head) -> CompiledRoute | None:
        """The route with the longest prefix that takes a request; what a path alone decides is remembered."""
        path, found = head.path, self._found
        if path in found:
            return found[path]
        route = self._find(head)
        if self._by_path and len(path) <= PATH_OCTETS:
            if len(found) >= PATHS_MOST:
                found.clear()
            found[path] = route
        return route

    def _find(self, head: Head) -> CompiledRoute | None:
        path, groups = head.path, self._cells.groups
        end = len(path)
        if path.count(b"/") > self._deepest:
            end = -1
            for _ in range(self._deepest + 1):
                end = path.index(b"/", end + 1)
        while end >= 0:
            prefix = path[:end]
            number = hash(prefix)
            for route in groups[number & LAST][number >> BITS & LAST].get(prefix, ()):
                if not route.headers or route.asks_for(head):
                    return route
            end = path.rfind(b"/", 0, end)
        return None

    def changed(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> Table:
        """A table with these routes, and without those."""
        cells: dict[bytes, Cell] = {}
        deepest, by_path = self._deepest, self._by_path
        for route in old:
            cell = self._cell(cells, route.prefix)
            cells[route.prefix] = tuple(one for one in cell if one is not route)
        for route in new:
            cell = (*self._cell(cells, route.prefix), route)
            cells[route.prefix] = tuple(sorted(cell, key=_rank)) if len(cell) > 1 else cell
            deepest = max(deepest, route.prefix.count(b"/"))
            by_path = by_path and not route.headers
        changes = {prefix: cell or None for prefix, cell in cells.items()}
        return Table(self._cells.changed(changes), deepest, by_path=by_path)

    def _cell(self, changed: dict[bytes, Cell], prefix: bytes) -> Cell:
        return changed[prefix] if prefix in changed else self._cells.get(prefix, ())


def _rank(route: CompiledRoute) -> tuple[int, str]:
    return -len(route.headers), route.flag.route
