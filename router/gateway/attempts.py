"""What is done when an arm gave no answer: once more within the arm, or the default arm in its place.

Repeated is what may be repeated, before anything was answered, within a budget: failures stay in the arm.

Source:
    RFC 9110 section 9.2.2 (idempotent methods).
"""

from __future__ import annotations

from time import monotonic

from router.gateway.arm import ArmRoute
from router.gateway.head import Head
from router.gateway.snapshot import CompiledRoute
from router.gateway.ticket import Ticket

NO_ANSWER = frozenset(("connect_failed", "timeout", "truncated", "bad_answer"))
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


def serve_by(ticket: Ticket, route: CompiledRoute, arm: ArmRoute, head: Head) -> None:
    """Send the request to this arm from now on."""
    ticket.served = arm
    ticket.upstream = arm.upstream
    ticket.edit = arm.edit
    ticket.reader = route.reader
    ticket.target = head.target if arm.base is None else arm.base + head.target[len(route.prefix) :]
    breaker = arm.standing.breaker
    ticket.blocked = breaker.failures > 0 and not breaker.allows(monotonic())


def again(ticket: Ticket, head: Head, outcome: str, *, replayable: bool) -> bool:
    """An attempt gave no answer: whether to make another, by what the ticket says from now on.

    Repeated is within the arm, before anything was answered, within a budget: what never reached the server, and
    of the rest what the method or the route allows. Then the default arm, where the route falls back.
    """
    arm, route = ticket.served, ticket.route
    if arm is None or route is None:
        return False
    standing = arm.standing
    if outcome in NO_ANSWER:
        standing.breaker.failed(monotonic())
    ticket.attempts = [*(ticket.attempts or ()), f"{arm.name}={outcome}"]
    if not replayable:
        return False
    allowed = head.method in IDEMPOTENT or route.flag.repeatable
    if ticket.retries > 0 and (outcome == "connect_failed" or (outcome == "truncated" and allowed)):
        ticket.retries -= 1
        if standing.budget.take():
            return True
    return instead(ticket, head, outcome)


def instead(ticket: Ticket, head: Head, outcome: str) -> bool:
    """Whether the default arm is to answer in the place of the assigned one, which has failed."""
    arm, route = ticket.arm, ticket.route
    if route is None or arm is None or not route.flag.fallback or ticket.failed or arm is route.default:
        return False
    ticket.failed = outcome
    ticket.asked_model = ""
    arm.tallies.fallbacks.n += 1
    serve_by(ticket, route, route.default, head)
    if route.flag.expose == "all" and ticket.running is not None:
        attempts = ", ".join(ticket.attempts or (f"{arm.name}={outcome}",))
        line = f"Pointsman-Served: {route.default.name}\r\nPointsman-Attempts: {attempts}\r\n"
        ticket.answer_headers += line.encode()
    return True
