"""One request's way: what the HTTP side needs, what it measures, and what is kept until the request has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.assignment import Reason
    from router.gateway.answer_reader import AnswerReader
    from router.gateway.arm import ArmRoute
    from router.gateway.recorder import Block, RunBuffer
    from router.gateway.running import Running
    from router.gateway.setting import Edit
    from router.gateway.snapshot import CompiledRoute

Refusal = tuple[int, str, str]


class Ticket:
    """A request's way. What stands here as of the class is not written for each request.

    Attributes:
        arm: the assigned one; what goes wrong counts against it, whoever answered.
        head: of the request, where an access log is kept; ``span`` likewise where spans are.
        served: the one that is asked now.
        reply: fields and body of an answer of our own, for a request that goes nowhere.
        running: the run it was asked about, else the first of the route; None without one.
        failed: how the assigned arm failed before another one was asked; empty when none was.
        asked_model: the model's name in the request, where an arm has set another and the client is to read its own.
        attempts: arm and outcome of each attempt that gave no answer; None when the first one did.
    """

    needs_body: int = 0
    refusal: Refusal | None = None
    reply: tuple[bytes, bytes] | None = None
    reason: Reason | None = None
    upstream: Any = None
    target: bytes = b""
    edit: Edit | None = None
    reader: AnswerReader | None = None
    asked_model: str = ""
    head: Any = None
    span: Any = None
    answer_headers: bytes = b""
    blocked: bool = False
    first_byte_ms: int = 0
    total_ms: int = 0
    first_byte_us: int = 0
    gap_us: int = 0
    answer_octets: int = 0
    observed: Any = None
    route: CompiledRoute | None = None
    running: Running | None = None
    arm: ArmRoute | None = None
    served: ArmRoute | None = None
    failed: str = ""
    attempts: list[str] | None = None
    retries: int = 0
    arm_index: int = -1
    buffer: RunBuffer | None = None
    place: tuple[Block, int] | None = None
    unit: int = 0
    time: int = 0
    request: int = 0
