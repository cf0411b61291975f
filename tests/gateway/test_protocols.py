"""What is read in answers of each protocol, and how our own errors look to its clients."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import uvloop

from router.event_rows import ERROR, EXPOSURE, OUTCOME
from router.gateway.observing import READ_MOST, Observer
from router.protocols import ROWS, TABLE
from tests.gateway.flags import experiment
from tests.gateway.gated import answer, gated, post

EVENTS = b"text/event-stream; charset=utf-8"


def observed(
    protocol: str, body: bytes, kind: bytes = b"application/json", cut: int = 7, **fields: str
) -> Observer:
    """What is read of a body that comes in pieces."""
    headers = [(b"content-type", b"Content-Type", kind)]
    headers += [(name.replace("_", "-").encode(), b"", value.encode()) for name, value in fields.items()]
    found = Observer(ROWS[protocol], headers)
    for start in range(0, len(body), cut):
        found.feed(body[start : start + cut])
    found.end()
    return found


def told(found: Observer) -> tuple[Any, ...]:
    return found.tokens_in, found.tokens_out, found.finish, found.identity, found.failed


def stream(*events: object, named: bool = False) -> bytes:
    lines = []
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        if named and isinstance(event, dict):
            lines.append(f"event: {event['type']}\n")
        lines.append(f"data: {text}\n\n")
    return "".join(lines).encode()


CHAT = {
    "id": "1", "model": "gpt-x-0613", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7},
}  # fmt: skip
CHAT_STREAM = stream(
    {"model": "gpt-x-0613", "choices": [{"delta": {"content": "h"}, "finish_reason": None}], "usage": None},
    {"model": "gpt-x-0613", "choices": [{"delta": {}, "finish_reason": "length"}]},
    {"model": "gpt-x-0613", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}},
    "[DONE]",
)
RESPONSES = {"object": "response", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 6}}
RESPONSES_STREAM = stream(
    {"type": "response.created", "response": {"model": "m", "usage": None}},
    {"type": "response.completed", "response": {"model": "m", "status": "completed",
                                                "usage": {"input_tokens": 5, "output_tokens": 6}}},
    named=True,
)  # fmt: skip
EMBEDDINGS = {"model": "e", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
MESSAGE = {"model": "c", "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 4}}
MESSAGE_STREAM = stream(
    {"type": "message_start", "message": {"model": "c", "usage": {"input_tokens": 9, "output_tokens": 1}}},
    {"type": "content_block_delta", "delta": {"text": "x"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
    named=True,
)


@pytest.mark.parametrize("cut", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("protocol", "body", "expected"),
    [
        ("openai", CHAT, (11, 7, "stop", "gpt-x-0613", False)),
        ("openai", CHAT_STREAM, (11, 7, "length", "gpt-x-0613", False)),
        ("openai", RESPONSES, (5, 6, None, "m", False)),
        ("openai", RESPONSES_STREAM, (5, 6, "completed", "m", False)),
        ("openai", EMBEDDINGS, (3, None, None, "e", False)),
        ("anthropic", MESSAGE, (9, 4, "end_turn", "c", False)),
        ("anthropic", MESSAGE_STREAM, (9, 4, "end_turn", "c", False)),
        ("oip-v2", {"model_name": "f", "model_version": "3", "outputs": []}, (None, None, None, "3", False)),
        ("oip-v1", {"predictions": [1]}, (None, None, None, None, False)),
        ("mlflow", {"predictions": [1]}, (None, None, None, None, False)),
    ],
)
def test_each_protocol_says_its_tokens_end_and_identity(
    protocol: str, body: object, expected: tuple[Any, ...], cut: int
) -> None:
    events = isinstance(body, bytes)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert told(observed(protocol, data, EVENTS if events else b"application/json", cut)) == expected


def test_of_binary_tensors_only_the_header_is_read() -> None:
    head = b'{"model_version":"3"}'
    found = observed(
        "oip-v2", head + b"\xff" * 90_000, b"application/octet-stream", 1000,
        inference_header_content_length=str(len(head)),
    )  # fmt: skip
    assert found.identity == "3"


@pytest.mark.parametrize(
    ("protocol", "event"),
    [
        ("openai", {"error": {"message": "out of memory", "type": "server_error"}}),
        ("anthropic", {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
    ],
)
def test_an_error_inside_a_stream_is_an_error(protocol: str, event: dict[str, Any]) -> None:
    assert observed(protocol, CHAT_STREAM.removesuffix(b"data: [DONE]\n\n") + stream(event), EVENTS).failed


@pytest.mark.parametrize(
    ("body", "kind", "fields"),
    [
        (b"{", b"application/json", {}),
        (b"\xff", b"application/json", {}),
        (b"[" * 10_000, b"application/json", {}),
        (json.dumps(CHAT).encode(), b"application/json", {"content_encoding": "gzip"}),
        (json.dumps(CHAT | {"pad": "x" * READ_MOST}).encode(), b"application/json", {}),
        (b'data: {"usage"\n\n', EVENTS, {}),
        (b'data: {"usage":' + b"x" * 200_000, EVENTS, {}),
        (b'{"usage":{"prompt_tokens":-1,"completion_tokens":"7"}}', b"application/json", {}),
        (b'{"usage":{"prompt_tokens":true}}', b"application/json", {}),
        (b"[1,2]", b"application/json", {}),
    ],
)
def test_what_cannot_be_read_is_unknown(body: bytes, kind: bytes, fields: dict[str, str]) -> None:
    assert told(observed("openai", body, kind, 5000, **fields)) == (None, None, None, None, False)


def test_a_version_in_a_header_is_an_identity_in_every_protocol() -> None:
    for row in TABLE:
        assert observed(row.name, b"{}", x_model_version="v7").identity == "v7"


LOOKS = {
    "plain": lambda error: error["error"]["code"],
    "oip-v2": lambda error: error["error"].split(":")[0],
    "oip-v1": lambda error: error["error"].split(":")[0],
    "openai": lambda error: error["error"]["code"],
    "anthropic": lambda error: error["error"]["message"].split(":")[0],
    "mlflow": lambda error: error["error_code"].lower(),
}


@pytest.mark.parametrize("protocol", ROWS)
def test_an_error_of_ours_looks_as_the_clients_library_expects(protocol: str) -> None:
    async def play() -> None:
        async with gated({"v1": (b"",), "v2": (b"nonsense\r\n\r\n",)}, protocol=protocol) as world:
            got = await world.ask(post())
            assert (got.status, LOOKS[protocol](json.loads(got.body))) == (502, "bad_answer")

    uvloop.run(play())


def test_tokens_and_times_are_written_down_where_the_experiment_asks_for_them() -> None:
    run = msgspec.structs.replace(
        experiment(treatment=999_999), measures=("tokens_in", "tokens_out", "size", "gap")
    )

    async def play() -> None:
        body = json.dumps(CHAT).encode()
        async with gated(
            {"v1": (b"",), "v2": (answer(body),)}, protocol="openai", experiments=(run,)
        ) as world:
            assert (await world.ask(post())).body == body
            facts, outcomes = await world.written()
            assert facts == [EXPOSURE | OUTCOME]
            gap = outcomes.pop("gap")
            assert gap >= 0
            assert outcomes == {
                "tokens_in": 11_000_000,
                "tokens_out": 7_000_000,
                "size": len(body) * 1_000_000,
            }
            assert world.counted("pointsman_tokens", arm="v2", direction="out") == 7
            assert world.counted("pointsman_first_byte_seconds_bucket", arm="v2") == 1

    uvloop.run(play())


def test_an_error_inside_a_stream_counts_against_the_arm_and_reaches_the_client() -> None:
    body = CHAT_STREAM.removesuffix(b"data: [DONE]\n\n") + stream({"error": {"message": "out of memory"}})

    async def play() -> None:
        async with gated({"v1": (b"",), "v2": (answer(body, EVENTS),)}, protocol="openai") as world:
            got = await world.ask(post())
            assert (got.status, got.body) == (200, body)
            assert (await world.written())[0] == [EXPOSURE | OUTCOME | ERROR]
            assert world.counted("pointsman_upstream_failures", arm="v2", outcome="stream_error") == 1

    uvloop.run(play())


@pytest.mark.parametrize("protocol", ROWS)
def test_what_a_model_server_reports_is_an_outcome_and_the_client_does_not_see_it(protocol: str) -> None:
    told = answer(b"{}", fields=b"pointsman-outcome: confidence=.83, tokens = 7\r\nX-A: b\r\n")

    async def play() -> None:
        async with gated({"v1": (told,), "v2": (told,)}, protocol=protocol) as world:
            got = await world.ask(post())
            assert (got.status, b"pointsman-outcome" in got.fields, got.fields[b"x-a"]) == (200, False, b"b")
            facts, outcomes = await world.written()
            assert (facts, outcomes) == ([EXPOSURE | OUTCOME], {"confidence": 830_000, "tokens": 7_000_000})

    uvloop.run(play())


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("oip-v2", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3, 1], "data": [1, 2, 3]}]}),
        ("oip-v1", {"instances": [[1], [2], [3]]}),
        ("mlflow", {"dataframe_split": {"columns": ["a"], "data": [[1], [2], [3]]}}),
        ("openai", {"model": "e", "input": ["a", "b", "c"]}),
    ],
)
def test_a_batch_is_one_request_of_one_unit_and_goes_whole_to_one_arm(protocol: str, body: object) -> None:
    async def play() -> None:
        servers = {"v1": (answer(b"{}"),), "v2": (answer(b"{}"),)}
        async with gated(servers, protocol=protocol, experiments=(experiment(),)) as world:
            for _ in range(5):
                await world.ask(post(json.dumps(body).encode()))
            assert len({arm for arm, _ in world.requests}) == 1
            assert [json.loads(seen.body) for _, seen in world.requests] == [body] * 5
            assert (await world.written())[0] == [EXPOSURE | OUTCOME] * 5

    uvloop.run(play())


def test_a_fingerprint_is_an_identity_where_no_model_is_named() -> None:
    assert observed("openai", b'{"system_fingerprint":"fp_1"}').identity == "fp_1"
    assert observed("openai", b'{"system_fingerprint":"fp_1","model":"m"}').identity == "m"
