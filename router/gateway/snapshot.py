"""All flags as one immutable value, compiled for the hot path; a change makes a new one and swaps one reference.

Routes are found by host and first path segment, then by the longest prefix, then by header fields. What a request
needs is ready here: the assignment's edges, the unit's readers, upstream pools, pieces of answer headers, counters.
The flags are kept on disk as they are in the store, so that a gateway can start while Redis is away.

Never here: a flag that could not be read. Its last good predecessor stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import msgspec

from router.assignment import CompiledExperiment, CompiledFlag, Make
from router.errors import Problem, SpecError
from router.flag import Arm, Flag
from router.gateway.answer_reader import AnswerReader
from router.gateway.arm import ArmRoute, Reasons, Standing
from router.gateway.attributes import AttributeReader
from router.gateway.counters import Row
from router.gateway.head import Head
from router.gateway.identify import Identifier
from router.gateway.keysets import KeySets
from router.gateway.parts import Parts
from router.gateway.running import Running
from router.gateway.servers import Servers, Watcher
from router.gateway.shadowing import Shadowing, Warming, every
from router.gateway.sticky import Sticky, Units
from router.gateway.table import Table
from router.lanes import RunningExperiment
from router.serving import Serving, Shadow
from router.sticky import making

# Names travel in header fields: a hand-edited flag must not be able to write one.
SAFE = re.compile(r"[!-~]{1,200}")
DEALS = count(1)
NOTHING: Mapping[str, Any] = {}  # one for all of the many routes that declare nothing


class CompiledRoute:
    """A flag, ready for requests.

    Attributes:
        deal: the number under which the gate remembers whom it dealt what, another for each compiled flag; 0 where a
            unit that comes again may get another arm, or none ever does.
    """

    __slots__ = (
        "arms",
        "attributes",
        "compiled",
        "deal",
        "default",
        "first",
        "first_byte_ms",
        "flag",
        "headers",
        "identify",
        "prefix",
        "reader",
        "reasons",
        "running",
        "total_ms",
    )

    def __init__(self, flag: Flag, compiler: Compiler) -> None:
        _check_names(flag)
        self.flag = flag
        self.compiled = CompiledFlag(flag, make=compiler.make)
        self.running = {
            one.run: Running(flag, one, compiler.units(one)) for one in flag.experiments
        } or NOTHING
        self.first = next(iter(self.running.values()), None)
        self.attributes = {
            name: AttributeReader(kind, rest) for name, kind, rest in flag.attributes
        } or NOTHING
        self.identify = compiler.identifier(flag)
        self.arms = {
            arm.name: ArmRoute(
                flag, arm, compiler.servers.upstream(arm), compiler.row, compiler.standing(flag, arm)
            )
            for arm in flag.arms
        }
        self.default = self.arms[flag.default]
        self.reader = AnswerReader.of(flag)
        match = flag.match
        path = match.path.rstrip("/") if match else ""
        self.prefix = path.encode()
        self._copy_to(compiler)
        self.headers = tuple((k.lower().encode(), v.encode()) for k, v in match.headers) if match else ()
        self.first_byte_ms = (
            compiler.first_byte_ms if flag.first_byte_timeout_ms is None else flag.first_byte_timeout_ms
        )
        self.total_ms = compiler.total_ms if flag.total_timeout_ms is None else flag.total_timeout_ms
        self.reasons = Reasons(flag.route, compiler.row)
        recurs = (
            not self.compiled.needs_facts
            and not any(one.sticky is not msgspec.UNSET for one in flag.experiments)
            and all(kind != "request" for kind, _ in flag.unit.places)
        )
        self.deal = next(DEALS) if recurs else 0

    def _copy_to(self, compiler: Compiler) -> None:
        """Prepare the shadow and the arms that are to be warm, on connections of their own."""
        if self.reader is None:
            return
        flag, shadow = self.flag, (self.flag.serving or Serving()).shadow
        wanted: list[tuple[type[Shadowing], Shadow]] = [] if shadow is None else [(Shadowing, shadow)]
        wanted += [(Warming, every(arm.name)) for arm in flag.arms if arm.warm and arm.name != flag.default]
        for kind, one in wanted:
            upstream = compiler.servers.upstream(flag.arm(one.arm), "shadow")
            shadowing = kind(flag.route, self.prefix, one, self.arms[one.arm], upstream, compiler.row)
            self.reader.shadows.append(shadowing)

    def is_warm(self, arm: str) -> bool:
        """Whether an arm has answered the copies that it is to answer first; the default arm has."""
        return arm == self.flag.default or not self.arms[arm].standing.cold

    def asks_for(self, head: Head) -> bool:
        """Whether a request at its path has the header fields that it asks for."""
        return all(head.field(name) == value for name, value in self.headers)


class Compiler:
    """Makes routes of flags; keeps one upstream per address, so that pools outlive a change."""

    def __init__(
        self,
        make_upstream: Callable[..., Any],
        row: Row,
        first_byte_ms: int,
        total_ms: int,
        probes: Watcher | None = None,
        sticky: Sticky | None = None,
    ) -> None:
        self.row = row
        self.sticky = sticky
        self.make: Make = CompiledExperiment if sticky is None else making(sticky.remembered)
        self.first_byte_ms = first_byte_ms
        self.total_ms = total_ms
        self.servers = Servers(make_upstream, probes)
        self.keysets = KeySets()
        self._standings: dict[tuple[str, str, str], Standing] = {}

    def standing(self, flag: Flag, arm: Arm) -> Standing:
        """What is known of an arm from its requests so far; a changed flag does not forget it."""
        name = (flag.route, arm.name, arm.identity or arm.upstream)
        standing = self._standings.get(name)
        if standing is None:
            standing = self._standings[name] = Standing(arm.warm)
        return standing

    def identifier(self, flag: Flag) -> Identifier:
        """Who the requests of a route are made for; shared by all that name the same unit, but where tokens are read."""
        if flag.unit.jwt is None:
            return Identifier.of(flag.unit)
        return Identifier(flag.unit, self.keysets, self.refused(flag.route))

    def refused(self, route: str) -> Callable[[str], None]:
        """Counts a token of a route that is not believed, by the reason."""

        def count(reason: str) -> None:
            self.row.tally("pointsman_refused_tokens", route=route, reason=reason).n += 1

        return count

    def units(self, experiment: RunningExperiment) -> Units | None:
        """The units that a run remembers here."""
        return None if self.sticky is None else self.sticky.units(experiment)

    def swapped(self, new: Iterable[CompiledRoute], old: Iterable[CompiledRoute]) -> None:
        """These routes are in use from now on and those no longer."""
        self.servers.swapped(_arms(new), _arms(old))

    def compile(self, flag: Flag) -> CompiledRoute:
        """A flag ready for requests.

        Raises:
            SpecError: it holds what cannot be served.
        """
        return CompiledRoute(flag, self)


def _arms(routes: Iterable[CompiledRoute]) -> list[Arm]:
    return [arm for route in routes for arm in route.flag.arms if arm.upstream]


class Snapshot:
    """The routes of one moment; never changed."""

    __slots__ = ("_any", "_experiments", "_hosts", "routes", "store_id")

    def __init__(
        self,
        routes: Mapping[str, CompiledRoute],
        store_id: str,
        before: Snapshot | None = None,
        gone: Iterable[str] = (),
    ) -> None:
        self.store_id = store_id
        self.routes: Parts[str, CompiledRoute] = before.routes if before else Parts.empty()
        self._any: Table = before._any if before else Table()
        self._hosts: dict[bytes, Table] = before._hosts if before else {}
        self._experiments: Parts[str, CompiledRoute] = before._experiments if before else Parts.empty()
        self._take(routes, gone)

    def changed(self, compiled: Mapping[str, CompiledRoute], gone: Iterable[str], store_id: str) -> Snapshot:
        """A new snapshot with these routes changed and those gone; it costs what the changed ones cost."""
        return Snapshot(compiled, store_id, self, gone)

    def _take(self, compiled: Mapping[str, CompiledRoute], gone: Iterable[str]) -> None:
        """Before anybody has it: these in, those out."""
        left = dict.fromkeys((*compiled, *gone))
        old = [route for name in left if (route := self.routes.get(name)) is not None]
        self.routes = self.routes.changed({**left, **compiled})
        ins, outs = _by_host(compiled.values()), _by_host(old)
        if any(route.flag.experiments for route in (*old, *compiled.values())):
            begun = {name: route for name, route in compiled.items() if route.flag.experiments}
            self._experiments = self._experiments.changed({**left, **begun})
        hosts: dict[bytes, Table] = {}
        for host in ins.keys() | outs.keys():
            before = self._any if host is None else self._hosts.get(host, Table())
            table = before.changed(ins.get(host, ()), outs.get(host, ()))
            if host is None:
                self._any = table
            else:
                hosts[host] = table
        if hosts:
            self._hosts = {host: table for host, table in (self._hosts | hosts).items() if table}

    def find(self, head: Head) -> CompiledRoute | None:
        """The route of a request: one for its host before one for any, then by the longest path."""
        if self._hosts:
            host = head.host.lower()
            table = self._hosts.get(host) or self._hosts.get(_without_port(host))
            if table is not None and (route := table.find(head)) is not None:
                return route
        return self._any.find(head)

    def experiments(self) -> Iterable[CompiledRoute]:
        """The routes on which something runs."""
        return self._experiments.values()


def runs_on(routes: Iterable[CompiledRoute]) -> list[tuple[str, int, int]]:
    """Run, epoch and revision of each experiment that runs on these routes."""
    return [(one.run, one.epoch, route.flag.revision) for route in routes for one in route.flag.experiments]


def _by_host(routes: Iterable[CompiledRoute]) -> dict[bytes | None, list[CompiledRoute]]:
    """Those that take requests, by the host that they are for."""
    found: dict[bytes | None, list[CompiledRoute]] = {}
    for route in routes:
        if route.flag.match is not None:
            found.setdefault(_host(route), []).append(route)
    return found


def _host(route: CompiledRoute) -> bytes | None:
    match = route.flag.match
    return match.host.lower().encode() if match is not None and match.host else None


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


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
