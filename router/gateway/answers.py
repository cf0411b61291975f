"""Answers of our own: refusals and failures, each a status, a code and a sentence as JSON."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Status"))


def answer(
    status: int, content_type: bytes, body: bytes, *, close: bool, extra: bytes = b"", head_only: bool = False
) -> bytes:
    """A whole answer."""
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    head = b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b%b" % (
        status_line(status),
        content_type,
        len(body),
        extra,
        end,
    )
    return head if head_only else head + body


def failure(
    status: int, code: str, message: str, *, close: bool, extra: bytes = b"", head_only: bool = False
) -> bytes:
    """A refusal or a failure in the one JSON shape of errors."""
    body = msgspec.json.encode({"error": {"code": code, "message": message, "problems": []}})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra += b"Retry-After: 1\r\n"
    return answer(status, b"application/json", body, close=close, extra=extra, head_only=head_only)
