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
from router.serving import Price

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
        found: values of the route's outcomes.
        price: of its tokens; None when the arm has none.
        pointers: the route's outcomes and where they stand.
        document: the whole answer, when it was JSON short enough to read.
        copies: of the request, to be sent when its answer has left.
    """

    __slots__ = ("_charged", "_events", "_fields", "_pieces", "_protocol", "_room", "_whole", "copies", "document", "failed", "finish", "found",
                 "identity", "pointers", "price", "tokens_in", "tokens_out")  # fmt: skip

    def __init__(self, protocol: Protocol, headers: list[Field]) -> None:
        self._protocol = protocol
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.finish: str | None = None
        self.identity: str | None = None
        self.failed = False
        self.found: dict[str, float] = {}
        self.price: Price | None = None
        self.pointers: tuple[tuple[str, str], ...] = ()
        self.document: Any = None
        self.copies: tuple[Any, ...] = ()
        self._charged: float | None = None
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

    @property
    def cost(self) -> float | None:
        """As a field of the answer says, else its tokens at the arm's price; None when neither is known."""
        if self._charged is not None or self.price is None:
            return self._charged
        return self.price.cost(self.tokens_in, self.tokens_out)

    def charged(self, field: bytes) -> None:
        """A field of the answer may say what it cost."""
        try:
            value = float(self._fields.get(field, b""))
        except ValueError:
            return
        self._charged = value if 0 <= value < float("inf") else None

    def framed(self, headers: list[Field], length: int | None) -> tuple[list[Field], int | None]:
        """The head's fields and the body's length as they go on."""
        return headers, length

    def feed(self, data: bytes) -> bytes:
        """Octets of the body; those that go on now."""
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
        return data

    def end(self) -> bytes:
        """The answer is whole; octets that go on only now."""
        if self._events:
            Observer.feed(self, b"\n")
        elif self._room >= 0:
            self.document = self._read(self._pieces[: self._room])
            self._find()
        self._pieces = b""
        return b""

    def _find(self) -> None:
        """The route's outcomes: numbers, yes or no as 1 or 0; of a batch's items the mean, since a request is one unit."""
        for metric, pointer in self.pointers:
            value = value_at(self.document, parts_of(pointer))
            items = value if isinstance(value, list) else [value]
            if items and all(isinstance(item, int | float) for item in items):
                self.found[metric] = sum(map(float, items)) / len(items)

    def _read(self, text: bytes) -> object:
        try:
            document: object = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        row = self._protocol
        self.tokens_in = _count(document, row.tokens_in, self.tokens_in)
        self.tokens_out = _count(document, row.tokens_out, self.tokens_out)
        finish = _first(document, row.finish)
        self.finish = finish if isinstance(finish, str) else self.finish
        self.failed = self.failed or _first(document, row.failed) is not None
        self._identify(document)
        return document

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
