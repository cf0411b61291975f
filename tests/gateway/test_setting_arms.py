"""Arms on one server: what an arm sets on a request arrives, framed by us, and is part of what the arm is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import uvloop

from router.document import load
from router.errors import SpecError
from router.files import parse_documents
from router.flag import ArmSet, Flag
from router.gateway.setting import Edit, resolved
from router.route import flag_of
from tests.gateway.gated import answer, gated, post
from tests.gateway.scripted import Message

V1, V2 = (answer(b'{"by":"v1"}'),), (answer(b'{"by":"v2"}'),)
FILE = """
route: chat
unit: {kind: person, from: [header:x-person]}
protocol: openai
arms:
  calm: {upstream: "http://h:1"}
  bold:
    upstream: "http://h:1"
    set:
      path: /v1/other
      headers: {authorization: "Bearer ${env:BOLD_KEY}"}
      json: {/temperature: 0.9, /model: bold-7b, /stop: ["\\n"], /metadata/arm: "5"}
default: calm
"""


def seen_of(wanted: ArmSet, request: bytes) -> tuple[Message, Message]:
    """What the model server of the arm saw, and what the client got."""

    async def play() -> tuple[Message, Message]:
        async with gated({"v1": V1, "v2": V2}, sets={"v2": wanted}) as world:
            got = await world.ask(request)
            return (world.requests[0][1] if world.requests else got), got

    return uvloop.run(play())


def test_values_fields_and_path_are_set_and_the_body_is_framed_anew() -> None:
    wanted = ArmSet(
        "/other",
        (("X-Api-Key", "k2"), ("X-New", "1")),
        (("/model", "b"), ("/options/seed", 7), ("/m/0/role", "x")),
    )
    body = b'{"model": "a", "m": [{"role": "user"}], "big": 12345678901234567890123}'
    seen, _ = seen_of(wanted, post(body, b"X-Api-Key: k1\r\nDigest: sha-256=x\r\n"))
    assert json.loads(seen.body) == {
        "model": "b", "m": [{"role": "x"}], "big": 12345678901234567890123, "options": {"seed": 7},
    }  # fmt: skip
    assert seen.line == b"POST /other/infer HTTP/1.1"
    assert (seen.fields[b"x-api-key"], seen.fields[b"x-new"]) == (b"k2", b"1")
    assert b"digest" not in seen.fields
    assert seen.fields[b"content-length"] == b"%d" % len(seen.body)


def test_the_other_arm_gets_the_request_as_it_was() -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, sets={"v1": ArmSet(json=(("/a", 1),))}) as world:
            await world.ask(post(b'{ "a" : 0 }'))
            assert world.requests[0][1].body == b'{ "a" : 0 }'

    uvloop.run(play())


def test_a_chunked_body_is_awaited_and_goes_on_with_a_length() -> None:
    request = post().replace(b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n")
    seen, _ = seen_of(ArmSet(json=(("/a", 1),)), request + b"1\r\n{\r\n1\r\n}\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert (seen.body, seen.fields[b"content-length"], seen.trailers) == (b'{"a":1}', b"7", {})


def test_a_client_that_waits_for_100_is_asked_for_the_body() -> None:
    seen, _ = seen_of(ArmSet(json=(("/a", 1),)), post(b"{}", b"Expect: 100-continue\r\n"))
    assert (seen.body, b"expect" in seen.fields) == (b'{"a":1}', False)


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff\xfe", b'"text"', b"[" * 5000])
def test_what_is_no_object_is_left_to_its_own_server(body: bytes) -> None:
    seen, _ = seen_of(ArmSet(json=(("/a", 1),)), post(body))
    assert seen.body == body


def test_binary_tensors_stay_behind_the_changed_header() -> None:
    request = post(b'{"id":"1"}\x00\x01\x02', b"Inference-Header-Content-Length: 10\r\n")
    seen, _ = seen_of(ArmSet(json=(("/parameters/k", 2),)), request)
    length = int(seen.fields[b"inference-header-content-length"])
    assert json.loads(seen.body[:length]) == {"id": "1", "parameters": {"k": 2}}
    assert seen.body[length:] == b"\x00\x01\x02"


@pytest.mark.parametrize("fields", [b"", b"Content-Encoding: gzip\r\n"])
def test_a_body_that_cannot_be_set_is_an_error_of_the_arm_and_never_sent_unset(fields: bytes) -> None:
    async def play() -> None:
        async with gated({"v1": V1, "v2": V2}, sets={"v2": ArmSet(json=(("/a", 1),))}) as world:
            body = b"{}" if fields else b'"' + b"x" * 70_000 + b'"'
            assert (await world.ask(post(body, fields))).status == 413
            assert world.requests == []
            assert world.counted("pointsman_upstream_failures", arm="v2", outcome="not_set") == 1

    uvloop.run(play())


def test_control_that_answers_instead_gets_the_request_without_it() -> None:
    async def play() -> None:
        broken = (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",)
        sets = {"v2": ArmSet(json=(("/a", 1),), headers=(("X-Key", "secret"),))}
        async with gated({"v1": V1, "v2": broken}, sets=sets, fallback=True) as world:
            assert (await world.ask(post(b'{"a":0}'))).body == b'{"by":"v1"}'
            (_, first), (_, second) = world.requests
            assert (first.body, second.body) == (b'{"a":1}', b'{"a":0}')
            assert b"x-key" not in second.fields

    uvloop.run(play())


def flag_from(text: str) -> Flag:
    files = parse_documents(load(text, "route.yaml"))
    return flag_of(files.routes["chat"][0])


def test_a_file_says_what_is_set_and_the_flag_keeps_it() -> None:
    made = flag_from(FILE)
    wanted = made.arm("bold").set
    assert wanted is not None
    assert wanted.json == (
        ("/temperature", 0.9),
        ("/model", "bold-7b"),
        ("/stop", ["\n"]),
        ("/metadata/arm", 5),
    )
    assert made.protocol == "openai"
    assert Flag.parse(made.encode()) == made


def test_what_is_set_is_part_of_what_the_arm_is_and_a_key_is_not() -> None:
    first = flag_from(FILE).arm("bold").identity
    assert flag_from(FILE.replace("0.9", "0.8")).arm("bold").identity != first
    assert flag_from(FILE).arm("calm").identity != first
    assert flag_from(FILE.replace("bold-7b", "bold-8b")).arm("bold").identity != first


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("authorization:", "content-length:", "arms.bold.set.headers"),
        ("/temperature:", "temperature:", "arms.bold.set.json"),
        ("path: /v1/other", "path: other", "arms.bold.set.path"),
        ("protocol: openai", "protocol: opanai", "openai"),
        ("protocol: openai", "retries: 9", "0, 1, 2 or 3"),
        ("protocol: openai", "fallback: perhaps", "yes or no"),
    ],
)
def test_what_cannot_be_set_is_an_error_with_its_place(old: str, new: str, at: str) -> None:
    with pytest.raises(SpecError, match=at):
        flag_from(FILE.replace(old, new))


def test_secrets_are_read_by_the_gateway_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLD_KEY", "s3cret")
    (tmp_path / "key").write_text("f1le\n")
    made = flag_from(FILE)
    assert b"s3cret" not in made.encode()
    wanted = made.arm("bold").set
    assert wanted is not None
    assert Edit(wanted, "set").lines == b"authorization: Bearer s3cret\r\n"
    assert resolved(f"${{file:{tmp_path}/key}}", "set") == "f1le"


@pytest.mark.parametrize("text", ["${env:POINTSMAN_NO_SUCH}", "${file:/no/such}"])
def test_a_missing_secret_keeps_the_flag_out_and_is_not_told(text: str) -> None:
    with pytest.raises(SpecError, match="a secret in"):
        resolved(text, "arms.v2.set.headers.x")


def test_a_secret_of_two_lines_cannot_make_a_second_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWO_LINES", "a\r\nX-Evil: 1")
    with pytest.raises(SpecError) as problem:
        resolved("${env:TWO_LINES}", "arms.v2.set")
    assert "Evil" not in str(problem.value)
