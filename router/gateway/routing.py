"""The gate: what to do with a request, and what to write down about it. One per worker.

``route`` answers at once from the snapshot; ``finished`` is told how it ended. An arm is held responsible for what it
was assigned, whoever answered. A client that leaves is no fault of the arm.

Never here: a wait, a parse of what no route asks for, an exception on the path of a good request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from router.assignment import Assignment
from router.decision_id import Signer
from router.event_rows import EXPOSURE, SLOW, pack_where
from router.events import to_fixed
from router.forcing import Forcing
from router.gateway import attempts, deciding
from router.gateway.arm import ArmRoute
from router.gateway.asked import ForcedArms, RequestFacts
from router.gateway.counters import Row
from router.gateway.facts import facts, measured, observed, timed
from router.gateway.head import Head
from router.gateway.identify import NEEDS_BODY
from router.gateway.minting import minted
from router.gateway.pages import PATHS
from router.gateway.recorder import Recorder
from router.gateway.reports import Reports
from router.gateway.running import Running
from router.gateway.snapshot import CompiledRoute, Snapshot
from router.gateway.ticket import Refusal, Ticket

KNOWN_MOST: Final = 16_384  # units whose assignment is remembered
KNOWN_OCTETS: Final = 128  # of such a unit; together that is 8 MB at the most
Dealt = tuple[int, Assignment, int]  # the route's number for it, then what was dealt, then the unit's digest
NO_ROUTE: Refusal = (404, "no_route", "no route takes this host and path - see 'match' in the route files")
NO_FLAGS: Refusal = (
    503,
    "no_flags",
    "this gateway has no flags yet - is Redis reachable, and has a route been applied?",
)
NO_UNIT: Refusal = (400, "unit_missing", "this route serves only requests that name their unit")


class Gate:
    """Routes requests by the snapshot and records what became of them."""

    def __init__(
        self,
        recorder: Recorder,
        signer: Signer,
        digest: Callable[[bytes], int],
        row: Row,
        *,
        forcing: Forcing,
        hold_limit: int,
        clock: Callable[[], int],
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.pages: Callable[[bytes], tuple[int, bytes, bytes] | None] = lambda path: None
        self._recorder = recorder
        self._signer = signer
        self._digest = digest
        self._forced = ForcedArms(forcing, row, clock)
        self._hold_limit = hold_limit
        self._known: dict[bytes, Dealt] = {}
        self._clock = clock
        # The high half tells workers apart, the low half counts: no two requests share a number.
        self._request = int.from_bytes(os.urandom(4), "little") << 32
        self._no_route = row.tally("pointsman_refused_requests", code="no_route")
        self._no_flags = row.tally("pointsman_refused_requests", code="no_flags")
        self._no_unit = row.tally("pointsman_refused_requests", code="unit_missing")
        self._reports = Reports(recorder, row, clock)

    def local(self, head: Head) -> tuple[int, bytes, bytes] | None:
        """The gateway's own page at a path: status, content type, body; None when the path is not ours."""
        return self.pages(head.path) if head.path in PATHS else None

    def route(self, head: Head, body: bytes | None) -> Ticket:
        """Where a request goes. ``body`` is None at first; it is given when the ticket asked for it."""
        return self._decide(head, body) if deciding.asks(head.path) else self._route(head, body)

    def _decide(self, head: Head, body: bytes | None) -> Ticket:
        """Answer for a proxy what ``_route`` says; what cannot be routed has no arm, and the proxy serves control."""
        asked = deciding.question(head)
        if isinstance(asked, Ticket):
            return asked
        ticket = self._route(asked, body)
        if ticket.needs_body:
            return ticket
        if ticket.buffer is not None:
            ticket.buffer.in_flight -= 1  # the request ends elsewhere
        reason = ticket.refusal[1] if ticket.refusal is not None else ticket.reason
        ticket.reply = deciding.told(ticket, str(reason))
        ticket.refusal = None
        return ticket

    def _route(self, head: Head, body: bytes | None) -> Ticket:
        ticket = Ticket()
        snapshot = self.snapshot
        if snapshot is None:
            self._no_flags.n += 1
            ticket.refusal = NO_FLAGS
            return ticket
        route = snapshot.find(head)
        if route is None:
            self._no_route.n += 1
            ticket.refusal = NO_ROUTE
            return ticket
        ticket.route = route
        ticket.first_byte_ms = route.first_byte_ms
        ticket.total_ms = route.total_ms
        fixed = route.compiled.fixed
        force = self._forced.arm(route, head, again=body is not None)
        if fixed is not None and force is None:
            ticket.reason = fixed.reason
            route.reasons[fixed.reason].n += 1
            ticket.running = route.first
            self._send(ticket, route, route.default, head)
            return ticket
        self._request += 1
        ticket.request = self._request
        self._assign(ticket, route, snapshot, head, body, force)
        return ticket

    def _assign(
        self,
        ticket: Ticket,
        route: CompiledRoute,
        snapshot: Snapshot,
        head: Head,
        body: bytes | None,
        force: str | None,
    ) -> None:
        """Unit, then assignment; asks for the body if one of them stands in it."""
        compiled, limit = route.compiled, self._hold_limit
        unit: bytes | None = None
        if compiled.needs_unit:
            found = route.identify.find(head, body, ticket.request, limit)
            if found is NEEDS_BODY:
                ticket.needs_body = limit
                return
            unit = found
            if unit is None and route.first is not None and route.identify.on_missing != "control":
                unit = self._absent(ticket, route, head)
                if ticket.refusal is not None:
                    return
        if compiled.needs_facts or force is not None:
            asked = RequestFacts(route, snapshot.routes, head, body, ticket.request, limit, force=force)
            assignment = compiled.assign(unit, asked)
            if asked.needs_body:
                ticket.needs_body = limit
                return
        elif unit and route.deal:
            _, assignment, digest = self._dealt(route, unit)
            self._assigned(ticket, route, unit, head, assignment, digest)
            return
        else:
            assignment = compiled.assign(unit)
        self._assigned(ticket, route, unit, head, assignment)

    def _dealt(self, route: CompiledRoute, unit: bytes) -> Dealt:
        """The assignment and the digest of a unit; people ask again and again, so those of late are remembered."""
        dealt = self._known.get(unit)
        if dealt is None or dealt[0] != route.deal:
            dealt = (route.deal, route.compiled.assign(unit), self._digest(unit))
            if len(unit) <= KNOWN_OCTETS:
                if len(self._known) >= KNOWN_MOST:
                    self._known.clear()
                self._known[unit] = dealt
        return dealt

    def _absent(self, ticket: Ticket, route: CompiledRoute, head: Head) -> bytes | None:
        """A request without a unit on a route that does not serve it by control."""
        if route.identify.on_missing == "error":
            self._no_unit.n += 1
            ticket.refusal = NO_UNIT
            return None
        unit, ticket.answer_headers = minted(route.identify, head)
        return unit

    def _assigned(
        self,
        ticket: Ticket,
        route: CompiledRoute,
        unit: bytes | None,
        head: Head,
        assignment: Assignment,
        digest: int | None = None,
    ) -> None:
        ticket.reason = assignment.reason
        route.reasons[assignment.reason].n += 1
        arm = route.arms[assignment.arm]
        index = assignment.arm_index
        enrolled = index >= 0
        # A request that no run was asked about carries an id of the first, as not analysed.
        running = route.running[assignment.run] if assignment.run is not None else route.first
        ticket.running = running
        ticket.time = now = self._clock()
        shown = running.headers[arm.name] if running is not None else b""
        if unit is not None and (enrolled or shown):
            ticket.unit = self._digest(unit) if digest is None else digest
        revision = route.flag.revision
        if enrolled and assignment.run is not None and running is not None:
            ticket.arm_index = index
            buffer = ticket.buffer = self._recorder.buffer(assignment.run, running.epoch)
            buffer.in_flight += 1
            where = pack_where(assignment.bucket or 0, index, EXPOSURE)
            place = self._recorder.exposed(buffer, revision, ticket.unit, now, where, index > 0)
            ticket.place = place
            if running.traits is not None and place is not None:
                place[0].requests.describe(place[1], *running.traits.read(head))
            if running.sticky is not None:
                running.sticky.enrolled(ticket.unit)
        if shown and running is not None:
            sign = running.signing.get(index) or self._signing(running, revision, index)
            ticket.answer_headers += shown + sign(ticket.unit, now, ticket.request) + b"\r\n"
        self._send(ticket, route, arm, head)

    @staticmethod
    def _send(ticket: Ticket, route: CompiledRoute, arm: ArmRoute, head: Head) -> None:
        ticket.arm = arm
        ticket.reader = route.reader
        ticket.retries = route.flag.retries
        arm.standing.budget.requests += 1
        attempts.serve_by(ticket, route, arm, head)

    def _signing(self, running: Running, revision: int, index: int) -> Callable[[int, int, int], bytes]:
        """What signs for this arm of a run from here on; -1 is a request that is not analysed."""
        sign = running.signing[index] = self._signer.prepared(
            running.run, running.epoch, revision, index, index >= 0
        )
        return sign

    def again(self, ticket: Ticket, head: Head, outcome: str, *, replayable: bool) -> bool:
        """An attempt gave no answer: whether to make another, by what the ticket says from now on."""
        return attempts.again(ticket, head, outcome, replayable=replayable)

    def instead(self, ticket: Ticket, head: Head, outcome: str) -> bool:
        """Whether the default arm is to answer in the place of the assigned one, which has failed."""
        return attempts.instead(ticket, head, outcome)

    def finished(self, ticket: Ticket, status: int, outcome: str, latency_us: int) -> None:
        """A request has ended. Called once for each ticket that named an upstream."""
        arm, route = ticket.arm, ticket.route
        if arm is None or route is None:
            return
        running = ticket.running
        found = facts(ticket, arm, status, outcome)
        slow = running is not None and running.slow_us is not None and latency_us > running.slow_us
        if slow:
            found |= SLOW
            arm.tallies.slow.n += 1
        timed(arm.tallies, latency_us, ticket.first_byte_us)
        if ticket.observed is not None and ticket.served is not None:
            observed(ticket.served, ticket.observed)
        buffer = ticket.buffer
        if buffer is None or running is None:
            return
        buffer.in_flight -= 1
        if ticket.served is not None and ticket.observed is not None and ticket.observed.identity is not None:
            buffer.named(ticket.served.name, ticket.observed.identity, ticket.time)
        # Of a request that its client gave up nothing is known but that it was slow already.
        if ticket.place is not None and (slow or outcome != "client_abort"):
            now = ticket.time + latency_us // 1000
            self._recorder.ended(buffer, ticket.place, found, latency_us, now, ticket.arm_index > 0)
        if running.measures and outcome == "ok" and not ticket.failed:
            for name, value in measured(ticket):
                if name in running.measures:
                    self._reports.write_down(ticket, name, to_fixed(value))

    def noted(self, ticket: Ticket, metric: str, value: float) -> None:
        """Something was measured about a request, perhaps after its end; written down where the experiment lists it."""
        if ticket.running is not None and metric in ticket.running.measures:
            self._reports.write_down(ticket, metric, to_fixed(value))

    def reported(self, ticket: Ticket, value: bytes) -> None:
        """An answer's field ``Pointsman-Outcome: metric=value``; several are parted by commas."""
        self._reports.reported(ticket, value)
