"""One request's way: what the HTTP side needs, what it measures, and what is kept until the request has ended."""

from __future__ import annotations

from typing import Any

from router.assignment import Reason
from router.gateway.arm import ArmRoute
from router.gateway.recorder import Block, RunBuffer
from router.gateway.running import Running
from router.gateway.setting import Edit
from router.gateway.snapshot import CompiledRoute
from router.protocols import Protocol

Refusal = tuple[int, str, str]


class Ticket:
    """A request's way.

    Attributes:
        arm: the assigned one; what goes wrong counts against it, whoever answered.
        served: the one that is asked now.
        reply: fields and body of an answer of our own, for a request that goes nowhere.
        running: the run it was asked about, else the first of the route; None without one.
        failed: how the assigned arm failed before another one was asked; empty when none was.
        attempts: arm and outcome of each attempt that gave no answer; None when the first one did.
    """

    __slots__ = (
        "answer_headers", "answer_octets", "arm", "arm_index", "attempts", "blocked", "buffer", "edit", "failed",
        "first_byte_ms", "first_byte_us", "gap_us", "needs_body", "observed", "place", "protocol", "reason", "refusal", "reply",
        "request", "retries", "route", "running", "served", "target", "time", "total_ms", "unit", "upstream",
    )  # fmt: skip

    def __init__(self) -> None:
        self.needs_body = 0
        self.refusal: Refusal | None = None
        self.reply: tuple[bytes, bytes] | None = None
        self.reason: Reason | None = None
        self.upstream: Any = None
        self.target = b""
        self.edit: Edit | None = None
        self.protocol: Protocol | None = None
        self.answer_headers = b""
        self.blocked = False
        self.first_byte_ms = self.total_ms = 0
        self.first_byte_us = self.gap_us = self.answer_octets = 0
        self.observed: Any = None
        self.route: CompiledRoute | None = None
        self.running: Running | None = None
        self.arm: ArmRoute | None = None
        self.served: ArmRoute | None = None
        self.failed = ""
        self.attempts: list[str] | None = None
        self.retries = 0
        self.arm_index = -1
        self.buffer: RunBuffer | None = None
        self.place: tuple[Block, int] | None = None
        self.unit = self.time = self.request = 0
