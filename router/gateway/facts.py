"""What became of a request: its facts, which count against the assigned arm whoever answered, and its measures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from router.event_rows import ERROR, FALLBACK, REFUSED
from router.gateway.arm import BOUNDS_S, FAULTS, ArmRoute, ArmTallies
from router.gateway.observing import Observer
from router.gateway.ticket import Ticket

BOUNDS_US = tuple(int(bound * 1_000_000) for bound in BOUNDS_S)
NOT_REFUSALS = frozenset(
    (401, 403, 429)
)  # about who asks and how often, not about what the model makes of it


def facts(ticket: Ticket, arm: ArmRoute, status: int, outcome: str) -> int:
    """What counts against the assigned arm, whoever answered; and the count of how the request ended."""
    found = 0
    if outcome == "ok":
        found = _answered(ticket, status)
    elif outcome == "client_abort":
        arm.tallies.aborts.n += 1
    else:
        found = ERROR
        arm.tallies.faults[outcome].n += 1
    if ticket.failed:
        found |= ERROR | FALLBACK
        if ticket.failed in FAULTS:
            arm.tallies.faults[ticket.failed].n += 1
    return found


def _answered(ticket: Ticket, status: int) -> int:
    """The facts of an answer; it is counted under the arm that gave it."""
    served = ticket.served
    if served is not None:
        served.tallies.statuses[status // 100 - 1].n += 1
        if served.standing.breaker.failures:
            served.standing.breaker.answered()
    if status >= 500:
        return ERROR
    return REFUSED if status >= 400 and status not in NOT_REFUSALS else 0


def timed(tallies: ArmTallies, latency_us: int, first_byte_us: int) -> None:
    """Count how long it took; 0 for an answer that never began."""
    at = bisect_left(BOUNDS_US, latency_us)
    tallies.latency_us.n += latency_us
    tallies.latency[at].n += 1
    if first_byte_us:
        if first_byte_us != latency_us:
            at = bisect_left(BOUNDS_US, first_byte_us)
        tallies.first_byte_us.n += first_byte_us
        tallies.first_byte[at].n += 1


def observed(arm: ArmRoute, answer: Observer) -> None:
    """Count what an answer said of itself."""
    for tally, tokens in zip(arm.tallies.tokens, (answer.tokens_in, answer.tokens_out), strict=True):
        if tokens is not None:
            tally.n += tokens


def measured(ticket: Ticket) -> Iterator[tuple[str, float]]:
    """What the gateway measures of an answer, by the names of ``MEASURES``; times in ms."""
    yield "first_byte", ticket.first_byte_us / 1000
    yield "gap", ticket.gap_us / 1000
    yield "size", ticket.answer_octets
    answer = ticket.observed
    if answer is not None:
        if answer.tokens_in is not None:
            yield "tokens_in", answer.tokens_in
        if answer.tokens_out is not None:
            yield "tokens_out", answer.tokens_out
        if answer.cost is not None:
            yield "cost", answer.cost
        yield from answer.found.items()
