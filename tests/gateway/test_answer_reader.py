"""What a route reads in its answers: the model's name put back, cost, outcomes by pointer; and deadlines passed on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import Arm, ArmSet, Flag
from router.gateway.observing import READ_MOST
from router.gateway.restoring import Restorer, renamed
from router.protocols import ROWS
from router.route import flag_of
from router.serving import Price, Serving
from tests.gateway.flags import experiment
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Message, Script, read_request

TUNED = ArmSet(json=(("/model", "tuned"),))
EVENTS = b"text/event-stream"
ASKED = b'{"model":"gpt-x","messages":[]}'
RESTORE = Serving(restore_model=True)


def served(
    answered: bytes, request: bytes = ASKED, wanted: ArmSet = TUNED, **fields: Any
) -> tuple[Message, Message, frozenset[str]]:
    """What the client got, what the model server saw, and what the arm is known as."""

    async def play() -> tuple[Message, Message, frozenset[str]]:
        how = {"protocol": "openai", "serving": RESTORE, **fields}
        async with gated({"v1": (b"",), "v2": (answered,)}, sets={"v2": wanted}, **how) as world:
            got = await world.ask(post(request))
            return got, world.requests[0][1], world.route.arms["v2"].standing.identities

    return uvloop.run(play())


def test_the_answer_names_the_model_that_was_asked_for_and_nothing_else_changes() -> None:
    body = b'{"id":"1","model":"tuned","n":1.50,"big":12345678901234567890123,"in":{ "model": "tuned"}}'
    got, seen, known = served(answer(body, fields=b"ETag: x\r\n"))
    assert json.loads(seen.body)["model"] == "tuned"
    assert got.body == body.replace(b"tuned", b"gpt-x", 1)
    assert (b"etag" in got.fields, b"accept-encoding" in seen.fields) == (False, False)
    assert known == {"tuned"}


def test_in_a_stream_every_event_is_renamed_and_none_is_held_back() -> None:
    events = b'data: {"model":"tuned","d":1}\n\ndata: {"type":"x","response":{"model":"tuned"}}\r\n\r\ndata: [DONE]\n\n'
    got, _, _ = served(answer(events, EVENTS))
    assert got.body == events.replace(b"tuned", b"gpt-x")


@pytest.mark.parametrize(
    "answered",
    [
        answer(b'{"model":"tuned"}', fields=b"Content-Encoding: gzip\r\n"),
        answer(b'{"model":"tuned","pad":"%b"}' % (b"x" * READ_MOST)),
        answer(b"tuned", b"text/plain"),
        answer(b"[1,2]"),
        answer(b'{"model":7}'),
        answer(b'{"model":"tuned"'),
        answer(b'{"error":{"message":"tuned"}}'),
    ],
)
def test_what_cannot_be_renamed_passes_octet_by_octet(answered: bytes) -> None:
    got, _, _ = served(answered)
    assert got.body == answered.partition(b"\r\n\r\n")[2]
    assert got.whole


@pytest.mark.parametrize(
    ("wanted", "fields", "request_body"),
    [
        (TUNED, {"serving": None}, ASKED),
        (ArmSet(json=(("/temperature", 1),)), {}, ASKED),
        (TUNED, {}, b'{"model":7}'),
        (TUNED, {}, b'{"messages":[]}'),
    ],
)
def test_nothing_is_renamed_unless_the_route_says_so_and_the_arm_set_it(
    wanted: ArmSet, fields: dict[str, Any], request_body: bytes
) -> None:
    got, _, _ = served(answer(b'{"model":"tuned"}'), request_body, wanted, **fields)
    assert got.body == b'{"model":"tuned"}'


def test_a_model_in_the_path_is_put_back_too() -> None:
    async def play() -> None:
        servers = {"v1": (b"",), "v2": (answer(b'{"model_name":"b","id":"7"}'),)}
        sets = {"v2": ArmSet(path="/v2/models/b")}
        how: dict[str, Any] = {"protocol": "oip-v2", "serving": RESTORE, "path": "/v2/models/a"}
        async with gated(servers, sets=sets, **how) as world:
            got = await world.ask(post(b"{}").replace(b"/v2/infer", b"/v2/models/a/infer"))
            assert world.requests[0][1].line == b"POST /v2/models/b/infer HTTP/1.1"
            assert got.body == b'{"model_name":"a","id":"7"}'

    uvloop.run(play())


def test_control_that_answers_instead_keeps_its_own_name() -> None:
    async def play() -> None:
        broken = (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",)
        servers = {"v1": (answer(b'{"model":"gpt-x-1"}'),), "v2": broken}
        how: dict[str, Any] = {"protocol": "openai", "serving": RESTORE, "fallback": True}
        async with gated(servers, sets={"v2": TUNED}, **how) as world:
            assert (await world.ask(post(ASKED))).body == b'{"model":"gpt-x-1"}'

    uvloop.run(play())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.text())
def test_renaming_changes_the_name_alone(members: dict[str, Any], name: str) -> None:
    text = json.dumps(members | {"model": "m"}).encode()
    assert json.loads(renamed(text, ["model"], name)) == members | {"model": name}
    other = {key: value for key, value in members.items() if key != "model"}
    plain = json.dumps(other).encode()
    assert renamed(plain, ["model"], name) == plain


@given(
    st.lists(st.sampled_from([b'data: {"model":"t"}', b"", b"event: a", b": ping", b"data: [DONE]"])),
    st.data(),
)
def test_however_a_stream_is_cut_the_same_octets_go_on(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    reader = Restorer(ROWS["openai"], [(b"content-type", b"", EVENTS)], "asked")
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join([*map(reader.feed, parts), reader.end()]) == stream.replace(b'"t"', b'"asked"')


def written(answered: bytes, measures: tuple[str, ...] = ("cost",), **fields: Any) -> dict[str, int]:
    """The outcomes of one request that is answered with this."""

    async def play() -> dict[str, int]:
        run = msgspec.structs.replace(experiment(treatment=999_999), measures=measures)
        async with gated({"v1": (b"",), "v2": (answered,)}, experiments=(run,), **fields) as world:
            await world.ask(post())
            return (await world.written())[1]

    return uvloop.run(play())


USAGE = b'{"usage":{"prompt_tokens":2000,"completion_tokens":100}}'


def test_cost_is_a_field_of_the_answer_or_tokens_at_a_price() -> None:
    field = Serving(cost="x-cost")
    assert written(answer(b"{}", fields=b"X-Cost: 0.25\r\n"), serving=field) == {"cost": 250_000}
    for bad in (b"nan", b"inf", b"-1", b"much"):
        assert written(answer(b"{}", fields=b"X-Cost: %b\r\n" % bad), serving=field) == {}


@pytest.mark.parametrize(
    ("fields", "body", "status", "expected"),
    [
        (b"", USAGE, b"200 OK", {"cost": 360}),
        (b"X-Cost: 3\r\n", USAGE, b"200 OK", {"cost": 3_000_000}),
        (b"", b"{}", b"200 OK", {}),
        (b"X-Cost: 3\r\n", USAGE, b"400 Bad Request", {}),
    ],
)
def test_a_price_table_makes_tokens_a_cost(
    fields: bytes, body: bytes, status: bytes, expected: dict[str, int]
) -> None:
    async def play() -> None:
        run = msgspec.structs.replace(experiment(treatment=999_999), measures=("cost",))
        answered = answer(body, fields=fields).replace(b"200 OK", status)
        how: dict[str, Any] = {"protocol": "openai", "serving": Serving(cost="x-cost"), "experiments": (run,)}
        async with gated({"v1": (b"",), "v2": (answered,)}, price=Price(150_000, 600_000), **how) as world:
            await world.ask(post())
            assert (await world.written())[1] == expected

    uvloop.run(play())


def test_values_in_a_small_answer_are_outcomes() -> None:
    serving = Serving(outcomes=(("sure", "/outputs/0/data/1"), ("flagged", "/flagged"), ("gone", "/no")))
    body = b'{"outputs":[{"data":[1,0.83]}],"flagged":true,"no":"text"}'
    assert written(answer(body), (), serving=serving) == {"sure": 830_000, "flagged": 1_000_000}
    for other in (answer(body, b"text/plain"), answer(body).replace(b"200 OK", b"500 Oops")):
        assert written(other, (), serving=serving) == {}


@pytest.mark.parametrize(("said", "most"), [(b"700", 700), (b"9999999", 600_000), (b"soon", 600_000)])
def test_what_is_left_of_a_deadline_is_passed_on(said: bytes, most: int) -> None:
    async def play() -> None:
        async with gated(
            {"v1": (b"",), "v2": (answer(b"{}"),)}, serving=Serving(deadline="x-wait-ms")
        ) as world:
            assert (await world.ask(post(fields=b"X-Wait-Ms: %b\r\n" % said))).status == 200
            assert 0 <= int(world.requests[0][1].fields[b"x-wait-ms"]) <= most

    uvloop.run(play())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


def test_a_client_that_waits_no_longer_is_told_in_time() -> None:
    server: Script = silent

    async def play() -> None:
        async with gated({"v1": (b"",), "v2": server}, serving=Serving(deadline="x-wait-ms")) as world:
            assert (await world.ask(post(fields=b"X-Wait-Ms: 60\r\n"))).status == 504

    uvloop.run(play())


FILE = """
route: chat
unit: {kind: person}
protocol: openai
restore_model: yes
deadline: X-Wait-Ms
cost: x-cost
outcomes: {sure: /choices/0/sure}
arms:
  v1: {upstream: "http://h:1", price: {tokens_in: 0.15, tokens_out: 0.6}}
default: v1
"""


def flag_from(text: str) -> Flag:
    routes = parse_documents(load(text, "route.yaml")).routes
    return flag_of(routes["chat"][0])


def test_a_file_says_it_and_the_flag_keeps_it() -> None:
    made = flag_from(FILE)
    assert made.serving == Serving(True, "x-wait-ms", "x-cost", (("sure", "/choices/0/sure"),))
    assert made.arms == (Arm("v1", "http://h:1", made.arms[0].identity, price=Price(150_000, 600_000)),)
    assert made.unit.places == (("json", "/safety_identifier"), ("json", "/user"))
    assert Flag.parse(made.encode()) == made


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("protocol: openai", "protocol: mlflow", "a place in 'unit.from'"),
        (
            "{kind: person}\nprotocol: openai",
            "{kind: person, from: [request]}",
            "restore_model with a protocol",
        ),
        ("tokens_in: 0.15", "tokens_in: cheap", "price of a million tokens"),
        ("/choices/0/sure", "choices", "JSON pointer"),
        ("X-Wait-Ms", "via", "field name"),
    ],
)
def test_what_cannot_be_meant_is_an_error(old: str, new: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        flag_from(FILE.replace(old, new))
