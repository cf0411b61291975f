"""A unit from a token's claim: believed only when the signature, the times, the issuer and the audience are good.

A token that is not believed is an absent unit, as if it had not been sent, and is counted by the reason. PyJWT does the
verification and is loaded only where a route uses it. A verified token is remembered until it expires, or until the keys
change: clients send the same one again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from router.errors import Problem, SpecError
from router.flag import TokenSource
from router.gateway.keysets import KeySet, KeySets
from router.gateway.setting import resolved

LEEWAY_S = 30  # clocks of issuers differ
KNOWN = 4096  # verified tokens that are remembered
LONGEST = 8192  # octets of a token that are worth a verification
TRIED_MOST = 8  # published keys, for a token that names none: each is a verification
BEARER = b"bearer "
# Why a token is not believed, by the name of PyJWT's error; the most telling of several keys' reasons comes last.
REASONS: Mapping[str, str] = {
    "DecodeError": "malformed",
    "InvalidKeyError": "unknown_key",
    "InvalidAlgorithmError": "algorithm",
    "InvalidSignatureError": "signature",
    "MissingRequiredClaimError": "claims",
    "InvalidAudienceError": "audience",
    "InvalidIssuerError": "issuer",
    "ImmatureSignatureError": "time",
    "ExpiredSignatureError": "time",
}
NO_KEYS, UNKNOWN_KEY, MALFORMED, CLAIMS = "no_keys", "unknown_key", "malformed", "claims"

Refused = Callable[[str], None]


class Verifier:
    """Reads claims of tokens by one route's rules.

    Raises:
        SpecError: PyJWT is not installed, or a key cannot be read or does not fit the algorithms.
    """

    def __init__(
        self,
        source: TokenSource,
        now: Callable[[], float] = time.time,
        keysets: KeySets | None = None,
        refused: Refused = lambda reason: None,
    ) -> None:
        self._field = source.field.encode()
        self._now = now
        self._refused = refused
        self._known: dict[bytes, tuple[float, dict[str, Any]]] = {}
        try:
            import jwt
        except ImportError:
            hint = "install PyJWT, with its extra 'crypto' for RS, PS, ES and EdDSA"
            raise SpecError([Problem("unit.jwt", "PyJWT in this gateway", "none", hint)]) from None
        self._jwt = jwt
        self._decoder = jwt.PyJWT()
        self._algorithms = source.algorithms
        self._keys = [resolved(key, "unit.jwt.keys", lines=True) for key in source.keys]
        self._set: KeySet | None = (keysets or KeySets()).at(source.jwks) if source.jwks else None
        self._version = 0
        self._published: Mapping[str, Mapping[str, Any]] = {}
        self._options: dict[str, Any] = {
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

    def claim(self, name: str, *, counted: bool = True) -> Callable[[Any, int], bytes | None]:
        """A reader of one claim of a request's token: text, or the digits of a whole number.

        Args:
            name: of the claim.
            counted: whether refused tokens count; not when a request is read once more.
        """
        refused: Refused = self._refused if counted else lambda reason: None

        def read(head: Any, _: int) -> bytes | None:
            token = head.field(self._field)
            value = None if token is None else self._claims(token, refused).get(name)
            if isinstance(value, str):
                return value.encode()
            if isinstance(value, int) and not isinstance(value, bool):
                return b"%d" % value
            return None

        return read

    def _claims(self, token: bytes, refused: Refused) -> dict[str, Any]:
        """What a verified token says; nothing of any other."""
        if token[: len(BEARER)].lower() == BEARER:
            token = token[len(BEARER) :].strip()
        if self._set is not None and self._set.version != self._version:
            self._version, self._known = self._set.version, {}
            self._published = self._set.keys(self._jwt, self._algorithms)
        known = self._known.get(token)
        if known is not None:
            if self._now() < known[0]:
                return known[1]
            del self._known[token]
        claims = self._verified(token, refused)
        if claims:
            self._remember(token, claims)
        return claims

    def _verified(self, token: bytes, refused: Refused) -> dict[str, Any]:
        """Try the keys that the token may be signed by."""
        if not token or len(token) > LONGEST:
            refused(MALFORMED)
            return {}
        text = token.decode("latin-1")
        try:
            header = self._jwt.get_unverified_header(text)
            algorithm, kid = header.get("alg"), header.get("kid")
        except (self._jwt.PyJWTError, TypeError, ValueError):
            refused(MALFORMED)
            return {}
        if algorithm not in self._algorithms:
            refused(REASONS["InvalidAlgorithmError"])
            return {}
        reason = NO_KEYS if self._set is not None and not self._set.documents else UNKNOWN_KEY
        for key in self._candidates(algorithm, kid):
            try:
                claims: dict[str, Any] = self._decoder.decode(
                    text, key, algorithms=[algorithm], **self._options
                )
            except (self._jwt.PyJWTError, TypeError, ValueError) as problem:
                known = isinstance(problem, self._jwt.PyJWTError)
                reason = _worse(reason, REASONS.get(type(problem).__name__, CLAIMS) if known else MALFORMED)
                continue
            return claims
        if reason == UNKNOWN_KEY and self._set is not None:
            self._set.wanted()
        refused(reason)
        return {}

    def _candidates(self, algorithm: str, kid: object) -> Iterable[Any]:
        """The keys of the file; of a published set the one that is named, or all where none is."""
        if self._set is None:
            return self._keys
        if kid is not None:
            named = self._published.get(kid, {}) if isinstance(kid, str) else {}
            return [named[algorithm]] if algorithm in named else []
        return [row[algorithm] for row in self._published.values() if algorithm in row][:TRIED_MOST]

    def _remember(self, token: bytes, claims: dict[str, Any]) -> None:
        if len(self._known) >= KNOWN:
            self._known.clear()
        expires = claims.get("exp")
        until = float(expires) + LEEWAY_S if isinstance(expires, int | float) else float("inf")
        self._known[token] = (until, claims)


def _worse(one: str, other: str) -> str:
    """Of two keys' reasons the one of the key that came further."""
    order = [MALFORMED, NO_KEYS, UNKNOWN_KEY, *list(REASONS.values())[2:]]
    return max(one, other, key=order.index)


def _fits(jwt: Any, algorithm: Any, key: str) -> bool:
    try:
        algorithm.prepare_key(key)
    except (jwt.InvalidKeyError, TypeError, ValueError):
        return False
    return True
