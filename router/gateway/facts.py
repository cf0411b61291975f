"""What a flag may ask about a request: attributes, a forced arm, the arm of another route. Read when asked, not before.

Octets that are no UTF-8 stay themselves. An empty value is an absent one. A place in the body that is not held yet
answers as absent and notes that the body is wanted: the answer is thrown away and asked again with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from router.assignment import DEEPEST, given
from router.forcing import Forcing
from router.gateway.counters import Row
from router.gateway.identify import HeadLike, NeedsBody, cookie_reader, json_value, may_hold
from router.rules import Values

if TYPE_CHECKING:
    from router.gateway.snapshot import CompiledRoute

FORCE_FIELD = b"pointsman-force"
read_force_cookie = cookie_reader(b"pm_force")


class AskedHead(HeadLike, Protocol):
    """What attributes are read of."""

    @property
    def path(self) -> bytes:
        """The target without the query."""

    @property
    def host(self) -> bytes:
        """The host, with its port if it has one."""

    @property
    def method(self) -> bytes:
        """The request's method."""


HeadReader = Callable[[AskedHead], Values]
BodyReader = Callable[[bytes], Values]


class AttributeReader:
    """One declared attribute: read from the head, or from the body."""

    __slots__ = ("of_body", "of_head")

    def __init__(self, kind: str, name: str) -> None:
        self.of_head: HeadReader | None = READERS[kind](name) if kind != "json" else None
        self.of_body: BodyReader | None = _json(name) if kind == "json" else None


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
        head: AskedHead,
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

    def arm(self, route: CompiledRoute, head: HeadLike) -> str | None:
        """The arm of this route that a trusted caller forces."""
        text = head.lower.get(FORCE_FIELD) or read_force_cookie(head, 0)
        if text is None:
            return None
        arm = self._forcing.read(text.decode("latin-1"), route.flag.route, self._clock())
        if arm is None or arm not in route.arms:
            self._refused.n += 1
            return None
        self._taken.n += 1
        return arm


def _values(octets: bytes | None) -> Values:
    return (octets.decode("utf-8", "surrogateescape"),) if octets else None


def _header(name: str) -> HeadReader:
    wanted = name.encode()
    return lambda head: _values(head.lower.get(wanted))


def _header_list(name: str) -> HeadReader:
    wanted = name.encode()

    def read(head: AskedHead) -> Values:
        field = head.lower.get(wanted)
        if not field:
            return None
        parts = (part.strip() for part in field.decode("utf-8", "surrogateescape").split(","))
        return tuple(part for part in parts if part) or None

    return read


def _cookie(name: str) -> HeadReader:
    read = cookie_reader(name.encode())
    return lambda head: _values(read(head, 0))


def _query(name: str) -> HeadReader:
    wanted = name.encode()

    def read(head: AskedHead) -> Values:
        found = []
        for pair in head.query.split(b"&") if head.query else ():
            key, _, value = pair.partition(b"=")
            if value and (key == wanted or (b"%" in key and unquote_to_bytes(key) == wanted)):
                found.append(unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "surrogateescape"))
        return tuple(found) or None

    return read


def _path(name: str) -> HeadReader:
    if not name:
        return lambda head: _values(unquote_to_bytes(head.path))
    number = int(name)

    def read(head: AskedHead) -> Values:
        segments = head.path.split(b"/")
        return _values(unquote_to_bytes(segments[number])) if number < len(segments) else None

    return read


def _host(_: str) -> HeadReader:
    def read(head: AskedHead) -> Values:
        name, colon, port = head.host.lower().rpartition(b":")
        return _values(name if colon and port.isdigit() else head.host.lower())

    return read


def _method(_: str) -> HeadReader:
    return lambda head: _values(head.method)


# One row per place of an attribute that is not in the body.
READERS: Mapping[str, Callable[[str], HeadReader]] = {
    "header": _header,
    "header-list": _header_list,
    "cookie": _cookie,
    "query": _query,
    "path": _path,
    "host": _host,
    "method": _method,
}


def _json(pointer: str) -> BodyReader:
    find = json_value(pointer)

    def read(body: bytes) -> Values:
        found = find(body)
        if isinstance(found, list):
            return tuple(text for one in found if (text := _scalar(one)) is not None)
        text = _scalar(found)
        return None if text is None else (text,)

    return read


def _scalar(value: Any) -> str | None:
    """A text, number or truth of JSON as text; nothing else is an attribute."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, int | float) else None
