"""Prerequisites between routes: they must exist and may not lead back to where they began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from router.errors import Problem, nearest
from router.files import Files
from router.flag import Flag


def prerequisites(flags: Mapping[str, Flag], files: Files) -> Iterator[Problem]:
    """What is wrong with the prerequisites of these files, over all flags as they would then be."""
    for route, document in files.routes.values():
        for i, needed in enumerate(route.requires):
            parent = flags.get(needed.route)
            if parent is None:
                hint = nearest(needed.route, flags)
                yield document.problem(
                    ("requires", i, "route"), "a route that exists", repr(needed.route), hint
                )
                continue
            arms = [arm.name for arm in parent.arms]
            for j, arm in enumerate(needed.arms):
                if arm not in arms:
                    expected = f"one of the arms {', '.join(arms)} of {needed.route}"
                    yield document.problem(
                        ("requires", i, "arms", j), expected, repr(arm), nearest(arm, arms)
                    )
    for ring in rings(flags):
        pair = next((files.routes[route] for route in ring if route in files.routes), None)
        expected, found = "prerequisites that do not lead back", " -> ".join(ring)
        yield (
            pair[1].problem(("requires",), expected, found) if pair else Problem("requires", expected, found)
        )


def rings(flags: Mapping[str, Flag]) -> Iterator[tuple[str, ...]]:
    """Prerequisites that lead back to where they began, each ring once."""
    seen: set[str] = set()

    def walk(route: str, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if route in way:
            yield (*way[way.index(route) :], route)
            return
        if route in seen or route not in flags:
            return
        for needed in flags[route].requires:
            yield from walk(needed.route, (*way, route))
        seen.add(route)

    for route in sorted(flags):
        yield from walk(route, ())
