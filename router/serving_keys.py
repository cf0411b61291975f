"""What people write about serving in a route file: prices, deadlines, outcomes by pointer."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from router.quantity import Unreadable
from router.serving import FIXED, Comparison, PoolLimits, Price, Shadow
from router.strict import FIELD_NAME, Duration, Name, Percent, Strict, Whole, reads

# What the gateway writes itself in every request.
OUR_FIELDS = frozenset(
    "connection content-length expect host keep-alive te trailer transfer-encoding upgrade via x-forwarded-for".split()
)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_PRICE = re.compile(r"\d{1,9}(?:\.\d{1,6})?")


def field_to_set(value: object) -> str:
    """A field that people may name: none that the gateway writes itself."""
    if not isinstance(value, str) or FIELD_NAME.fullmatch(value) is None or value.lower() in OUR_FIELDS:
        raise Unreadable("a field name that is not about framing or connections", value)
    return value


def lower_field_name(value: object) -> str:
    """The same, as fields are looked up."""
    return field_to_set(value).lower()


def pointer(value: object) -> str:
    """A JSON pointer (RFC 6901) to something inside a document."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise Unreadable("a JSON pointer that begins with '/'", value)
    return value


def _price(value: object) -> int:
    if not isinstance(value, str) or _PRICE.fullmatch(value) is None:
        raise Unreadable("a price of a million tokens such as '0.15', with at most six decimals", value)
    return int(Decimal(value) * FIXED)


def _tolerance(value: object) -> float:
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise Unreadable("a number such as '0.01'", value)
    return float(value)


FieldName = Annotated[str, reads(field_to_set)]
LowerFieldName = Annotated[str, reads(lower_field_name)]
Pointer = Annotated[str, reads(pointer)]
Cost = Annotated[int, reads(_price)]


class PriceModel(Strict):
    """What a million tokens cost."""

    tokens_in: Cost
    tokens_out: Cost

    def compiled(self) -> Price:
        """As gateways read it."""
        return Price(self.tokens_in, self.tokens_out)


class CompareModel(Strict):
    """At which places two answers must agree, and how far numbers may differ."""

    fields: list[Pointer] = []
    tolerance: Annotated[float, reads(_tolerance)] = 0.0


class ShadowModel(Strict):
    """Copies of requests to another arm."""

    arm: Name
    share: Percent
    methods: Annotated[list[Literal["GET", "POST", "PUT"]], Field(min_length=1)] = ["GET", "POST"]
    compare: Literal["equal"] | CompareModel | None = None

    def compiled(self) -> Shadow:
        """As gateways read it."""
        how = self.compare
        compare = Comparison() if how == "equal" else None
        if isinstance(how, CompareModel):
            compare = Comparison(tuple(how.fields), how.tolerance)
        return Shadow(self.arm, self.share, tuple(self.methods), compare)


class LimitsModel(Strict):
    """How much of an arm's servers one worker uses at a time."""

    requests: Whole = 0
    connections: Whole = 0
    queue: Whole = 0
    queue_time: Duration = 1000

    def compiled(self, endpoints: tuple[str, ...]) -> PoolLimits:
        """As gateways read it."""
        return PoolLimits(endpoints, self.requests, self.connections, self.queue, self.queue_time)
