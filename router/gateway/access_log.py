"""One line of JSON for each request, where the setting asks for it: a gate around the gate, so that others pay nothing.

Lines are gathered in memory and written beside the requests. A file that takes nothing, a full pipe for instance, costs
lines, which are counted, and never a request. No query, field or body is written: they may hold secrets.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import Any

import msgspec

from router.gateway.counters import Row
from router.gateway.head import Head
from router.gateway.ports import Gate

STDOUT = "-"
WAITING_MOST = 10_000  # lines
Line = tuple[float, Head, Any, int, str, int]


class AccessLog:
    """A gate that writes down what the one behind it was asked."""

    def __init__(self, gate: Gate, path: str, row: Row) -> None:
        self._gate = gate
        self._path = path
        self._lines: deque[Line] = deque()
        self._dropped = row.tally("pointsman_access_lines_dropped")
        self._file = -1
        self._writing: asyncio.Future[None] | None = None
        self.local = gate.local
        self.again = gate.again
        self.instead = gate.instead
        self.noted = gate.noted
        self.reported = gate.reported

    def route(self, head: Head, body: bytes | None) -> Any:
        """Where a request goes."""
        ticket = self._gate.route(head, body)
        ticket.head = head
        if ticket.refusal is not None:
            self._gather((time.time(), head, ticket, ticket.refusal[0], ticket.refusal[1], 0))
        return ticket

    def finished(self, ticket: Any, status: int, outcome: str, latency_us: int) -> None:
        """A request has ended."""
        self._gate.finished(ticket, status, outcome, latency_us)
        self._gather((time.time(), ticket.head, ticket, status, outcome, latency_us))

    def _gather(self, line: Line) -> None:
        if len(self._lines) >= WAITING_MOST:
            self._dropped.n += 1
        else:
            self._lines.append(line)

    def write(self) -> None:
        """Write what was gathered, in a thread; nothing while the last write is not done."""
        if self._lines and (self._writing is None or self._writing.done()):
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, lines)

    async def written(self, within_s: float) -> None:
        """Wait for what is being written, and write the rest."""
        for _ in range(2):
            self.write()
            if self._writing is not None:
                await asyncio.wait([self._writing], timeout=within_s)

    def _write(self, lines: list[Line]) -> None:
        text = b"".join([shown(line) for line in lines])
        try:
            if self._file < 0:
                # Opened at each start of a worker: a reload begins a rotated file.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                self._file = 1 if self._path == STDOUT else os.open(self._path, flags, 0o640)
            while text:
                text = text[os.write(self._file, text) :]
        except OSError:
            self._dropped.n += text.count(b"\n")


def shown(line: Line) -> bytes:
    """One line; what is unknown is left out."""
    at, head, ticket, status, outcome, latency_us = line
    route, arm, served = ticket.route, ticket.arm, ticket.served
    attempts = ticket.attempts
    if attempts is None and ticket.failed:
        attempts = [f"{arm.name}={ticket.failed}"]  # it did answer, with a 5xx
    found = {
        "time": round(at, 3),
        "method": head.method.decode("latin-1"),
        "host": head.host.decode("latin-1"),
        "path": head.path.decode("latin-1"),
        "status": status,
        "outcome": outcome,
        "ms": latency_us / 1000,
        "first_byte_ms": ticket.first_byte_us / 1000 or None,
        "octets": ticket.answer_octets,
        "route": route.flag.route if route is not None else None,
        "revision": route.flag.revision if route is not None else None,
        "arm": arm.name if arm is not None else None,
        "served": served.name if served is not None and served is not arm else None,
        "attempts": attempts,
        "reason": ticket.reason.value if ticket.reason is not None else None,
        "trace": None if (parent := head.field(b"traceparent")) is None else parent.decode("latin-1"),
    }
    return msgspec.json.encode({key: value for key, value in found.items() if value is not None}) + b"\n"
