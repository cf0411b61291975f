"""Outcomes that come with an answer: what its model server reports in a field, and what is measured or read in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from router.events import key_digest, to_fixed
from router.gateway.counters import Row
from router.gateway.recorder import Recorder
from router.gateway.ticket import Ticket

REPORT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9_.-]{0,63})\s*=\s*([-+0-9.eE]{1,32})\s*")
REPORTS_PER_ANSWER: Final = 16


class Reports:
    """Writes them down, and counts what model servers report."""

    __slots__ = ("_clock", "_malformed", "_recorder", "_stray", "_taken")

    def __init__(self, recorder: Recorder, row: Row, clock: Callable[[], int]) -> None:
        self._recorder = recorder
        self._clock = clock
        self._taken = row.tally("pointsman_reported_outcomes", result="taken")
        self._malformed = row.tally("pointsman_reported_outcomes", result="malformed")
        self._stray = row.tally("pointsman_reported_outcomes", result="not_analysed")

    def reported(self, ticket: Ticket, value: bytes) -> None:
        """An answer's field ``Pointsman-Outcome: metric=value``; several are parted by commas."""
        for part in value.decode("latin-1").split(",")[:REPORTS_PER_ANSWER]:
            match = REPORT.fullmatch(part)
            try:
                fixed = to_fixed(float(match.group(2))) if match else None
            except ValueError:
                fixed = None
            if match is None or fixed is None:
                self._malformed.n += 1
            elif ticket.buffer is None or ticket.route is None:
                self._stray.n += 1
            else:
                self._taken.n += 1
                self.write_down(ticket, match.group(1), fixed)

    def write_down(self, ticket: Ticket, metric: str, fixed: int) -> None:
        """One outcome of this request beside the built-in ones."""
        if ticket.buffer is None or ticket.route is None:
            return
        self._recorder.reported(
            ticket.buffer,
            ticket.route.flag.revision,
            ticket.unit,
            metric,
            fixed,
            self._clock(),
            ticket.time,
            key_digest(f"{ticket.request}/{metric}"),
            ticket.arm_index,
        )
