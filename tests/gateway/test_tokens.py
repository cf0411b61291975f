"""Units from verified tokens and from the path: what is believed, what is not, and what no file may say."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Flag, TokenSource, UnitSource
from router.gateway import tokens
from router.gateway.identify import NEEDS_BODY, Identifier
from router.gateway.tokens import KNOWN, LEEWAY_S, Verifier
from router.route import flag_of
from tests.gateway.flags import head

SECRET = "s" * 32
OTHER = "o" * 32
SHARED = TokenSource((SECRET,), ("HS256",))
NOW = 1_800_000_000.0
PRIVATE = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    kind, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(kind, form).decode())


def unit(source: TokenSource, token: str, claim: str = "sub", field: str = "authorization") -> bytes | None:
    identifier = Identifier(UnitSource("person", (("jwt", claim),), jwt=source))
    found = identifier.find(head(**{field: token}), None, 1, 1000)
    assert found is None or isinstance(found, bytes)
    return found


def signed(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm)


@pytest.mark.parametrize(
    ("claims", "claim", "expected"),
    [
        ({"sub": "ann"}, "sub", b"ann"),
        ({"sub": "ユーザー"}, "sub", "ユーザー".encode()),
        ({"sub": "ann", "account": 7}, "account", b"7"),
        ({"sub": "ann", "account": True}, "account", None),
        ({"sub": "ann", "account": {"id": 1}}, "account", None),
        ({"sub": ""}, "sub", None),
        ({}, "sub", None),
    ],
)
def test_the_claim_of_a_good_token_is_the_unit(
    claims: dict[str, Any], claim: str, expected: bytes | None
) -> None:
    token = signed(claims)
    assert unit(SHARED, f"Bearer {token}", claim) == expected
    assert unit(SHARED, f"bearer  {token}", claim) == expected
    assert unit(TokenSource((SECRET,), ("HS256",), "x-token"), token, claim, "x_token") == expected


GOOD = {"sub": "ann", "iss": "https://idp", "aud": "models", "exp": 4_000_000_000}
STRICT = TokenSource((SECRET,), ("HS256",), issuer="https://idp", audience="models")


@pytest.mark.parametrize(
    "token",
    [
        signed(GOOD, OTHER),
        signed(GOOD | {"exp": 1}),
        signed(GOOD | {"nbf": 4_000_000_000}),
        signed(GOOD | {"iss": "https://evil"}),
        signed(GOOD | {"aud": "others"}),
        signed({key: value for key, value in GOOD.items() if key != "aud"}),
        signed(GOOD | {"sub": 7}),
        signed(GOOD, "x" * 64, "HS512"),
        jwt.encode(GOOD, "", "none"),
        signed(GOOD)[:-4] + "AAAA",
        signed(GOOD).replace(".", "", 1),
        "not.a.token",
        "...",
        "",
        "é" * 20,
        "x" * 10_000,
    ],
)
def test_what_is_not_verified_is_no_unit(token: str) -> None:
    assert unit(STRICT, f"Bearer {signed(GOOD)}") == b"ann"
    identifier = Identifier(UnitSource("person", (("jwt", "sub"), ("query", "u")), jwt=STRICT))
    asked = head("/v2/x?u=next", authorization="")
    asked.values = (*asked.values[:-1], b"Bearer " + token.encode("latin-1"))
    assert identifier.find(asked, None, 1, 1000) == b"next"


@pytest.mark.parametrize(
    ("key", "algorithm"), [(PRIVATE, "RS256"), (PRIVATE, "PS256"), (CURVE, "ES256")], ids=["rs", "ps", "es"]
)
def test_public_keys_verify_and_are_never_taken_for_a_shared_one(key: Any, algorithm: str) -> None:
    source = TokenSource((pem(CURVE if key is PRIVATE else PRIVATE), pem(key)), ("ES256", algorithm))
    if algorithm == "ES256":
        source = TokenSource((pem(key),), ("ES256",))
    assert unit(source, "Bearer " + signed({"sub": "ann"}, key, algorithm)) == b"ann"
    header = {"alg": "HS256", "typ": "JWT"}
    forged = jwt.api_jws.encode(b'{"sub":"ann"}', "k" * 40, "HS256", headers=header)
    assert unit(source, "Bearer " + forged) is None


def test_keys_may_stand_in_files_of_the_gateway_alone(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem(PRIVATE))
    source = TokenSource((f"${{file:{tmp_path}/key.pem}}",), ("RS256",))
    assert unit(source, signed({"sub": "ann"}, PRIVATE, "RS256")) == b"ann"


@pytest.mark.parametrize(
    "source",
    [
        TokenSource(("${env:POINTSMAN_NO_SUCH_KEY}",), ("HS256",)),
        TokenSource(("no pem",), ("RS256",)),
        TokenSource((pem(PRIVATE),), ("HS256",)),
        TokenSource((SECRET,), ("XX1",)),
    ],
)
def test_keys_that_cannot_verify_keep_the_flag_out(source: TokenSource) -> None:
    with pytest.raises(SpecError, match=r"unit\.jwt") as problem:
        Verifier(source)
    assert SECRET not in str(problem.value)


def test_a_token_is_verified_once_and_not_believed_beyond_its_end() -> None:
    now = [NOW]
    verifier = Verifier(SHARED, lambda: now[0])
    read = verifier.claim("sub")
    asked = head(authorization="Bearer " + signed({"sub": "ann", "exp": 4_000_000_000}))
    assert read(asked, 0) == b"ann"
    verifier._keys = []  # nothing could be verified any more
    assert read(asked, 0) == b"ann"
    now[0] = 4_000_000_000 + LEEWAY_S
    assert read(asked, 0) is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KNOWN", 10)
    verifier = Verifier(SHARED)
    for number in range(35):
        assert verifier.claim("sub")(head(authorization=signed({"sub": str(number)})), 0) == b"%d" % number
        assert len(verifier._known) <= 10
    assert KNOWN <= 10_000


def test_pyjwt_is_loaded_only_where_a_route_uses_it() -> None:
    program = "import sys, router.gateway.worker; print('jwt' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("1", "/v2/models/a%20b/infer", b"v2"),
        ("3", "/v2/models/a%20b/infer?x=/9", b"a b"),
        ("4", "/v2/models/a%20b/infer", b"infer"),
        ("5", "/v2/models/a%20b/infer", None),
        ("2", "/v2//x", None),
        ("", "/v2/%E3%83%A6", "/v2/ユ".encode()),
    ],
)
def test_a_segment_of_the_path_is_a_unit(name: str, target: str, expected: bytes | None) -> None:
    assert Identifier(UnitSource("p", (("path", name),))).find(head(target), None, 1, 0) == expected


@pytest.mark.parametrize("places", [("jwt", "json"), ("json", "jwt"), ("jwt",)])
def test_a_request_that_is_read_twice_counts_its_token_once(places: tuple[str, ...]) -> None:
    counted = Counter[str]()
    source = TokenSource((pem(PRIVATE),), ("RS256", "HS256"))
    names = {"jwt": ("jwt", "sub"), "json": ("json", "/user")}

    def count(reason: str) -> None:
        counted[reason] += 1

    made = Identifier(UnitSource("p", tuple(names[one] for one in places), jwt=source), refused=count)
    asked = head(authorization="Bearer " + signed({"sub": "ann"}, "k" * 40), content_length="2")
    asked.length = 2
    first = made.find(asked, None, 1, 1000)
    assert first is (NEEDS_BODY if "json" in places else None)
    assert made.find(asked, b"{}", 1, 1000) is None
    assert sum(counted.values()) == 1


FILE = """
route: web
unit:
  kind: person
  from: [jwt:sub, path:3, path]
  jwt: {keys: ["${env:IDP}"], algorithms: [HS256], issuer: "https://idp"}
arms: {v1: {upstream: "http://h:1"}}
default: v1
"""


def flag_from(text: str) -> Flag:
    routes = parse_documents(load(text, "route.yaml")).routes
    return flag_of(routes["web"][0])


def test_a_file_says_whose_tokens_are_believed() -> None:
    made = flag_from(FILE)
    assert made.unit.places == (("jwt", "sub"), ("path", "3"), ("path", ""))
    assert made.unit.jwt == TokenSource(("${env:IDP}",), ("HS256",), issuer="https://idp")
    assert Flag.parse(made.encode()) == made


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"${env:IDP}"', "topsecret", "by name only"),
        ("[HS256]", "[none]", "HS256"),
        ("[HS256]", "[HS256, RS256]", "of one kind"),
        ("[HS256]", "[]", "at least 1"),
        ("path:3", "path:x", "number of a segment"),
        ("  jwt: {", "  other: {", "known key"),
    ],
)
def test_what_would_not_be_safe_is_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        flag_from(FILE.replace(old, new))


def test_a_token_without_keys_is_an_error() -> None:
    text = "\n".join(line for line in FILE.splitlines() if "keys:" not in line)
    with pytest.raises(SpecError, match="keys and algorithms"):
        flag_from(text)


PUBLISHED = FILE.replace('keys: ["${env:IDP}"], algorithms: [HS256]', "jwks: PLACE, algorithms: [RS256]")


@pytest.mark.parametrize(
    "place", ["https://idp/jwks.json", "http://127.0.0.1:1/x", "http://[::1]:1/x", "file:/etc/jwks.json"]
)
def test_a_file_says_where_keys_are_published(place: str) -> None:
    made = flag_from(PUBLISHED.replace("PLACE", f'"{place}"'))
    assert made.unit.jwt == TokenSource((), ("RS256",), issuer="https://idp", jwks=place)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("PLACE", '"http://idp/jwks.json"', "https://HOST/PATH"),
        ("PLACE", '"ftp://idp/jwks.json"', "https://HOST/PATH"),
        ("PLACE", '"file:jwks.json"', "https://HOST/PATH"),
        ("PLACE", '"https://"', "https://HOST/PATH"),
        ("PLACE", '"https://["', "https://HOST/PATH"),
        ("jwks: PLACE, ", "", "either 'keys' or 'jwks'"),
        ("jwks: PLACE", 'jwks: "https://idp/x", keys: [x]', "either 'keys' or 'jwks'"),
        ("jwks: PLACE, algorithms: [RS256]", 'jwks: "https://idp/x", algorithms: [HS256]', "public keys"),
    ],
)
def test_keys_that_others_could_publish_are_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        flag_from(PUBLISHED.replace(old, new))
