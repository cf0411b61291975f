"""Keys that an issuer publishes: which of them verify what, how they change, and that nobody waits for them."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from router.errors import SpecError
from router.flag import TokenSource
from router.gateway.keysets import AGAIN_S, KEYS_MOST, LONGEST, REFRESH_S, KeySets
from router.gateway.tokens import TRIED_MOST, Verifier
from tests.gateway.flags import head

RSA, OTHER_RSA = (rsa.generate_private_key(public_exponent=65_537, key_size=2048) for _ in range(2))
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
ALL = ("RS256", "PS256", "ES256", "EdDSA")


def jwk(key: Any, kid: str | None = None, *, private: bool = False, **fields: Any) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    name = next((name for kind, name in kinds.items() if isinstance(key, kind)), "EdDSA")
    shown = key if private else key.public_key()
    made: dict[str, Any] = json.loads(jwt.algorithms.get_default_algorithms()[name].to_jwk(shown))
    made.pop("key_ops", None)
    return made | ({} if kid is None else {"kid": kid}) | fields


class Issuer:
    """Publishes a JWK set over HTTP on this machine."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                status, fields, body = issuer.answer
                self.send_response(status)
                for name, value in {**fields, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def publish(self, *keys: dict[str, Any]) -> None:
        self.answer = (200, {}, json.dumps({"keys": list(keys)}).encode())

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


class Door:
    """A route's verifier of an issuer's tokens, with a hand clock."""

    def __init__(self, place: str, algorithms: tuple[str, ...] = ALL, **fields: str) -> None:
        self.now = 1000.0
        self.refused = Counter[str]()
        self.sets = KeySets(lambda: self.now)
        source = TokenSource((), algorithms, jwks=place, **fields)
        self.verifier = Verifier(source, keysets=self.sets, refused=self.count)
        self._read = self.verifier.claim("sub")

    def count(self, reason: str) -> None:
        self.refused[reason] += 1

    def read_keys(self) -> None:
        asyncio.run(self.sets.refresh())

    def unit(self, token: str) -> bytes | None:
        return self._read(head(authorization=f"Bearer {token}"), 0)


def signed(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    return jwt.encode({"sub": "ann", **claims}, key, algorithm, headers={} if kid is None else {"kid": kid})


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "PS256"), (CURVE, "ES256"), (EDWARDS, "EdDSA")],
    ids=["rs", "ps", "es", "ed"],
)
@pytest.mark.parametrize("kid", [None, "mine"])
def test_a_published_key_verifies(issuer: Issuer, key: Any, algorithm: str, kid: str | None) -> None:
    issuer.publish(jwk(OTHER_RSA, "other"), jwk(key, kid))
    door = Door(issuer.place)
    door.read_keys()
    assert door.unit(signed(key, algorithm, kid)) == b"ann"
    assert not door.refused


REFUSED = {
    "no token": ("x.y", "malformed"),
    "too long": ("x" * 10_000, "malformed"),
    "another key under this name": (signed(OTHER_RSA, "RS256", "mine"), "signature"),
    "another name": (signed(RSA, "RS256", "others"), "unknown_key"),
    "an algorithm that is not this route's": (signed(RSA, "RS512", "mine"), "algorithm"),
    "an algorithm that is not this key's": (signed(CURVE, "ES256", "mine"), "unknown_key"),
    "none": (jwt.encode({"sub": "ann"}, "", "none"), "algorithm"),
    "over": (signed(RSA, "RS256", "mine", exp=1), "time"),
    "not yet": (signed(RSA, "RS256", "mine", nbf=4_000_000_000), "time"),
    "another issuer": (signed(RSA, "RS256", "mine", iss="https://evil", aud="us"), "issuer"),
    "for others": (signed(RSA, "RS256", "mine", iss="https://idp", aud="them"), "audience"),
    "for nobody": (signed(RSA, "RS256", "mine", iss="https://idp"), "claims"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_counted_once_by_its_reason(issuer: Issuer, case: str) -> None:
    token, reason = REFUSED[case]
    issuer.publish(jwk(RSA, "mine"))
    door = Door(issuer.place, issuer="https://idp", audience="us")
    door.read_keys()
    assert door.unit(token) is None
    assert door.refused == {reason: 1}
    assert door.unit(signed(RSA, "RS256", "mine", iss="https://idp", aud="us")) == b"ann"


def test_a_public_key_is_never_taken_for_a_shared_one(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "mine"))
    door = Door(issuer.place)
    door.read_keys()
    claims, header = b'{"sub":"ann"}', {"alg": "HS256", "typ": "JWT", "kid": "mine"}
    forged = jwt.api_jws.encode(claims, jwk(RSA, "mine")["n"], "HS256", headers=header)
    assert door.unit(forged) is None
    assert door.refused == {"algorithm": 1}


@pytest.mark.parametrize(
    "key",
    [
        jwk(RSA, "mine", use="enc"),
        jwk(RSA, "mine", key_ops=["encrypt"]),
        jwk(RSA, "mine", private=True),
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "mine"},
    ],
    ids=["encryption", "operations", "private", "shared"],
)
def test_a_key_that_is_not_for_this_is_none(issuer: Issuer, key: dict[str, Any]) -> None:
    issuer.publish(key, jwk(CURVE, "curve"))
    door = Door(issuer.place)
    door.read_keys()
    assert door.unit(signed(RSA, "RS256", "mine")) is None
    assert door.unit(signed(CURVE, "ES256", "curve")) == b"ann"


def test_the_algorithm_that_a_key_names_is_its_only_one(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "mine", alg="RS256"))
    door = Door(issuer.place)
    door.read_keys()
    assert door.unit(signed(RSA, "PS256", "mine")) is None
    assert door.unit(signed(RSA, "RS256", "mine")) == b"ann"


def test_before_the_first_reading_nothing_is_believed_and_no_request_waits(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "mine"))
    door = Door(issuer.place)
    assert door.unit(signed(RSA, "RS256", "mine")) is None
    assert (door.refused, issuer.asked) == ({"no_keys": 1}, 0)
    door.read_keys()
    assert door.unit(signed(RSA, "RS256", "mine")) == b"ann"


def test_a_key_that_is_new_is_read_soon_and_invented_ones_make_nobody_fetch(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "old"))
    door = Door(issuer.place)
    door.read_keys()
    issuer.publish(jwk(RSA, "old"), jwk(OTHER_RSA, "new"))
    fresh = signed(OTHER_RSA, "RS256", "new")
    assert door.unit(fresh) is None
    door.read_keys()
    assert issuer.asked == 1
    door.now += AGAIN_S
    door.read_keys()
    assert (issuer.asked, door.unit(fresh)) == (2, b"ann")
    door.now += AGAIN_S
    door.read_keys()
    assert issuer.asked == 2
    for number in range(100):
        door.unit(signed(RSA, "RS256", f"invented{number}"))
        door.read_keys()
    assert issuer.asked == 3


def test_a_key_that_is_withdrawn_verifies_no_more_not_even_what_was_remembered(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "old"), jwk(CURVE, "new"))
    door = Door(issuer.place)
    door.read_keys()
    token = signed(RSA, "RS256", "old")
    assert door.unit(token) == b"ann"
    issuer.publish(jwk(CURVE, "new"))
    door.now += REFRESH_S
    door.read_keys()
    assert door.unit(token) is None
    assert door.refused == {"unknown_key": 1}


BROKEN = {
    "an error": (500, {}, b"{}"),
    "no JSON": (200, {}, b"<html>"),
    "no set": (200, {}, b"[]"),
    "deep": (200, {}, b'{"keys":' + b"[" * 100_000),
    "no keys": (200, {}, b'{"keys": []}'),
    "too much": (200, {}, b" " * (LONGEST + 1)),
    "elsewhere": (302, {"Location": "/"}, b""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_last_good_keys_stay(issuer: Issuer, case: str, caplog: pytest.LogCaptureFixture) -> None:
    issuer.publish(jwk(RSA, "mine"))
    door = Door(issuer.place)
    door.read_keys()
    issuer.answer = BROKEN[case]
    for wait in (REFRESH_S, AGAIN_S):
        door.now += wait
        door.read_keys()
    assert issuer.asked == 3
    (said,) = caplog.messages
    assert "the last good keys stay: 1" in said
    assert door.unit(signed(RSA, "RS256", "mine")) == b"ann"
    issuer.publish(jwk(CURVE, "new"))
    door.now += AGAIN_S
    door.read_keys()
    assert door.unit(signed(CURVE, "ES256", "new")) == b"ann"


def test_what_is_read_and_tried_is_bounded(issuer: Issuer) -> None:
    issuer.publish(*(jwk(CURVE) for _ in range(2 * KEYS_MOST)))
    door = Door(issuer.place)
    door.read_keys()
    assert len(door.sets.at(issuer.place).documents) == KEYS_MOST
    assert door.unit(signed(CURVE, "ES256")) == b"ann"
    assert len(list(door.verifier._candidates("ES256", None))) == TRIED_MOST


def test_a_set_is_read_once_for_all_routes_and_forgotten_with_the_last(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "mine"))
    door = Door(issuer.place)
    other = Verifier(TokenSource((), ("RS256",), jwks=issuer.place), keysets=door.sets)
    door.read_keys()
    assert issuer.asked == 1
    assert other.claim("sub")(head(authorization=signed(RSA, "RS256", "mine")), 0) == b"ann"
    del door.verifier, door._read, other
    gc.collect()
    assert door.sets.all() == []


def test_a_set_in_a_file_is_there_at_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    with pytest.raises(SpecError, match=r"unit\.jwt\.jwks: expected a JWK set at file:"):
        Door(f"file:{path}")
    path.write_text(json.dumps({"keys": [jwk(RSA, "mine")]}))
    door = Door(f"file:{path}")
    assert door.unit(signed(RSA, "RS256", "mine")) == b"ann"
    path.write_text(json.dumps({"keys": [jwk(CURVE, "new")]}))
    door.now += REFRESH_S
    door.read_keys()
    assert door.unit(signed(CURVE, "ES256", "new")) == b"ann"
