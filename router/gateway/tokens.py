"""A unit from a token's claim: believed only when the signature, the times, the issuer and the audience are good.

A token that is not believed is an absent unit, as if it had not been sent. PyJWT does the verification and is loaded only
where a route uses it. A verified token is remembered until it expires: clients send the same one again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from router.errors import Problem, SpecError
from router.flag import TokenSource
from router.gateway.setting import resolved

LEEWAY_S = 30  # clocks of issuers differ
KNOWN = 4096  # verified tokens that are remembered
LONGEST = 8192  # octets of a token that are worth a verification
BEARER = b"bearer "


class Verifier:
    """Reads claims of tokens by one route's rules.

    Raises:
        SpecError: PyJWT is not installed, or a key cannot be read or does not fit the algorithms.
    """

    def __init__(self, source: TokenSource, now: Callable[[], float] = time.time) -> None:
        self._field = source.field.encode()
        self._now = now
        self._known: dict[bytes, tuple[float, dict[str, Any]]] = {}
        try:
            import jwt
        except ImportError:
            hint = "install PyJWT, with its extra 'crypto' for RS, PS, ES and EdDSA"
            raise SpecError([Problem("unit.jwt", "PyJWT in this gateway", "none", hint)]) from None
        self._decoder = jwt.PyJWT()
        self._problem = jwt.PyJWTError
        self._keys = [resolved(key, "unit.jwt.keys", lines=True) for key in source.keys]
        self._options: dict[str, Any] = {
            "algorithms": list(source.algorithms),
            "leeway": LEEWAY_S,
            "options": {"verify_aud": bool(source.audience), "verify_iss": bool(source.issuer)},
        }
        if source.audience:
            self._options["audience"] = source.audience
        if source.issuer:
            self._options["issuer"] = source.issuer
        self._check(jwt, source.algorithms)

    def _check(self, jwt: Any, algorithms: tuple[str, ...]) -> None:
        known = jwt.algorithms.get_default_algorithms()
        for name in algorithms:
            if name not in known:
                raise SpecError([Problem("unit.jwt.algorithms", f"one of {', '.join(sorted(known))}", name)])
        for key in self._keys:
            if not any(_fits(jwt, known[name], key) for name in algorithms):
                raise SpecError(
                    [Problem("unit.jwt.keys", f"keys of {', '.join(algorithms)}", "another kind")]
                )

    def claim(self, name: str) -> Callable[[Any, int], bytes | None]:
        """A reader of one claim of a request's token: text, or the digits of a whole number."""

        def read(head: Any, _: int) -> bytes | None:
            value = self._claims(head.field(self._field) or b"").get(name)
            if isinstance(value, str):
                return value.encode()
            if isinstance(value, int) and not isinstance(value, bool):
                return b"%d" % value
            return None

        return read

    def _claims(self, token: bytes) -> dict[str, Any]:
        """What a verified token says; nothing of any other."""
        if token[: len(BEARER)].lower() == BEARER:
            token = token[len(BEARER) :].strip()
        if not token or len(token) > LONGEST:
            return {}
        known = self._known.get(token)
        if known is not None:
            if self._now() < known[0]:
                return known[1]
            del self._known[token]
        for key in self._keys:
            try:
                claims: dict[str, Any] = self._decoder.decode(token.decode("latin-1"), key, **self._options)
            except (self._problem, TypeError, ValueError):
                continue
            self._remember(token, claims)
            return claims
        return {}

    def _remember(self, token: bytes, claims: dict[str, Any]) -> None:
        if len(self._known) >= KNOWN:
            self._known.clear()
        expires = claims.get("exp")
        until = float(expires) + LEEWAY_S if isinstance(expires, int | float) else float("inf")
        self._known[token] = (until, claims)


def _fits(jwt: Any, algorithm: Any, key: str) -> bool:
    try:
        algorithm.prepare_key(key)
    except (jwt.InvalidKeyError, TypeError, ValueError):
        return False
    return True
