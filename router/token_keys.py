"""What people write about the tokens that hold a unit: whose they are, and by what they are verified."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from router.flag import TokenSource
from router.quantity import Unreadable
from router.serving_keys import LowerFieldName
from router.strict import Strict, reads, wrong

# "none" and unknown ones cannot be written.
Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _published(value: object) -> str:
    """Where a JWK set is: an address that nobody on the way can change, or a file of the gateway."""
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        well = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
        well |= parts.scheme == "https" and bool(parts.hostname)
        well |= parts.scheme == "http" and parts.hostname in LOOPBACK
    except ValueError:
        well = False
    if not well or not text.isprintable() or not text.isascii() or " " in text:
        expected = "https://HOST/PATH, http:// on this machine, or file:/PATH"
        raise Unreadable(expected, value)
    return text


class TokensModel(Strict):
    """Whose tokens are believed."""

    keys: Annotated[list[str], Field(max_length=8)] = []
    jwks: Annotated[str, reads(_published)] = ""
    algorithms: Annotated[list[Algorithm], Field(min_length=1)]
    field: LowerFieldName = "authorization"
    issuer: str = ""
    audience: str = ""

    @model_validator(mode="after")
    def _keys_of_one_kind(self) -> TokensModel:
        if bool(self.keys) == bool(self.jwks):
            raise wrong("either 'keys' or 'jwks'", "both" if self.keys else "neither")
        if self.jwks and any(name.startswith("HS") for name in self.algorithms):
            raise wrong("algorithms of public keys, which a set may publish", ", ".join(self.algorithms))
        return self

    @model_validator(mode="after")
    def _secrets_by_name(self) -> TokensModel:
        shared = any(name.startswith("HS") for name in self.algorithms)
        if shared and not all(key.startswith(("${env:", "${file:")) for key in self.keys):
            raise wrong("shared keys by name only, ${env:NAME} or ${file:PATH}", "a key in the file")
        if shared and not all(name.startswith("HS") for name in self.algorithms):
            raise wrong("algorithms of one kind: shared keys (HS) or public ones", ", ".join(self.algorithms))
        return self

    def compiled(self) -> TokenSource:
        """As gateways read it."""
        keys, algorithms = tuple(self.keys), tuple(self.algorithms)
        return TokenSource(keys, algorithms, self.field, self.issuer, self.audience, self.jwks)
