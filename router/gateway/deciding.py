"""``/decide``: which arm a request gets, for proxies that route by themselves. Asked with the request's head.

nginx (``auth_request``) names the request in ``X-Original-URI`` and ``X-Original-Method``; Envoy (``ext_authz`` by HTTP)
asks with the request's own method and path behind ``/decide``. The answer is 200 whatever is decided: a proxy must not
refuse a request because nothing is known about it, it serves control. An exposure is recorded as for any request;
outcomes come from the proxy's own side, by the decision id.

Never here: a decision that the gate would not make for the same request.
"""

from __future__ import annotations

import msgspec

from router.gateway.head import Head, RefusedHeadError, complete
from router.gateway.ticket import Ticket

PATH = b"/decide"
TARGET_LIMIT = 16_384
NO_ROUTE = "no_route"


def question(head: Head) -> Head | None:
    """The head of the request that is asked about; None when this one asks nothing."""
    rest = head.target[len(PATH) :]
    target = (head.field(b"x-original-uri") or b"") if rest[:1] in (b"", b"?") else rest
    if not target or rest[:1] not in (b"", b"?", b"/"):
        return None
    asked = Head()
    asked.shape, asked.values = head.shape, head.values
    try:
        complete(asked, target, head.field(b"x-original-method") or head.method, "1.1", TARGET_LIMIT, 1 << 62)
    except RefusedHeadError:
        return None
    asked.host = head.field(b"x-original-host") or head.host
    asked.length, asked.chunked, asked.has_body = head.length, head.chunked, head.has_body
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
