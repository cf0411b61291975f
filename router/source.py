"""Where in a request its unit and its attributes stand, as gateways read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from router.errors import Problem

OnMissing = Literal["control", "error", "mint-cookie"]
Secure = Literal["auto", "forwarded", "always", "never"]
UNIT_PLACES = ("header", "cookie", "query", "path", "json", "jwt", "request")
ATTRIBUTE_PLACES = ("header", "header-list", "cookie", "query", "path", "host", "method", "json")


class TokenSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are believed.

    Attributes:
        keys: of the issuer, each as text or as the name of a secret; one that verifies a token is enough.
        algorithms: of its signatures.
        jwks: where the issuer publishes its keys as a JWK set, in place of ``keys``; empty where it does not.
        field: of the request, lower case, ``Bearer`` before the token or not.
        issuer: empty when it is not asked.
        audience: empty when it is not asked.
    """

    keys: tuple[str, ...]
    algorithms: tuple[str, ...]
    field: str = "authorization"
    issuer: str = ""
    audience: str = ""
    jwks: str = ""


class UnitSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the unit stands in a request; the first place that holds one wins.

    Attributes:
        secure: how it is known whether a cookie that is minted is ``Secure``; absent from the stored form for ``auto``.
    """

    kind: str
    places: tuple[tuple[str, str], ...]
    on_missing: OnMissing = "control"
    jwt: TokenSource | None = None
    secure: Secure | msgspec.UnsetType = msgspec.UNSET


def misplaced(unit: UnitSource, attributes: Sequence[tuple[str, str, str]]) -> Iterator[Problem]:
    """What no gateway could look up: an unknown place, or a token that nobody holds a key for.

    Args:
        unit: of a flag.
        attributes: of it: name, kind of place, and where there.
    """
    for kind, _ in unit.places:
        if kind not in UNIT_PLACES:
            yield Problem("unit.places", f"one of {', '.join(UNIT_PLACES)}", repr(kind))
        if kind == "jwt" and unit.jwt is None:
            yield Problem("unit.jwt", "keys for the tokens that hold the unit", "none")
    for name, kind, _ in attributes:
        if kind not in ATTRIBUTE_PLACES:
            yield Problem(f"attributes.{name}", f"one of {', '.join(ATTRIBUTE_PLACES)}", repr(kind))
