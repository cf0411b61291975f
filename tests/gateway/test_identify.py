"""The unit of a request: the first place that holds one, never an empty one, never from a body nobody may read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.flag import UnitSource
from router.gateway.identify import NEEDS_BODY, Identifier, NeedsBody, json_reader
from tests.gateway.flags import head

Places = tuple[tuple[str, str], ...]
Fields = dict[str, str]


def find(
    places: Places, target: str = "/x", body: bytes | None = None, fields: Fields | None = None
) -> bytes | NeedsBody | None:
    return Identifier(UnitSource("person", places)).find(head(target, **fields or {}), body, 7, 100)


@pytest.mark.parametrize(
    ("places", "target", "fields", "unit"),
    [
        ((("header", "x-person"),), "/x", {"x_person": "ann"}, b"ann"),
        ((("header", "x-person"),), "/x", {"x_person": ""}, None),
        ((("header", "x-person"),), "/x", {}, None),
        ((("cookie", "pm"),), "/x", {"cookie": "a=1; pm=u7; b=2"}, b"u7"),
        ((("cookie", "pm"),), "/x", {"cookie": 'pm="u7"'}, b"u7"),
        ((("cookie", "pm"),), "/x", {"cookie": "xpm=u7; pm="}, None),
        ((("query", "user"),), "/x?a=1&user=b%20c", {}, b"b c"),
        ((("query", "user"),), "/x?user=b+c", {}, b"b c"),
        ((("query", "user"),), "/x?us%65r=b", {}, b"b"),
        ((("query", "user"),), "/x?user=", {}, None),
        ((("query", "user"),), "/x?user", {}, None),
        ((("request", ""),), "/x", {}, b"0000000000000007"),
        ((("header", "x-person"), ("cookie", "pm")), "/x", {"cookie": "pm=c"}, b"c"),
        ((("header", "x-person"), ("cookie", "pm")), "/x", {"cookie": "pm=c", "x_person": "h"}, b"h"),
        ((("header", "x-person"), ("request", "")), "/x", {"x_person": ""}, b"0000000000000007"),
    ],
)
def test_the_first_place_that_holds_a_unit_wins(
    places: Places, target: str, fields: Fields, unit: bytes | None
) -> None:
    assert find(places, target, fields=fields) == unit


@pytest.mark.parametrize(
    ("pointer", "body", "unit"),
    [
        ("/user", b'{"user":"ann"}', b"ann"),
        ("/user", '{"user":"ユーザー"}'.encode(), "ユーザー".encode()),
        ("/user", b'{"user":12}', b"12"),
        ("/user", b'{"user":-3}', b"-3"),
        ("/user", b'{"user":true}', None),
        ("/user", b'{"user":1.5}', None),
        ("/user", b'{"user":null}', None),
        ("/user", b'{"user":""}', None),
        ("/user", b'{"user":"\\ud83d"}', None),
        ("/user", b'{"user":{"a":1}}', None),
        ("/user", b'["user"]', None),
        ("/user", b"not json", None),
        ("/user", b'{"user":"a"', None),
        ("/user", b'{"user":"first","user":"last"}', b"last"),
        ("/a/b/c", b'{"x":[1,2],"a":{"y":0,"b":{"c":"deep"}}}', b"deep"),
        ("/a/b/c", b'{"a":{"b":null}}', None),
        ("/a/b/c", b'{"a":"text"}', None),
        ("/a~1b/m~0n", b'{"a/b":{"m~n":"escaped"}}', b"escaped"),
        ("/inputs/0/user", b'{"inputs":[{"user":"in array"}]}', b"in array"),
        ("/inputs/0/user", b'{"inputs":{"0":{"user":"in object"}}}', b"in object"),
        ("/inputs/1/user", b'{"inputs":[{"user":"x"}]}', None),
        ("/inputs/01", b'{"inputs":["x","y"]}', None),
    ],
)
def test_a_pointer_finds_text_or_a_whole_number(pointer: str, body: bytes, unit: bytes | None) -> None:
    assert json_reader(pointer)(body) == unit


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4))
def test_beside_whatever_else_stands_in_the_body_the_same_unit_is_found(rest: object, unit: str) -> None:
    body = json.dumps({"rest": rest, "parameters": {"more": rest, "user": unit}}).encode()
    assert json_reader("/parameters/user")(body) == unit.encode()


@given(st.binary(max_size=60))
def test_no_body_raises(body: bytes) -> None:
    for pointer in ("/a", "/a/0"):
        json_reader(pointer)(body)


def test_a_body_of_deep_nesting_is_no_unit() -> None:
    body = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"a":"u"}'
    assert json_reader("/a")(body) is None
    assert json_reader("/a/0")(body) is None


PLACES = (("header", "x-person"), ("json", "/user"), ("query", "u"))


def test_the_body_is_asked_for_only_when_no_earlier_place_holds_a_unit() -> None:
    assert find(PLACES, fields={"content_length": "20"}) is NEEDS_BODY
    assert find(PLACES, fields={"transfer_encoding": "chunked"}) is NEEDS_BODY
    assert find(PLACES, fields={"content_length": "20", "x_person": "ann"}) == b"ann"


def test_a_body_that_is_too_long_compressed_or_absent_is_not_held() -> None:
    given: list[Fields] = [
        {"content_length": "101"},
        {"content_length": "20", "content_encoding": "gzip"},
        {},
    ]
    for fields in given:
        assert find(PLACES, "/x?u=q", fields=fields) == b"q"
    assert find(PLACES, fields={"content_length": "20", "content_encoding": "identity"}) is NEEDS_BODY


def test_a_held_body_without_a_unit_leaves_the_later_places() -> None:
    assert find(PLACES, "/x?u=q", b"{}", fields={"content_length": "2"}) == b"q"
    assert find(PLACES, "/x?u=q", b"", fields={"transfer_encoding": "chunked"}) == b"q"
    assert find(PLACES, "/x?u=q", b'{"user":"b"}', fields={"content_length": "12"}) == b"b"
