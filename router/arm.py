"""An arm as people write it: its upstream, what it sets on its requests, what it declares, what asking for it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from router.address import Address
from router.flag import Arm, ArmSet
from router.quantity import Unreadable, decimal, signed
from router.strict import FIELD_NAME, Strict, reads, request_path, truth

# What the gateway writes itself in every request.
OUR_FIELDS = frozenset(
    "connection content-length expect host keep-alive te trailer transfer-encoding upgrade via x-forwarded-for".split()
)
# What asking for a flag gives, by the route's type: how it is read from text.
VALUES: dict[str, Callable[[str], str | bool | int | float]] = {
    "string": str,
    "boolean": truth,
    "integer": signed,
    "float": decimal,
}


def _upstream(value: object) -> str:
    """The address of a model server."""
    try:
        Address.parse(value if isinstance(value, str) else "")
    except ValueError:
        expected = (
            "an address such as http://127.0.0.1:9001, https://models.example/v2 or unix:/run/model.sock"
        )
        raise Unreadable(expected, value) from None
    return str(value)


def _field_to_set(value: object) -> str:
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None or value.lower() in OUR_FIELDS:
        raise Unreadable("a field name that is not about framing or connections", value)
    return value


def _field_value(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise Unreadable("a field value of printable ASCII", value)
    return value


def _pointer(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise Unreadable("a JSON pointer that begins with '/'", value)
    return value


def _json_value(value: object) -> Any:
    """Plain values are text in our files: what reads as JSON is JSON, all else is text."""
    if isinstance(value, dict):
        return {name: _json_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json_value(one) for one in value]
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


class SetModel(Strict):
    """What an arm sets on a request."""

    path: Annotated[str, reads(request_path)] | None = None
    headers: dict[Annotated[str, reads(_field_to_set)], Annotated[str, reads(_field_value)]] = {}
    json_: Annotated[
        dict[Annotated[str, reads(_pointer)], Annotated[Any, BeforeValidator(_json_value)]],
        Field(alias="json"),
    ] = {}

    def compiled(self) -> ArmSet:
        """As gateways read it."""
        return ArmSet(self.path, tuple(self.headers.items()), tuple(self.json_.items()))


class ArmModel(Strict):
    """One alternative of a route."""

    upstream: Annotated[str, reads(_upstream)] | None = None
    set: SetModel | None = None
    declares: Annotated[str, reads(_field_value)] = ""
    value: str | None = None

    def compiled(self, name: str, kind: str) -> Arm:
        """The arm as a flag holds it.

        Args:
            name: its name.
            kind: the route's type, by which its value is read.

        Raises:
            Unreadable: the value is none of that type.
        """
        value = None if self.value is None else VALUES[kind](self.value)
        settings = self.set.compiled() if self.set else None
        return Arm(name, self.upstream or "", self._identity(kind), settings, self.declares, value)

    def _identity(self, kind: str) -> str:
        """A digest of what this arm is."""
        what = self.upstream or ""
        if self.set is not None:
            # Secrets stand by name in it: another key is not another model.
            what += "\n" + json.dumps(self.set.model_dump(by_alias=True), sort_keys=True)
        if self.declares:
            what += "\n" + self.declares
        if self.value is not None:
            what += f"\n\n{kind} {self.value}"
        return hashlib.blake2b(what.encode(), digest_size=8).hexdigest()
