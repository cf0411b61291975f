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

from msgspec import UNSET

from router.assignment import CompiledFlag, Reason
from router.errors import Problem, SpecError
from router.flag import Arm, Flag
from router.gateway.answer_reader import AnswerReader
from router.gateway.arm import ArmRoute, Standing
from router.gateway.assigned import Assigned
from router.gateway.attributes import AttributeReader
from router.gateway.counters import Row
from router.gateway.identify import HeadLike, Identifier
from router.gateway.probes import address_of
from router.gateway.recorder import RunBuffer
from router.gateway.shadowing import Shadowing, Warming, every
from router.serving import PoolLimits, Serving, Shadow

# Names travel in header fields: a hand-edited flag must not be able to write one.
SAFE = re.compile(r"[!-~]{1,200}")
FOUND_MOST, PATH_OCTETS = 1024, 256  # paths whose route is remembered
ANY = b""  # the cell of routes that match every first segment; no segment is looked up under this name


class RoutedHead(HeadLike, Protocol):
    """What routing reads of a request head."""

    @property
    def method(self) -> bytes:
        """The method."""

    @property
    def target(self) -> bytes:
        """The request target as it would be forwarded."""

    @property
    def path(self) -> bytes:
        """The target without the query."""

    @property
    def host(self) -> bytes:
        """The host, with its port if it has one."""


class CompiledRoute:
    """A flag, ready for requests.

    Attributes:
        find: the number of a unit's assignment in ``assigned``, and its bucket.
        buffer: where the run's events wait; None until there is one.
    """

    __slots__ = (
        "arms",
        "assigned",
        "attributes",
        "buffer",
        "default",
        "epoch",
        "experiment",
        "find",
        "first_byte_ms",
        "flag",
        "headers",
        "identify",
        "measures",
        "prefix",
        "prefix_slash",
        "reader",
        "reasons",
        "revision",
        "run",
        "slow_us",
        "total_ms",
    )

    def __init__(self, flag: Flag, compiler: Compiler) -> None:
        _check_names(flag)
        self.flag = flag
        self.revision = flag.revision
        compiled = CompiledFlag(flag)
        self.find = compiled.find
        self.buffer: RunBuffer | None = None
        self.experiment = compiled.experiment
        self.run = self.experiment.run.encode() if self.experiment else b""
        self.epoch = self.experiment.epoch if self.experiment else 0
        slow_ms = self.experiment.slow_ms if self.experiment else None
        self.slow_us = None if slow_ms is None else slow_ms * 1000
        declared = self.experiment.attributes if self.experiment else UNSET
        self.attributes = None if declared is UNSET else AttributeReader(declared)
        self.identify = Identifier(flag.unit)
        self.arms = {
            arm.name: ArmRoute(flag, arm, compiler.upstream(arm), compiler.row, compiler.standing(flag, arm))
            for arm in flag.arms
        }
        self.default = self.arms[flag.default]
        self.reader = AnswerReader.of(flag)
        self.measures = frozenset(self.experiment.measures) if self.experiment else frozenset()
        if self.reader is not None and self.experiment is not None:
            self.measures |= self.reader.outcomes
        match = flag.match
        path = match.path.rstrip("/") if match else ""
        self.prefix = path.encode()
        self.prefix_slash = self.prefix + b"/"
        self._copy_to(compiler)
        self.headers = tuple((k.lower().encode(), v.encode()) for k, v in match.headers) if match else ()
        self.first_byte_ms = (
            compiler.first_byte_ms if flag.first_byte_timeout_ms is None else flag.first_byte_timeout_ms
        )
        self.total_ms = compiler.total_ms if flag.total_timeout_ms is None else flag.total_timeout_ms
        self.reasons = {
            reason: compiler.row.tally("pointsman_assignments", route=flag.route, reason=reason.value)
            for reason in Reason
        }
        self.assigned = [
            Assigned(assignment, self.arms[assignment.arm], self.reasons[assignment.reason])
            for assignment in compiled.assignments
        ]

    def _copy_to(self, compiler: Compiler) -> None:
        """Prepare the shadow and the arms that are to be warm, on connections of their own."""
        if self.reader is None:
            return
        flag, shadow = self.flag, (self.flag.serving or Serving()).shadow
        wanted: list[tuple[type[Shadowing], Shadow]] = [] if shadow is None else [(Shadowing, shadow)]
        wanted += [(Warming, every(arm.name)) for arm in flag.arms if arm.warm and arm.name != flag.default]
        for kind, one in wanted:
            upstream = compiler.upstream(flag.arm(one.arm), "shadow")
            shadowing = kind(flag.route, self.prefix, one, self.arms[one.arm], upstream, compiler.row)
            self.reader.shadows.append(shadowing)

    def is_warm(self, arm: str) -> bool:
        """Whether an arm has answered the copies that it is to answer first; the default arm has."""
        return arm == self.flag.default or not self.arms[arm].standing.cold

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
        self, make_upstream: Callable[..., Any], row: Row, first_byte_ms: int, total_ms: int
    ) -> None:
        self.row = row
        self.first_byte_ms = first_byte_ms
        self.total_ms = total_ms
        self._make = make_upstream
        self._upstreams: dict[tuple[str, str, PoolLimits | None], Any] = {}
        self._standings: dict[tuple[str, str, str], Standing] = {}

    def standing(self, flag: Flag, arm: Arm) -> Standing:
        """What is known of an arm from its requests so far; a changed flag does not forget it, a new epoch may."""
        name = (flag.route, arm.name, arm.identity or arm.upstream)
        standing = self._standings.setdefault(name, Standing(arm.warm))
        standing.begin(flag.epoch)
        return standing

    def upstream(self, arm: Arm, use: str = "") -> Any:
        """The upstream of an arm, for one use; arms on one server with the same limits share it."""
        try:
            name = (address_of(arm.upstream), use, arm.pool)
            if name not in self._upstreams:
                more = () if arm.pool is None else (arm.pool,)
                self._upstreams[name] = self._make(name[0], *more)
        except ValueError as problem:
            raise SpecError(
                [Problem("arms.upstream", "an address such as http://host:port", str(problem))]
            ) from None
        return self._upstreams[name]

    def keep(self, arms: Iterable[Arm]) -> None:
        """Close the upstreams of all other arms; what is under way there comes to its end."""
        wanted = {(address_of(arm.upstream), arm.pool) for arm in arms}
        for name in list(self._upstreams):
            if (name[0], name[2]) not in wanted:
                self._upstreams.pop(name).close()

    def heard(self, ready: dict[str, bool]) -> None:
        """Tell the pools what the probes know of their servers."""
        for (_, _, limits), upstream in self._upstreams.items():
            if limits is not None:
                upstream.heard(ready)

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

    __slots__ = ("_any", "_found", "_hosts", "routes", "store_id")

    def __init__(self, routes: Mapping[str, CompiledRoute], store_id: str) -> None:
        self.routes = dict(routes)
        self.store_id = store_id
        matching = [route for route in self.routes.values() if route.flag.match is not None]
        self._any = _table([route for route in matching if _host(route) is None])
        hosts = {host for route in matching if (host := _host(route)) is not None}
        self._hosts = {host: _table([r for r in matching if _host(r) in (None, host)]) for host in hosts}
        # Of the paths that were asked for, where the path alone decides.
        self._found: dict[bytes, CompiledRoute] = {}

    def changed(self, compiled: Mapping[str, CompiledRoute], gone: Iterable[str], store_id: str) -> Snapshot:
        """A new snapshot with these routes changed and those gone."""
        left = set(gone)
        routes = {name: route for name, route in self.routes.items() if name not in left} | dict(compiled)
        return Snapshot(routes, store_id)

    def find(self, head: RoutedHead) -> CompiledRoute | None:
        """The route of a request."""
        return self._found.get(head.path) or self._look(head)

    def _look(self, head: RoutedHead) -> CompiledRoute | None:
        table = self._any
        if self._hosts:
            host = head.host.lower()
            table = self._hosts.get(host) or self._hosts.get(_without_port(host)) or table
        segment = head.path[1:].partition(b"/")[0]
        cell = table.get(segment) or table.get(ANY, ())
        for route in cell:
            if route.takes(head):
                if not self._hosts and not any(one.headers for one in cell):
                    self._remember(head.path, route)
                return route
        return None

    def _remember(self, path: bytes, route: CompiledRoute) -> None:
        if len(path) <= PATH_OCTETS:
            if len(self._found) >= FOUND_MOST:
                self._found.clear()
            self._found[path] = route

    def running(self) -> list[tuple[str, int, int]]:
        """Run, epoch and revision of each running experiment."""
        return [
            (route.experiment.run, route.epoch, route.flag.revision)
            for route in self.routes.values()
            if route.experiment is not None
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
