"""``/decide``: which arm a request gets, for proxies that route by themselves. Asked with the request's head.

nginx (``auth_request``) names the request in ``X-Original-URI`` and ``X-Original-Method``; Envoy (``ext_authz`` by HTTP)
asks with the request's own method and path behind ``/decide``. The answer is 200 whatever is decided, also when the named
request cannot be read: a proxy must not refuse a request because nothing is known about it, it serves control. Only who
names no request hears of it. An exposure is recorded as for any request; outcomes come from the proxy's own side, by the
decision id. ``deploy/decide.openapi.yaml`` describes it.

Never here: a decision that the gate would not make for the same request.
"""

from __future__ import annotations

import msgspec

from router.gateway.head import Head, RefusedHeadError, complete
from router.gateway.ticket import Refusal, Ticket

PATH = b"/decide"
TARGET_LIMIT = 16_384
NO_QUESTION: Refusal = (
    400,
    "no_question",
    "name the request in X-Original-URI and X-Original-Method, or ask at /decide/ with its own method and path",
)


def asks(path: bytes) -> bool:
    """Whether a path is that of questions."""
    return path.startswith(PATH) and path[len(PATH) :][:1] in (b"", b"/")


def question(head: Head) -> Head | Ticket:
    """The head of the request that is asked about, or the ticket that answers at once."""
    ticket = Ticket()
    rest = head.target[len(PATH) :]
    target = rest if rest[:1] == b"/" else head.field(b"x-original-uri") or b""
    if not target:
        ticket.refusal = NO_QUESTION
        return ticket
    asked = Head()
    asked.shape, asked.values = head.shape, head.values
    method = head.field(b"x-original-method") or head.method
    try:
        complete(asked, target, method, "1.1", TARGET_LIMIT, 1 << 62)
    except RefusedHeadError as problem:
        ticket.reply = told(ticket, problem.code)
        return ticket
    asked.host = head.field(b"x-original-host") or head.host
    asked.length, asked.chunked, asked.has_body = head.length, head.chunked, head.has_body
    asked.encrypted = head.encrypted
    return asked


def told(ticket: Ticket, reason: str) -> tuple[bytes, bytes]:
    """The fields and the JSON body of the answer."""
    arm = ticket.arm.name if ticket.arm is not None else None
    route = ticket.route.flag if ticket.route is not None else None
    lines = ticket.answer_headers
    if arm is not None and b"Pointsman-Arm: " not in lines:
        lines += f"Pointsman-Arm: {arm}\r\n".encode()
    lines += f"Pointsman-Reason: {reason}\r\nCache-Control: no-store\r\n".encode()
    document = {
        "arm": arm,
        "reason": reason,
        "route": route.route if route else None,
        "revision": route.revision if route else None,
        "analysed": ticket.arm_index >= 0,
    }
    return lines, msgspec.json.encode(document)
