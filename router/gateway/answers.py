"""Answers of our own: refusals and failures, each a status, a code and a sentence as JSON."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

import msgspec

from router.protocols import ROWS as PROTOCOLS
from router.protocols import Shape

PLAIN = PROTOCOLS["plain"].error
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in REASONS.items()}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What a client is told when its arm gave no answer, by the outcome that is recorded.
FAILURES = {
    "connect_failed": (502, "connect_failed", "the model server cannot be reached"),
    "timeout": (504, "timeout", "the model server did not answer in time"),
    "bad_answer": (502, "bad_answer", "the model server's answer is not valid HTTP"),
    "truncated": (502, "truncated", "the model server closed the connection before it answered"),
    "circuit_open": (
        503,
        "circuit_open",
        "the model server gave no answers just now and is left alone for a moment",
    ),
    "no_room": (
        503,
        "no_room",
        "as many requests as this arm's model servers may have are under way; try again",
    ),
    "not_set": (
        413,
        "body_too_long",
        "this arm changes the body, which must be uncompressed and short enough to hold",
    ),
}


def date_line(now: float) -> bytes:
    """The Date field of an answer that has none, at a time in s since 1970 UTC (RFC 9110 section 6.6.1)."""
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode()


def answer(
    status: int, content_type: bytes, body: bytes, *, close: bool, extra: bytes = b"", head_only: bool = False
) -> bytes:
    """A whole answer."""
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    head = b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b" % (
        STATUS_LINES[status],
        content_type,
        len(body),
        extra,
        end,
    )
    return head if head_only else head + body


def failure(
    status: int,
    code: str,
    message: str,
    *,
    close: bool,
    extra: bytes = b"",
    head_only: bool = False,
    shape: Shape = PLAIN,
) -> bytes:
    """A refusal or a failure as JSON, in the shape that the client's protocol knows."""
    body = msgspec.json.encode(shape(status, code, message))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra += b"Retry-After: 1\r\n"
    return answer(status, b"application/json", body, close=close, extra=extra, head_only=head_only)
