"""What people write about the tokens that hold a unit: whose they are, and by what they are verified."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from router.flag import TokenSource
from router.serving_keys import LowerFieldName
from router.strict import Strict, wrong

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


class TokensModel(Strict):
    """Whose tokens are believed."""

    keys: Annotated[list[str], Field(min_length=1, max_length=8)]
    algorithms: Annotated[list[Algorithm], Field(min_length=1)]
    field: LowerFieldName = "authorization"
    issuer: str = ""
    audience: str = ""

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
        return TokenSource(tuple(self.keys), tuple(self.algorithms), self.field, self.issuer, self.audience)
