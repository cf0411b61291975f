"""What an arm sets on the requests it serves: fields, the path, values inside a JSON body. Compiled once.

Secrets stand in a flag only by name, ``${env:NAME}`` or ``${file:PATH}``, and are read here, when the flag is compiled.

Never here: a secret in an error, or a body that is changed without being framed anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from router.errors import Problem, SpecError
from router.flag import Arm, ArmSet, Flag
from router.gateway.head import Head
from router.gateway.observing import BINARY_LENGTH
from router.gateway.pointer import index_of, parts_of, value_at
from router.protocols import ROWS as PROTOCOLS
from router.serving import Serving

SECRET = re.compile(r"\$\{(env|file):([^}]+)\}")
# These describe the octets of a body as it was.
OF_THE_BODY = frozenset((b"content-md5", b"digest", b"content-digest", b"repr-digest", b"signature"))


class Edit:
    """An arm's ``set``, ready for requests.

    Attributes:
        lines: the fields it sets, each with its line end.
        drops: names of the fields that must not be copied from the client's request.
        path: instead of the route's own; None when it stays.
        changes_body: whether the body must be there as a whole.
        deadline: the field that says how many ms the client waits; empty for none.
    """

    __slots__ = ("_model", "_values", "changes_body", "deadline", "drops", "lines", "path")

    def __init__(
        self, wanted: ArmSet, place: str, *, deadline: bytes = b"", model: tuple[str, ...] = ()
    ) -> None:
        fields = [(name, resolved(value, f"{place}.headers.{name}")) for name, value in wanted.headers]
        self.lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)
        self._values = [
            (parts_of(pointer), _filled(value, f"{place}.json")) for pointer, value in wanted.json
        ]
        self.changes_body = bool(self._values)
        names = frozenset(name.lower().encode() for name, _ in fields)
        self.drops = names | (OF_THE_BODY | {BINARY_LENGTH} if self.changes_body else frozenset())
        self.path = None if wanted.path is None else wanted.path.encode()
        self.deadline = deadline
        if deadline:
            self.drops |= {deadline}
        self._model = _replaced(model, wanted)
        if self._model:
            self.drops |= {b"accept-encoding"}  # a compressed answer could not be read

    def waits_ms(self, head: Head) -> int | None:
        """How many ms the client waits, if it says so."""
        text = (head.field(self.deadline) or b"") if self.deadline else b""
        return int(text) if text.isdigit() and len(text) < 10 else None

    def asked_model(self, head: Head, body: bytes) -> str:
        """The model that a request asks for, where this arm sets another one; else nothing."""
        kind, _, name = self._model.partition(":")
        if kind == "segment":
            _, _, rest = head.path.partition(b"/%b/" % name.encode())
            return re.split(rb"[/:]", rest, maxsplit=1)[0].decode("latin-1")
        if kind != "json":
            return ""
        try:
            found = value_at(msgspec.json.decode(body), parts_of(name))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        return found if isinstance(found, str) else ""

    def body(self, body: bytes, prefix: bytes | None) -> tuple[bytes, bytes]:
        """The body with this arm's values in it, and the fields that belong to it.

        Args:
            body: as the client sent it.
            prefix: the request's Inference-Header-Content-Length, behind which raw tensors stand.
        """
        cut = int(prefix) if prefix is not None and prefix.isdigit() else len(body)
        changed = self._changed(body[:cut]) + body[cut:]
        if prefix is None:
            return changed, b""
        return changed, b"%b: %d\r\n" % (BINARY_LENGTH, cut + len(changed) - len(body))

    def _changed(self, text: bytes) -> bytes:
        """What is no JSON object stays as it is: its own server will say so."""
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return text
        if not isinstance(document, dict):
            return text
        for parts, value in self._values:
            _put(document, parts, value)
        return msgspec.json.encode(document)


def edit_of(flag: Flag, arm: Arm) -> Edit | None:
    """What is changed in the requests of an arm; None for nothing."""
    serving = flag.serving or Serving()
    if arm.set is None and not serving.deadline:
        return None
    model = PROTOCOLS[flag.protocol].model if serving.restore_model else ()
    at_path = f"arms.{arm.name}.set"
    return Edit(arm.set or ArmSet(), at_path, deadline=serving.deadline.encode(), model=model)


def _replaced(model: tuple[str, ...], wanted: ArmSet) -> str:
    """The place of a request's model name that an arm sets; empty when it sets none."""
    pointers = [f"json:{pointer}" for pointer, _ in wanted.json]
    for place in model:
        if place in pointers or (place.startswith("segment:") and wanted.path is not None):
            return place
    return ""


def _put(place: Any, parts: Sequence[str], value: object) -> None:
    """Set a value; objects on the way are made, elements of arrays must be there."""
    *way, last = parts
    for part in way:
        place = place.setdefault(part, {}) if isinstance(place, dict) else value_at(place, (part,))
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and index_of(last) < len(place):
        place[index_of(last)] = value


def _filled(value: Any, at: str) -> Any:
    """A JSON value with its secrets in it."""
    if isinstance(value, str):
        return resolved(value, at)
    if isinstance(value, list | tuple):
        return [_filled(one, at) for one in value]
    if isinstance(value, dict):
        return {name: _filled(one, at) for name, one in value.items()}
    return value


def resolved(text: str, at: str, *, lines: bool = False) -> str:
    """A text with each ``${env:NAME}`` and ``${file:PATH}`` replaced; of several lines only where they may be.

    Raises:
        SpecError: there is no such variable or file, or it holds what no field may.
    """

    def read(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        try:
            found = os.environ[name] if kind == "env" else Path(name).read_text(encoding="utf-8").strip()
        except (KeyError, OSError, UnicodeDecodeError):
            raise SpecError([Problem(at, f"a secret in {kind}:{name} of the gateway", "none")]) from None
        if not lines and any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in found):
            raise SpecError([Problem(at, f"one line in {kind}:{name}", "a value with control characters")])
        return found

    return SECRET.sub(read, text)
