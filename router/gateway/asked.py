"""What a flag may ask about a request: attributes, a forced arm, the arm of another route. Read when asked, not before.

A place in the body that is not held yet answers as absent and notes that the body is wanted: the answer is thrown away
and asked again with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from router.assignment import DEEPEST, given
from router.forcing import Forcing
from router.gateway.counters import Row
from router.gateway.head import Head
from router.gateway.identify import NeedsBody, cookie_reader, may_hold
from router.gateway.shape import REQUEST_SHAPES
from router.rules import Values

if TYPE_CHECKING:
    from router.gateway.snapshot import CompiledRoute

FORCE_FIELD = b"pointsman-force"
FORCE_COOKIE = b"pm_force="
read_force_cookie = cookie_reader(FORCE_COOKIE[:-1])


class RequestFacts:
    """One request, as the flag of one route may ask about it."""

    __slots__ = (
        "_body",
        "_depth",
        "_force",
        "_head",
        "_limit",
        "_request",
        "_route",
        "_routes",
        "needs_body",
    )

    def __init__(
        self,
        route: CompiledRoute,
        routes: Mapping[str, CompiledRoute],
        head: Head,
        body: bytes | None,
        request: int,
        limit: int,
        *,
        force: str | None = None,
        depth: int = 0,
    ) -> None:
        self.needs_body = False
        self._route = route
        self._routes = routes
        self._head = head
        self._body = body
        self._request = request
        self._limit = limit
        self._force = force
        self._depth = depth

    def attribute(self, name: str) -> Values:
        """The values of a declared attribute; None when the request has none."""
        reader = self._route.attributes[name]
        if reader.of_head is not None:
            return reader.of_head(self._head)
        if self._body is None:
            self.needs_body = self.needs_body or may_hold(self._head, self._limit)
            return None
        return reader.of_body(self._body) if reader.of_body is not None and self._body else None

    def forced(self) -> str | None:
        """The arm that a trusted caller asks for."""
        return self._force

    def arm_of(self, route: str) -> str | None:
        """The arm another route's flag gives this request, asked with its own unit and its own attributes."""
        other = self._routes.get(route)
        if other is None or self._depth >= DEEPEST:
            return None
        unit = None
        if other.compiled.needs_unit:
            found = other.identify.find(self._head, self._body, self._request, self._limit)
            if isinstance(found, NeedsBody):
                self.needs_body = True
                return None
            unit = found
        deeper = RequestFacts(
            other, self._routes, self._head, self._body, self._request, self._limit, depth=self._depth + 1
        )
        arm = given(other.compiled, unit, deeper)
        self.needs_body = self.needs_body or deeper.needs_body
        return arm


class ForcedArms:
    """Reads forced arms, and counts who asked for one: taken, or refused because nobody who may had signed it."""

    __slots__ = ("_clock", "_forcing", "_refused", "_taken")

    def __init__(self, forcing: Forcing, row: Row, clock: Callable[[], int]) -> None:
        self._forcing = forcing
        self._clock = clock
        self._taken = row.tally("pointsman_forced_requests", result="taken")
        self._refused = row.tally("pointsman_forced_requests", result="refused")

    def arm(self, route: CompiledRoute, head: Head, *, again: bool = False) -> str | None:
        """The arm of this route that a trusted caller forces; what asks for one goes no further.

        Args:
            route: of the request.
            head: of the request; a cookie that asks is taken out of it.
            again: the request was asked about before its body was there, and is counted.
        """
        if b"cookie" in head.shape.at and FORCE_COOKIE in b"\n".join(head.values):
            _take_out(head)
        field = head.field(FORCE_FIELD)
        if not field and not head.force:
            return None
        now, arm = self._clock(), None
        for text in (field, head.force):
            if text and arm is None:
                arm = self._forcing.read(text.decode("latin-1"), route.flag.route, now)
        taken = arm is not None and arm in route.arms
        (self._taken if taken else self._refused).n += not again
        return arm if taken else None


def _take_out(head: Head) -> None:
    """The cookies without the one that asks for an arm: a model server could use it as well."""
    head.force = read_force_cookie(head, 0) or b""
    kept = []
    for key, name, value in head.shape.fields(head.values):
        if key == b"cookie" and FORCE_COOKIE in value:
            pairs = [pair.strip() for pair in value.split(b";")]
            value = b"; ".join(pair for pair in pairs if pair and not pair.startswith(FORCE_COOKIE))
            if not value:
                continue
        kept.append((key, name, value))
    head.shape, head.values = REQUEST_SHAPES.split(kept)
