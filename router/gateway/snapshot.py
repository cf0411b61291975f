"""All flags as one immutable value, compiled for the hot path; a change makes a new one and swaps one reference.

Routes are found by host and first path segment, then by the longest prefix, then by header fields. What a request
needs is ready here: the assignment's edges, the unit's readers, upstream pools, pieces of answer headers, counters.
The flags are kept on disk as they are in the store, so that a gateway can start while Redis is away.

Never here: a flag that could not be read. Its last good predecessor stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from router.assignment import CompiledFlag, Reason
from router.errors import Problem, SpecError
from router.flag import Arm, Flag
from router.gateway.arm import ArmRoute, Standing
from router.gateway.attributes import AskedHead, AttributeReader
from router.gateway.counters import Row
from router.gateway.identify import Identifier
from router.gateway.probes import address_of
from router.gateway.running import Running
from router.protocols import ROWS as PROTOCOLS

# Names travel in header fields: a hand-edited flag must not be able to write one.
SAFE = re.compile(r"[!-~]{1,200}")
ANY = b""  # the cell of routes that match every first segment; no segment is looked up under this name


class RoutedHead(AskedHead, Protocol):
    """What routing reads of a request head."""

    @property
    def target(self) -> bytes:
        """The request target as it would be forwarded."""


class CompiledRoute:
    """A flag, ready for requests."""

    __slots__ = (
        "arms",
        "attributes",
        "compiled",
        "default",
        "first",
        "first_byte_ms",
        "flag",
        "headers",
        "identify",
        "prefix",
        "prefix_slash",
        "protocol",
        "reasons",
        "running",
        "total_ms",
    )

    def __init__(self, flag: Flag, compiler: Compiler) -> None:
        _check_names(flag)
        self.flag = flag
        self.compiled = CompiledFlag(flag)
        self.running = {one.run: Running(flag, one) for one in flag.experiments}
        self.first = next(iter(self.running.values()), None)
        self.attributes = {name: AttributeReader(kind, rest) for name, kind, rest in flag.attributes}
        self.identify = Identifier(flag.unit)
        self.arms = {
            arm.name: ArmRoute(
                flag, arm, compiler.upstream(arm.upstream), compiler.row, compiler.standing(flag, arm)
            )
            for arm in flag.arms
        }
        self.default = self.arms[flag.default]
        reads = flag.protocol != "plain" or any(arm.declares for arm in flag.arms)
        self.protocol = PROTOCOLS[flag.protocol] if reads else None
        match = flag.match
        path = match.path.rstrip("/") if match else ""
        self.prefix = path.encode()
        self.prefix_slash = self.prefix + b"/"
        self.headers = tuple((k.lower().encode(), v.encode()) for k, v in match.headers) if match else ()
        self.first_byte_ms = (
            compiler.first_byte_ms if flag.first_byte_timeout_ms is None else flag.first_byte_timeout_ms
        )
        self.total_ms = compiler.total_ms if flag.total_timeout_ms is None else flag.total_timeout_ms
        self.reasons = {
            reason: compiler.row.tally("pointsman_assignments", route=flag.route, reason=reason.value)
            for reason in Reason
        }

    def takes(self, head: RoutedHead) -> bool:
        """Whether a request is this route's, by path and header fields."""
        path = head.path
        if not (path.startswith(self.prefix_slash) or path == self.prefix):
            return False
        lower = head.lower
        return not self.headers or all(lower.get(name) == value for name, value in self.headers)


class Compiler:
    """Makes routes of flags; keeps one upstream per address, so that pools outlive a change."""

    def __init__(
        self, make_upstream: Callable[[str], Any], row: Row, first_byte_ms: int, total_ms: int
    ) -> None:
        self.row = row
        self.first_byte_ms = first_byte_ms
        self.total_ms = total_ms
        self._make = make_upstream
        self._upstreams: dict[str, Any] = {}
        self._standings: dict[tuple[str, str, str], Standing] = {}

    def standing(self, flag: Flag, arm: Arm) -> Standing:
        """What is known of an arm from its requests so far; a changed flag does not forget it, a new epoch may."""
        name = (flag.route, arm.name, arm.identity or arm.upstream)
        standing = self._standings.setdefault(name, Standing())
        standing.begin(flag.epoch)
        return standing

    def upstream(self, url: str) -> Any:
        """The upstream at an address; its path is the arm's matter. None without an address."""
        if not url:
            return None
        try:
            address = address_of(url)
            if address not in self._upstreams:
                self._upstreams[address] = self._make(address)
        except ValueError as problem:
            raise SpecError(
                [Problem("arms.upstream", "an address such as http://host:port", str(problem))]
            ) from None
        return self._upstreams[address]

    def keep(self, urls: Iterable[str]) -> None:
        """Close the pools of all other addresses."""
        wanted = {address_of(url) for url in urls}
        for address in set(self._upstreams) - wanted:
            self._upstreams.pop(address).close()

    def compile(self, flag: Flag) -> CompiledRoute:
        """A flag ready for requests.

        Raises:
            SpecError: it holds what cannot be served.
        """
        return CompiledRoute(flag, self)


Cell = tuple[CompiledRoute, ...]
Table = dict[bytes, Cell]


class Snapshot:
    """The routes of one moment; never changed."""

    __slots__ = ("_any", "_hosts", "routes", "store_id")

    def __init__(self, routes: Mapping[str, CompiledRoute], store_id: str) -> None:
        self.routes = dict(routes)
        self.store_id = store_id
        matching = [route for route in self.routes.values() if route.flag.match is not None]
        self._any = _table([route for route in matching if _host(route) is None])
        hosts = {host for route in matching if (host := _host(route)) is not None}
        self._hosts = {host: _table([r for r in matching if _host(r) in (None, host)]) for host in hosts}

    def changed(self, compiled: Mapping[str, CompiledRoute], gone: Iterable[str], store_id: str) -> Snapshot:
        """A new snapshot with these routes changed and those gone."""
        left = set(gone)
        routes = {name: route for name, route in self.routes.items() if name not in left} | dict(compiled)
        return Snapshot(routes, store_id)

    def find(self, head: RoutedHead) -> CompiledRoute | None:
        """The route of a request."""
        table = self._any
        if self._hosts:
            host = head.host.lower()
            table = self._hosts.get(host) or self._hosts.get(_without_port(host)) or table
        segment = head.path[1:].partition(b"/")[0]
        for route in table.get(segment) or table.get(ANY, ()):
            if route.takes(head):
                return route
        return None

    def running(self) -> list[tuple[str, int, int]]:
        """Run, epoch and revision of each running experiment."""
        return [
            (one.run, one.epoch, route.flag.revision)
            for route in self.routes.values()
            for one in route.flag.experiments
        ]


def _host(route: CompiledRoute) -> bytes | None:
    match = route.flag.match
    return match.host.lower().encode() if match is not None and match.host else None


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def _rank(route: CompiledRoute) -> tuple[bool, int, int, str]:
    """The most particular first; equals by name, so that every worker decides alike."""
    return (_host(route) is None, -len(route.prefix), -len(route.headers), route.flag.route)


def _table(routes: Iterable[CompiledRoute]) -> Table:
    by_segment: dict[bytes, list[CompiledRoute]] = {ANY: []}
    for route in routes:
        by_segment.setdefault(route.prefix[1:].partition(b"/")[0], []).append(route)
    everywhere = by_segment[ANY]
    return {
        segment: tuple(sorted(cell if segment == ANY else [*cell, *everywhere], key=_rank))
        for segment, cell in by_segment.items()
    }


def _check_names(flag: Flag) -> None:
    names = [flag.route, *(arm.name for arm in flag.arms)]
    for experiment in flag.experiments:
        names += [experiment.run, experiment.experiment]
    bad = [
        Problem("flag", "names of printable ASCII", repr(name))
        for name in names
        if SAFE.fullmatch(name) is None
    ]
    if bad:
        raise SpecError(bad)
