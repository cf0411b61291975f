"""An arm as people write it: its servers, what it sets on its requests, what it declares, what asking for it gives."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from router.address import Address
from router.flag import Arm, ArmSet, Value
from router.quantity import Unreadable, decimal, signed, whole
from router.serving import PoolLimits
from router.serving_keys import FieldName, LimitsModel, Pointer, PriceModel
from router.strict import Strict, reads, request_path, truth

LARGEST_OBJECT = 16 << 10  # octets of JSON that one arm's value may be: every answer carries it


def _finite(text: str) -> float:
    """A number that JSON can hold."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _json_value(value: object) -> Any:
    """Plain values are text in our files: what reads as JSON is JSON, all else is text."""
    if isinstance(value, dict):
        return {name: _json_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json_value(one) for one in value]
    try:
        return (
            json.loads(value, parse_float=_finite, parse_constant=_finite)
            if isinstance(value, str)
            else value
        )
    except (ValueError, RecursionError):
        return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable("a text", value)
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable("a mapping, since the type is object", value)
    read: dict[str, Any] = _json_value(value)
    if len(json.dumps(read)) > LARGEST_OBJECT:
        raise Unreadable(f"a mapping of at most {LARGEST_OBJECT:,} octets of JSON", "a larger one")
    return read


# What asking for a flag gives, by the route's type: how it is read from a file.
VALUES: dict[str, Callable[[object], Value]] = {
    "string": _text,
    "boolean": truth,
    "integer": signed,
    "float": decimal,
    "object": _object,
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


def _endpoint(value: object) -> str:
    address = _upstream(value)
    if Address.parse(address).base:
        raise Unreadable("an address without a path, which stands in 'upstream'", value)
    return address


def _field_value(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise Unreadable("a field value of printable ASCII", value)
    return value


class SetModel(Strict):
    """What an arm sets on a request."""

    path: Annotated[str, reads(request_path)] | None = None
    headers: dict[FieldName, Annotated[str, reads(_field_value)]] = {}
    json_: Annotated[
        dict[Pointer, Annotated[Any, BeforeValidator(_json_value)]],
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
    value: str | dict[str, Any] | None = None
    price: PriceModel | None = None
    endpoints: Annotated[list[Annotated[str, reads(_endpoint)]], Field(max_length=64)] = []
    limits: LimitsModel | None = None
    warm: Annotated[int, reads(whole), Field(le=10_000)] = 0

    def pool(self) -> PoolLimits | None:
        """Its servers and their limits; None where it is one server without any."""
        if self.limits is None and not self.endpoints:
            return None
        return (self.limits or LimitsModel()).compiled(tuple(self.endpoints))

    def needs_upstream(self) -> bool:
        """Whether it says what only an arm with servers can mean."""
        return any((self.set, self.declares, self.price, self.endpoints, self.limits, self.warm))

    def base(self) -> str:
        """The path that stands in the place of what its route matched; empty where that stays."""
        base = Address.parse(self.upstream).base if self.upstream else ""
        return base + ((self.set.path if self.set else None) or "")

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
        return Arm(
            name,
            self.upstream or "",
            self._identity(kind),
            settings,
            self.declares,
            value,
            self.price.compiled() if self.price else None,
            self.pool(),
            self.warm,
        )

    def _identity(self, kind: str) -> str:
        """A digest of what this arm is."""
        what = self.upstream or ""
        if self.set is not None:
            # Secrets stand by name in it: another key is not another model.
            what += "\n" + json.dumps(self.set.model_dump(by_alias=True), sort_keys=True)
        if self.declares:
            what += "\n" + self.declares
        if self.value is not None:
            said = self.value if isinstance(self.value, str) else json.dumps(self.value, sort_keys=True)
            what += f"\n\n{kind} {said}"
        return hashlib.blake2b(what.encode(), digest_size=8).hexdigest()
