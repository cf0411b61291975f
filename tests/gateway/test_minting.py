"""The cookie of a minted unit: Secure where its client asked over TLS, as a gateway sees it or is told where it believes that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Flag, UnitSource
from router.gateway.head import Head
from router.gateway.identify import Identifier
from router.gateway.minting import minted, over_tls
from router.plan_lines import route_differences
from router.route import flag_of
from tests.gateway.flags import Bench, experiment, flag, head
from tests.gateway.gated import OK, gated
from tests.gateway.test_deciding import ask

PLACES = (("header", "x-person"), ("cookie", "pm_unit"))
HTTPS, HTTP = {"x_forwarded_proto": "https"}, {"x_forwarded_proto": "http"}
TOKENS = st.text("abcXYZ019-_.:[]", min_size=1, max_size=8)
QUOTED = st.text('abc ,;="\\', max_size=8)


def asked(fields: Mapping[str, str], *, encrypted: bool = False) -> Head:
    made = head(**fields)
    made.encrypted = encrypted
    return made


@pytest.mark.parametrize(
    ("secure", "encrypted", "fields", "wanted"),
    [
        ("auto", False, {}, False),
        ("auto", True, {}, True),
        ("auto", False, HTTPS, False),  # anybody can say so
        ("auto", True, HTTP, True),
        ("never", True, HTTPS, False),
        ("always", False, HTTP, True),
        ("forwarded", False, {}, False),
        ("forwarded", True, {}, True),
        ("forwarded", False, HTTPS, True),
        (
            "forwarded",
            True,
            HTTP,
            False,
        ),  # TLS between proxy and gateway only: the browser would refuse the cookie
        ("forwarded", False, {"x_forwarded_proto": "HTTPS , http"}, True),
        ("forwarded", False, {"x_forwarded_proto": "http, https"}, False),
        ("forwarded", False, {"x_forwarded_proto": "httpss"}, False),
        ("forwarded", True, {"x_forwarded_proto": " "}, True),
        ("forwarded", False, {"forwarded": "for=192.0.2.60;proto=https;by=203.0.113.43"}, True),
        ("forwarded", False, {"forwarded": 'For="[2001:db8::1]:4711" ; PROTO="HTTPS"'}, True),
        ("forwarded", False, {"forwarded": 'for="a;proto=http,b";proto=https'}, True),
        ("forwarded", False, {"forwarded": "proto=http, proto=https"}, False),
        ("forwarded", True, {"forwarded": "for=a, proto=http"}, True),  # the client's own hop says nothing
        ("forwarded", True, {"forwarded": "no pairs at all"}, True),
        ("forwarded", False, {"forwarded": "proto=https", **HTTP}, False),
    ],
)
def test_a_cookie_is_secure_where_its_client_asked_over_tls(
    secure: str, encrypted: bool, fields: Mapping[str, str], wanted: bool
) -> None:
    assert over_tls(asked(fields, encrypted=encrypted), secure) is wanted


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.lists(st.tuples(st.sampled_from(("for", "by", "host")), TOKENS.map(quoted) | QUOTED.map(quoted))),
    st.sampled_from(("https", "http", "HTTPS", '"https"')),
    st.lists(st.sampled_from(("proto=http", "proto=https", "for=_b"))),
)
def test_of_any_forwarded_field_the_first_hop_counts_whatever_stands_in_quotes(
    pairs: list[tuple[str, str]], scheme: str, more: list[str]
) -> None:
    first = ";".join([*(f"{name}={value}" for name, value in pairs), f"proto={scheme}"])
    found = over_tls(asked({"forwarded": ", ".join([first, *more])}), "forwarded")
    assert found is ("https" in scheme.lower())


@given(st.text(st.characters(codec="latin-1"), max_size=60), st.booleans())
def test_whatever_a_client_says_there_is_an_answer(value: str, encrypted: bool) -> None:
    for name in ("forwarded", "x_forwarded_proto"):
        assert over_tls(asked({name: value}, encrypted=encrypted), "forwarded") in (True, False)


@pytest.mark.parametrize("secure", ["forwarded", "auto"])
@pytest.mark.parametrize("scheme", [b"http", b"https"])
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v2/x HTTP/1.1\r\nHost: m\r\nX-Forwarded-Proto: %b\r\n\r\n",
        ask(b"/v2/x", b"X-Forwarded-Proto: %b"),
        ask(b"", b"X-Forwarded-Proto: %b", path=b"/decide/v2/x"),
    ],
    ids=["served", "decide", "forward-auth"],
)
def test_who_decides_for_a_proxy_says_the_same_as_who_serves(
    request_: bytes, scheme: bytes, secure: Any
) -> None:
    async def play() -> None:
        how = {"places": PLACES, "on_missing": "mint-cookie", "secure": secure}
        async with gated({"v1": OK, "v2": OK}, experiments=(experiment(),), **how) as world:
            cookie = (await world.ask(request_ % scheme)).fields[b"set-cookie"]
            wanted = b"; Secure" if (secure, scheme) == ("forwarded", b"https") else b""
            assert cookie.endswith(b"; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax" + wanted)

    uvloop.run(play())


@pytest.mark.parametrize("path", ["/v2/x", "/decide/v2/x"])
def test_a_question_by_tls_is_as_good_as_a_request_by_tls(path: str) -> None:
    bench = Bench(flag(experiments=(experiment(),), places=PLACES, on_missing="mint-cookie"))
    request = head(path)
    request.encrypted = True
    ticket = bench.gate.route(request, None)
    lines = ticket.answer_headers if ticket.reply is None else ticket.reply[0]
    assert b"; SameSite=Lax; Secure\r\n" in lines


FILE = """
route: web
match: {path: /v2}
unit: {kind: person, from: [header:x-person, cookie:NAME], on_missing: mint-cookie, cookie: {secure: HOW}}
arms: {v1: {upstream: "http://h:1"}}
default: v1
"""


def read(how: str, name: str = "pm_unit") -> Flag:
    text = FILE.replace("HOW", how).replace("NAME", name)
    return flag_of(parse_documents(load(text, "route.yaml")).routes["web"][0])


def test_a_file_says_whom_a_gateway_believes_and_says_nothing_by_default() -> None:
    plain, told = read("auto"), read("forwarded")
    assert plain.unit == UnitSource("person", PLACES, "mint-cookie")
    assert b"secure" not in plain.encode()
    assert (told.unit.secure, Flag.parse(told.encode())) == ("forwarded", told)
    assert route_differences(plain, told) == ["unit.secure: none -> forwarded"]
    assert read("always", "__Host-unit").unit.secure == "always"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILE.replace("HOW", "sometimes"), r"unit.cookie.secure: expected 'auto', 'forwarded', 'always' or 'never'"),
        (FILE.replace("on_missing: mint-cookie, ", ""), "unit.cookie: expected on_missing: mint-cookie"),
        (FILE.replace("NAME", "__Host-unit").replace("HOW", "never"), "unit.cookie.secure: expected another name"),
        (FILE.replace("secure: HOW", "seccure: auto"), "did you mean 'secure'"),
    ],
)  # fmt: skip
def test_what_no_browser_or_gateway_could_follow_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_documents(load(text.replace("NAME", "pm_unit").replace("HOW", "auto"), "route.yaml"))


def test_units_are_never_the_same_and_cannot_be_guessed() -> None:
    identifier = Identifier(UnitSource("person", PLACES, "mint-cookie"))
    units = {minted(identifier, head())[0] for _ in range(100)}
    assert len(units) == 100
    assert {len(unit) for unit in units} == {32}
