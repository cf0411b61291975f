"""What an answer says on its way through: tokens, why the model stopped, which model it was, errors inside a stream.

Octets are looked at, never held back and never changed. A whole JSON answer is read up to a limit, a stream of events
event by event, and of those only the ones that can say something. What cannot be read is unknown, not zero.

Never here: a look into a compressed answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from router.gateway.pointer import parts_of, value_at
from router.gateway.shape import Field
from router.protocols import Protocol

READ_MOST = 65_536  # octets of a JSON answer, or of one event
EVENTS = b"text/event-stream"
JSON = b"application/json"
BINARY_LENGTH = b"inference-header-content-length"  # Open Inference Protocol: JSON first, tensors behind it
TELLING = (b'"usage"', b'"error"', b'"finish_reason":"', b'"stop_reason":"', b'"model"')
PREFIX = b"data:"


class Observer:
    """Reads one answer.

    Attributes:
        tokens_in: None when the answer does not say.
        tokens_out: the same.
        finish: why the model stopped.
        identity: which model says that it answered.
        failed: the answer holds an error though its status was good.
    """

    __slots__ = ("_events", "_fields", "_pieces", "_protocol", "_room", "_whole", "failed", "finish", "identity", "tokens_in",
                 "tokens_out")  # fmt: skip

    def __init__(self, protocol: Protocol, headers: list[Field]) -> None:
        self._protocol = protocol
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.finish: str | None = None
        self.identity: str | None = None
        self.failed = False
        fields = {key: value for key, _, value in headers}
        self._fields = fields
        kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        readable = b"content-encoding" not in fields
        self._events = kind == EVENTS and readable
        prefix = fields.get(BINARY_LENGTH, b"")
        self._whole = not prefix.isdigit()
        self._room = READ_MOST if self._whole else min(int(prefix), READ_MOST)
        if not readable or (self._whole and kind != JSON):
            self._room = -1
        self._pieces = b""
        self._identify({})

    def feed(self, data: bytes) -> None:
        """Octets of the body."""
        if self._events:
            *lines, self._pieces = (self._pieces + data).split(b"\n")
            for line in lines:
                if line.startswith(PREFIX) and any(mark in line for mark in TELLING):
                    self._read(line[len(PREFIX) :])
            if len(self._pieces) > READ_MOST:
                self._pieces = b""
        elif self._room >= 0:
            self._pieces += data[: self._room + 1 - len(self._pieces)]
            if self._whole and len(self._pieces) > self._room:
                self._room = -1
                self._pieces = b""

    def end(self) -> None:
        """The answer is whole."""
        if self._events:
            self.feed(b"\n")
        elif self._room >= 0:
            self._read(self._pieces[: self._room])
        self._pieces = b""

    def _read(self, text: bytes) -> None:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        row = self._protocol
        self.tokens_in = _count(document, row.tokens_in, self.tokens_in)
        self.tokens_out = _count(document, row.tokens_out, self.tokens_out)
        finish = _first(document, row.finish)
        self.finish = finish if isinstance(finish, str) else self.finish
        self.failed = self.failed or _first(document, row.failed) is not None
        self._identify(document)

    def _identify(self, document: object) -> None:
        if self.identity is not None:
            return
        for place in self._protocol.identity:
            kind, _, name = place.partition(":")
            if kind == "header":
                value: object = self._fields.get(name.encode())
                value = value.decode("latin-1") if isinstance(value, bytes) else None
            else:
                value = value_at(document, parts_of(name))
            if isinstance(value, str | int) and value != "":
                self.identity = str(value)[:200]
                return


def _first(document: object, pointers: Iterable[str]) -> Any:
    found = (value_at(document, parts_of(pointer)) for pointer in pointers)
    return next((value for value in found if value is not None), None)


def _count(document: object, pointers: Iterable[str], before: int | None) -> int | None:
    value = _first(document, pointers)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else before
