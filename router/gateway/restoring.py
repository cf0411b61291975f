"""The model's name put back: a client that asked for one model, and was served by an arm that sets another, reads its own.

Only the value at the protocol's places is replaced; what stands around it keeps its octets, but for spaces between the
members of the objects on the way. An answer that is compressed, too long to hold or no JSON object passes as it is.

Before binary tensors stands JSON whose length a field of the head tells, and the head leaves before the JSON is there: it
tells as much as the JSON can become, and what the name does not need is filled with spaces, which end a JSON text as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.gateway.observing import BINARY_LENGTH, PREFIX, READ_MOST, Observer
from router.gateway.shape import Field
from router.protocols import Protocol

OF_THE_BODY = frozenset((b"content-md5", b"digest", b"content-digest", b"repr-digest", b"etag"))
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Restorer(Observer):
    """Reads an answer and passes it on under the asked model's name."""

    __slots__ = ("_before", "_model", "_passing", "_told", "_waiting")

    def __init__(self, protocol: Protocol, headers: list[Field], model: str) -> None:
        super().__init__(protocol, headers)
        self._model = model
        self._waiting = b""
        whole = self._whole and self._room == READ_MOST
        self._before = self._binary_prefix()  # octets of JSON before tensors, as they come
        self._told = self._before + len(protocol.named) * len(msgspec.json.encode(model))  # and as they go on
        self._passing = not (self._events or whole or self._before)

    def _binary_prefix(self) -> int:
        """0 where there are no tensors, or more JSON than is held, or octets that cannot be read."""
        if self._whole or self._room < 0 or not self._protocol.named:
            return 0
        length = int(self._fields[BINARY_LENGTH])
        return length if length <= READ_MOST else 0

    def framed(self, headers: list[Field], length: int | None) -> tuple[list[Field], int | None]:
        """The head as it goes on: another length is not known yet."""
        if self._before and length is not None and length < self._before:
            self._passing = True
        if self._passing:
            return headers, length
        headers = [field for field in headers if field[0] not in OF_THE_BODY]
        if not self._before:
            return headers, None
        told = b"%d" % self._told
        headers = [(key, name, told if key == BINARY_LENGTH else value) for key, name, value in headers]
        return headers, None if length is None else length + self._told - self._before

    def feed(self, data: bytes) -> bytes:
        """Octets of the answer; those that may go on."""
        super().feed(data)
        if self._passing:
            return data
        self._waiting += data
        if self._before:
            return self._filled() if len(self._waiting) >= self._before else b""
        if self._events:
            lines, end, self._waiting = self._waiting.rpartition(b"\n")
            ready = b"\n".join([self._line(line) for line in lines.split(b"\n")]) + end if end else b""
        else:
            ready = b""
        if len(self._waiting) > READ_MOST:
            self._passing = True
            return ready + self._rest()
        return ready

    def end(self) -> bytes:
        """The answer is whole; what was held of it."""
        super().end()
        rest = self._rest()
        if self._passing or self._before or not rest:
            return rest
        return self._line(rest) if self._events else self._renamed(rest)

    def _filled(self) -> bytes:
        """The JSON before the tensors under the asked name, as long as the head has told, and what came of the tensors."""
        octets, self._passing = self._rest(), True
        text, tensors = octets[: self._before], octets[self._before :]
        new = self._renamed(text)
        return (new if len(new) <= self._told else text).ljust(self._told) + tensors

    def _rest(self) -> bytes:
        rest, self._waiting = self._waiting, b""
        return rest

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(PREFIX) or b'"model"' not in line:
            return line
        text = line[len(PREFIX) :]
        space = text[: len(text) - len(text.lstrip(b" "))]
        return PREFIX + space + self._renamed(text[len(space) :])

    def _renamed(self, text: bytes) -> bytes:
        for pointer in self._protocol.named:
            text = renamed(text, pointer.split("/")[1:], self._model)
        return text


def renamed(text: bytes, tokens: list[str], name: str) -> bytes:
    """A JSON object with the string at the tokens replaced; anything else stays as it is."""
    found: Mapping[str, msgspec.Raw]
    try:
        found = _members.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text
    first, *rest = tokens
    inner = bytes(found[first]) if first in found else b""
    named = msgspec.json.encode(name) if inner[:1] == b'"' else inner
    new = renamed(inner, rest, name) if rest else named
    if new == inner:
        return text
    end = text[len(text.rstrip()) :]  # a carriage return before the line's end
    return msgspec.json.encode({**found, first: msgspec.Raw(new)}) + end
