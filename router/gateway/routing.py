"""The gate: what to do with a request, and what to write down about it. One per worker.

``route`` answers at once from the snapshot; ``finished`` is told how it ended. An arm is held responsible for what it
was assigned, whoever answered. A client that leaves is no fault of the arm.

Never here: a wait, a parse of what no route asks for, an exception on the path of a good request.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from router.assignment import Assignment
from router.decision_id import Signer
from router.events import ERROR, EXPOSURE, REFUSED, SLOW, key_digest, pack_where, to_fixed
from router.forcing import Forcing
from router.gateway.arm import BOUNDS_S, ArmRoute
from router.gateway.counters import Row
from router.gateway.facts import ForcedArms, RequestFacts
from router.gateway.identify import NeedsBody
from router.gateway.pages import PATHS
from router.gateway.recorder import Block, Recorder, RunBuffer
from router.gateway.snapshot import CompiledRoute, RoutedHead, Running, Snapshot

NOT_REFUSALS = frozenset(
    (401, 403, 429)
)  # about who asks and how often, not about what the model makes of it
BOUNDS_US = tuple(int(bound * 1_000_000) for bound in BOUNDS_S)
COOKIE_AGE_S = 31_536_000
REPORT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9_.-]{0,63})\s*=\s*([-+0-9.eE]{1,32})\s*")
REPORTS_PER_ANSWER = 16
Refusal = tuple[int, str, str]
NO_ROUTE: Refusal = (404, "no_route", "no route takes this host and path - see 'match' in the route files")
NO_FLAGS: Refusal = (
    503,
    "no_flags",
    "this gateway has no flags yet - is Redis reachable, and has a route been applied?",
)
NO_UNIT: Refusal = (400, "unit_missing", "this route serves only requests that name their unit")


class Ticket:
    """One request's way: what the HTTP side needs, and what is kept until its end."""

    __slots__ = (
        "answer_headers",
        "arm",
        "arm_index",
        "buffer",
        "first_byte_ms",
        "needs_body",
        "place",
        "refusal",
        "request",
        "route",
        "running",
        "target",
        "time",
        "total_ms",
        "unit",
        "upstream",
    )

    def __init__(self) -> None:
        self.needs_body = 0
        self.refusal: Refusal | None = None
        self.upstream: Any = None
        self.target = b""
        self.answer_headers = b""
        self.first_byte_ms = 0
        self.total_ms = 0
        self.route: CompiledRoute | None = None
        self.running: Running | None = None
        self.arm: ArmRoute | None = None
        self.arm_index = -1
        self.buffer: RunBuffer | None = None
        self.place: tuple[Block, int] | None = None
        self.unit = 0
        self.time = 0
        self.request = 0


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
        self._sign = signer.sign
        self._digest = digest
        self._forced = ForcedArms(forcing, row, clock)
        self._hold_limit = hold_limit
        self._clock = clock
        # The high half tells workers apart, the low half counts: no two requests share a number.
        self._request = int.from_bytes(os.urandom(4), "little") << 32
        self._no_route = row.tally("pointsman_refused_requests", code="no_route")
        self._no_flags = row.tally("pointsman_refused_requests", code="no_flags")
        self._no_unit = row.tally("pointsman_refused_requests", code="unit_missing")
        self._reports = row.tally("pointsman_reported_outcomes", result="taken")
        self._bad_reports = row.tally("pointsman_reported_outcomes", result="malformed")
        self._stray_reports = row.tally("pointsman_reported_outcomes", result="not_analysed")

    def local(self, head: RoutedHead) -> tuple[int, bytes, bytes] | None:
        """The gateway's own page at a path: status, content type, body; None when the path is not ours."""
        return self.pages(head.path) if head.path in PATHS else None

    def route(self, head: RoutedHead, body: bytes | None) -> Ticket:
        """Where a request goes. ``body`` is None at first; it is given when the ticket asked for it."""
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
        force = self._forced.arm(route, head)
        if fixed is not None and force is None:
            route.reasons[fixed.reason].n += 1
            ticket.running = route.first
            self._send(ticket, route, route.default, head)
            return ticket
        self._request += 1
        ticket.request = self._request
        self._decide(ticket, route, snapshot, head, body, force)
        return ticket

    def _decide(
        self,
        ticket: Ticket,
        route: CompiledRoute,
        snapshot: Snapshot,
        head: RoutedHead,
        body: bytes | None,
        force: str | None,
    ) -> None:
        """Unit, then assignment; asks for the body if one of them stands in it."""
        compiled, limit = route.compiled, self._hold_limit
        unit: bytes | None = None
        if compiled.needs_unit:
            found = route.identify.find(head, body, ticket.request, limit)
            if isinstance(found, NeedsBody):
                ticket.needs_body = limit
                return
            unit = found
            if unit is None and route.first is not None and route.identify.on_missing != "control":
                unit = self._absent(ticket, route)
                if ticket.refusal is not None:
                    return
        if compiled.needs_facts or force is not None:
            facts = RequestFacts(route, snapshot.routes, head, body, ticket.request, limit, force=force)
            assignment = compiled.assign(unit, facts)
            if facts.needs_body:
                ticket.needs_body = limit
                return
        else:
            assignment = compiled.assign(unit)
        self._assigned(ticket, route, unit, head, assignment)

    def _absent(self, ticket: Ticket, route: CompiledRoute) -> bytes | None:
        """A request without a unit on a route that does not serve it by control."""
        if route.identify.on_missing == "error":
            self._no_unit.n += 1
            ticket.refusal = NO_UNIT
            return None
        minted = token_hex(16)
        cookie = f"Set-Cookie: {route.identify.cookie}={minted}; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Lax\r\n"
        ticket.answer_headers = cookie.encode()
        return minted.encode()

    def _assigned(
        self,
        ticket: Ticket,
        route: CompiledRoute,
        unit: bytes | None,
        head: RoutedHead,
        assignment: Assignment,
    ) -> None:
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
            ticket.unit = self._digest(unit)
        revision = route.flag.revision
        if enrolled and assignment.run is not None and running is not None:
            ticket.arm_index = index
            buffer = ticket.buffer = self._recorder.buffer(assignment.run, running.epoch)
            buffer.in_flight += 1
            where = pack_where(assignment.bucket or 0, index, EXPOSURE)
            ticket.place = self._recorder.exposed(buffer, revision, ticket.unit, now, where, index > 0)
        if shown and running is not None:
            decision = self._sign(
                running.run, running.epoch, revision, index, enrolled, ticket.unit, now, ticket.request
            )
            ticket.answer_headers += shown + decision + b"\r\n"
        self._send(ticket, route, arm, head)

    @staticmethod
    def _send(ticket: Ticket, route: CompiledRoute, arm: ArmRoute, head: RoutedHead) -> None:
        ticket.arm = arm
        ticket.upstream = arm.upstream
        target = head.target
        ticket.target = target if arm.base is None else arm.base + target[len(route.prefix) :]

    def finished(self, ticket: Ticket, status: int, outcome: str, latency_us: int) -> None:
        """A request has ended. Called once for each ticket that named an upstream."""
        arm, route = ticket.arm, ticket.route
        if arm is None or route is None:
            return
        running = ticket.running
        slow = running is not None and running.slow_us is not None and latency_us > running.slow_us
        facts = SLOW if slow else 0
        aborted = outcome == "client_abort"
        if aborted:
            arm.aborts.n += 1
        elif outcome != "ok":
            arm.faults[outcome].n += 1
            facts |= ERROR
        else:
            arm.statuses[status // 100 - 1].n += 1
            if status >= 500:
                facts |= ERROR
            elif status >= 400 and status not in NOT_REFUSALS:
                facts |= REFUSED
        arm.latency_us.n += latency_us
        arm.latency[bisect_left(BOUNDS_US, latency_us)].n += 1
        if slow:
            arm.slow.n += 1
        buffer = ticket.buffer
        if buffer is None:
            return
        buffer.in_flight -= 1
        # Of a request that its client gave up nothing is known but that it was slow already.
        if ticket.place is not None and (slow or not aborted):
            self._recorder.ended(buffer, ticket.place, facts, latency_us, self._clock(), ticket.arm_index > 0)

    def reported(self, ticket: Ticket, value: bytes) -> None:
        """An answer's field ``Pointsman-Outcome: metric=value``; several are parted by commas."""
        for part in value.decode("latin-1").split(",")[:REPORTS_PER_ANSWER]:
            match = REPORT.fullmatch(part)
            try:
                fixed = to_fixed(float(match.group(2))) if match else None
            except ValueError:
                fixed = None
            if match is None or fixed is None:
                self._bad_reports.n += 1
            elif ticket.buffer is None or ticket.route is None:
                self._stray_reports.n += 1
            else:
                self._reports.n += 1
                metric = match.group(1)
                key = key_digest(f"{ticket.request}/{metric}")
                revision = ticket.route.flag.revision
                self._recorder.reported(
                    ticket.buffer,
                    revision,
                    ticket.unit,
                    metric,
                    fixed,
                    self._clock(),
                    ticket.time,
                    key,
                    ticket.arm_index,
                )
