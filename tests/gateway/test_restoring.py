"""The asked model's name put back into answers: in JSON, in streams, and before binary tensors."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from router.flag import ArmSet
from router.gateway.observing import READ_MOST
from router.gateway.restoring import Restorer, renamed
from router.protocols import ROWS
from router.serving import Serving
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Message

TUNED = ArmSet(json=(("/model", "tuned"),))
EVENTS = b"text/event-stream"
ASKED = b'{"model":"gpt-x","messages":[]}'
RESTORE = Serving(restore_model=True)


def served(
    answered: bytes, request: bytes = ASKED, wanted: ArmSet = TUNED, **fields: Any
) -> tuple[Message, Message, set[str]]:
    """What the client got, what the model server saw, and what the arm is known as."""

    async def play() -> tuple[Message, Message, set[str]]:
        how = {"protocol": "openai", "serving": RESTORE, **fields}
        async with gated({"v1": (b"",), "v2": (answered,)}, sets={"v2": wanted}, **how) as world:
            got = await world.ask(post(request))
            await world.bench.recorder.flush(world.bench.now)
            known = {one.name for entry in world.bench.log.folded() for one in entry.sightings}
            return got, world.requests[0][1], known

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


TENSORS = bytes(range(256)) * 300


def binary(text: bytes, tensors: bytes = TENSORS, told: int | None = None, fields: bytes = b"") -> bytes:
    length = len(text) if told is None else told
    fields = b"Inference-Header-Content-Length: %d\r\n" % length + fields
    return answer(text + tensors, b"application/octet-stream", fields)


def asked_binary(answered: bytes, name: str = "a") -> Message:
    """What a client gets that asked for this model, where the arm serves another one."""

    async def play() -> Message:
        sets = {"v2": ArmSet(path="/v2/models/tuned")}
        how: dict[str, Any] = {"protocol": "oip-v2", "serving": RESTORE, "path": f"/v2/models/{name}"}
        async with gated({"v1": (b"",), "v2": (answered,)}, sets=sets, **how) as world:
            return await world.ask(post(b"{}").replace(b"/v2/infer", f"/v2/models/{name}/infer".encode()))

    return uvloop.run(play())


@pytest.mark.parametrize("name", ["a", "tuned", "a-much-longer-name-than-the-arms"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_before_binary_tensors_the_name_is_put_back_and_every_octet_behind_it_stays(
    name: str, framing: str
) -> None:
    text = b'{"model_name":"tuned","outputs":[{"name":"y","parameters":{"binary_data_size":76800}}]}'
    answered = binary(text, fields=b"Content-MD5: x\r\n")
    if framing == "chunked":
        head, _, body = answered.partition(b"\r\n\r\n")
        head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
        cuts = [0, 7, len(text) - 3, len(text) + 5, len(body)]
        pieces = [body[a:b] for a, b in pairwise(cuts)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        answered = head + b"\r\n\r\n" + chunks + b"0\r\n\r\n"
    got = asked_binary(answered, name)
    length = int(got.fields[b"inference-header-content-length"])
    assert json.loads(got.body[:length]) == json.loads(text) | {"model_name": name}
    assert got.body[length:] == TENSORS
    assert got.whole
    assert b"content-md5" not in got.fields
    assert (b"content-length" in got.fields) == (framing == "length")


@pytest.mark.parametrize(
    "answered",
    [
        binary(b'{"model_name":"tuned"}', fields=b"Content-Encoding: gzip\r\n"),
        binary(b'{"model_name":"tuned","pad":"%b"}' % (b"x" * READ_MOST)),
        binary(b'{"model_name":"tuned"}', b"", told=1000),
        binary(b'{"model_name":"tuned"}', told=0),
    ],
    ids=["compressed", "too long", "longer than the body", "nothing before the tensors"],
)
def test_binary_answers_that_cannot_be_renamed_pass_octet_by_octet(answered: bytes) -> None:
    got = asked_binary(answered)
    head, _, body = answered.partition(b"\r\n\r\n")
    assert got.body == body
    assert b"Inference-Header-Content-Length: %b\r\n" % got.fields[b"inference-header-content-length"] in head


@pytest.mark.parametrize("text", [b"[1]", b'{"model_name":7}', b"{", b'{"model_version":"3"}'])
def test_what_names_no_model_before_the_tensors_is_only_filled_up(text: bytes) -> None:
    got = asked_binary(binary(text))
    length = int(got.fields[b"inference-header-content-length"])
    assert got.body == text.ljust(length) + TENSORS


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4), st.text(min_size=1), st.data())
def test_however_a_binary_answer_is_cut_the_same_octets_go_on(
    members: dict[str, str], name: str, data: st.DataObject
) -> None:
    text = json.dumps(members | {"model_name": "m"}, ensure_ascii=data.draw(st.booleans())).encode()
    octets = text + b"tensors"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=4)))
    key = b"inference-header-content-length"
    reader = Restorer(ROWS["oip-v2"], [(key, key, b"%d" % len(text))], name)
    fields, length = reader.framed([(key, key, b"%d" % len(text))], len(octets))
    told = int(fields[0][2])
    parts = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    out = b"".join([*map(reader.feed, parts), reader.end()])
    assert len(out) == length
    assert json.loads(out[:told]) == members | {"model_name": name}
    assert out[told:] == b"tensors"


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
