"""One request's way: what the HTTP side needs, what it measures, and what is kept until the request has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.assignment import Reason
    from router.gateway.answer_reader import AnswerReader
    from router.gateway.arm import ArmRoute
    from router.gateway.run_buffer import Block, RunBuffer
    from router.gateway.running import Running
    from router.gateway.setting import Edit
    from router.gateway.snapshot import CompiledRoute

Refusal = tuple[int, str, str]


class Ticket:
    """A request's way. What stands here as of the class is not written for each request.

    Attributes:
        needs_body: octets of body the gate wants to see before it decides; 0 when it has decided.
        refusal: (status, code, message) to answer instead of passing on.
        blocked: nobody is asked, the attempt has failed already.
        upstream: the pool to send to; ``target`` the request target to send.
        edit: what the arm sets on the request; None for nothing.
        reader: what is to be read in the answer; ``observed`` what was read in it.
        answer_headers: ready lines for the answer, each with its line end.
        first_byte_us: from the request's head to the answer's head; measured by the HTTP side, as the next two.
        gap_us: the longest silence inside the answer.
        answer_octets: of the answer's body.
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
