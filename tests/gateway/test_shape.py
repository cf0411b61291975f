"""Shapes of heads: whatever the names are, going through in one step is going through field by field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.flag import Arm
from router.gateway.fields import answer_fields, request_head
from router.gateway.shape import ANEW, HOP_BY_HOP, NAMES_OCTETS, ONCE, SHAPES_MOST, Shape, Shapes, goes_on
from tests.gateway.flags import Bench, flag, head

NAMES = st.sampled_from(
    (b"Accept", b"%d", b"X-%b", b"Content-Length", b"DATE", b"Pointsman-Arm", b"pointsman_x", b"Upgrade", b"x-a", b"X-A")
)  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=9)), max_size=8)


@given(FIELDS, st.sampled_from((ANEW, HOP_BY_HOP)))
def test_lines_are_those_of_the_fields_that_go_on_in_order_and_spelling(
    fields: list[tuple[bytes, bytes]], stopped: frozenset[bytes]
) -> None:
    names, values = tuple(name for name, _ in fields), tuple(value for _, value in fields)
    shape = Shape(names, stopped)
    kept = [(name, value) for name, value in fields if goes_on(name.lower(), stopped)]
    assert shape.lines(values) == b"".join(name + b": " + value + b"\r\n" for name, value in kept)
    assert shape.fields(values) == [(name.lower(), name, value) for name, value in fields]
    keys = [name.lower() for name in names]
    twice = [key for key in keys if key in ONCE and keys.count(key) > 1]
    assert shape.repeated == (twice[0] if twice else None)
    assert all(shape.at[key] == keys.index(key) for key in keys)
    assert shape.length_at < 0 or shape.keys[shape.length_at] == b"content-length"


def test_a_connection_field_takes_the_fields_it_names_though_the_shape_is_the_same() -> None:
    names = (b"Connection", b"Date", b"X-Mine", b"X-Theirs")
    shape = Shape(names, HOP_BY_HOP)
    usual = answer_fields(shape, (b"keep-alive", b"now", b"1", b"2"))
    naming = answer_fields(shape, (b"date, X-THEIRS", b"now", b"1", b"2"))
    assert usual == (b"Date: now\r\nX-Mine: 1\r\nX-Theirs: 2\r\n", True)
    assert naming == (b"X-Mine: 1\r\n", False)


def test_a_request_with_a_connection_field_loses_what_it_names_and_keeps_its_host() -> None:
    sent = request_head(head(connection="x-secret, host", x_secret="1", x_kept="2"), b"/", b"10.0.0.1")
    assert b"x-kept: 2\r\n" in sent
    assert b"Host: models.example\r\n" in sent
    assert b"x-secret" not in sent


def test_no_more_shapes_are_remembered_than_there_is_room_for_and_no_long_ones() -> None:
    shapes = Shapes(ANEW)
    for number in range(3 * SHAPES_MOST):
        names = (b"X-%d" % number,)
        assert shapes[names].keys == (b"x-%d" % number,)
        assert len(shapes) <= SHAPES_MOST
    before = set(shapes)
    assert shapes[(b"y" * (NAMES_OCTETS + 1),)].plain
    assert set(shapes) == before


def test_a_remembered_path_finds_the_route_of_the_flags_that_are_shown_now() -> None:
    made = Bench(flag(path="/v2"), flag("other", "/v2/x"))
    for _ in range(2):
        assert found(made, "/v2/x/y") == "other"
        assert found(made, "/v2/z") == "web"
    made.show(flag(path="/v2"))
    assert found(made, "/v2/x/y") == "web"


def test_a_path_is_not_remembered_where_a_field_or_the_host_decides_too() -> None:
    arms = (Arm("v1", "http://127.0.0.1:9001"), Arm("v2", "http://127.0.0.1:9002"))
    made = Bench(
        flag(),
        flag("beta", headers=(("x-beta", "1"),), arms=arms),
        flag("shop", "/shop", host="shop.example"),
    )
    assert [found(made, "/v2/a"), found(made, "/v2/a", x_beta="1"), found(made, "/v2/a")] == [
        "web",
        "beta",
        "web",
    ]
    assert [found(made, "/shop", host=host) for host in ("shop.example", "b.example")] == ["shop", None]


def found(made: Bench, target: str, **fields: str) -> str | None:
    ticket = made.gate.route(head(target, **fields), None)
    return ticket.route.flag.route if ticket.route is not None else None
