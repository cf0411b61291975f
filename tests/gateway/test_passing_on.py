"""What clients and model servers say to each other passes as it was said; what is ours is added and never mixed in."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
import uvloop

from router.protocols import ROWS
from tests.gateway.gated import answer, gated
from tests.gateway.scripted import Message

PARTS = b'--edge 7\r\nContent-Disposition: form-data; name="a"; filename="\xc3\xa4.png"\r\n\r\n\x89PNG\r\n\x00\xff\r\n--edge 7--\r\n'
HEADER = b'{"inputs":[{"name":"IN","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}'
# What libraries and proxies of inference send along; none of it is ours to change.
SAID = {
    b"accept": b"application/json, text/event-stream;q=0.5",
    b"anthropic-beta": b"a-2025-01-01,b-2025-01-01",
    b"anthropic-version": b"2023-06-01",
    b"authorization": b"Bearer abc.def",
    b"b3": b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
    b"ce-id": b"e-1",
    b"cookie": b"a=1; b=2",
    b"idempotency-key": b"k-1",
    b"openai-organization": b"o",
    b"seldon-model": b"m.experiment",
    b"user-agent": b"OpenAI/Python 1.2 (x; y)",
    b"x-amzn-sagemaker-inference-id": b"i-1",
    b"x-api-key": b"secret",
    b"x-b3-traceid": b"80f198ee56343ba864fe8b2a57d3eff7",
    b"x-person": b"ann",
    b"x-request-id": b"r-1",
    b"x-stainless-retry-count": b"1",
}
TARGETS = (
    b"/v2/models/m/versions/3/infer",
    b"/v2/models/m%2Fn/labels/caf%C3%A9:predict?a=1&a=&b=%zz+x&c",
    b"/v2//x;p=1/?",
)


def sent(method: bytes, target: bytes, fields: dict[bytes, bytes], body: bytes, *, chunked: bool) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % line for line in fields.items())
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    if chunked:
        body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (1, body[:1], len(body) - 1, body[1:])
    return b"%b %b HTTP/1.1\r\nHost: m\r\n%b%b\r\n\r\n%b" % (method, target, lines, framing, body)


@pytest.mark.parametrize("protocol", ROWS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("kind", "coding", "body"),
    [
        (b'multipart/form-data; boundary="edge 7"', b"", PARTS),
        (b"application/json; charset=utf-8", b"gzip", gzip.compress(b'{"user":"bob"}', mtime=0)),
        (b"application/octet-stream", b"", HEADER + b"\0\0\x80\x3f\xff\xff\x7f\x7f"),
        (b"text/csv", b"", b"a,b\r\n1,2\r\n"),
        (b"application/json", b"", b'{ "model" : "m",\n"model": "n", "x": 1e400, "y": "\xff" }'),
    ],
)
def test_a_request_arrives_as_it_was_sent(
    protocol: str, chunked: bool, kind: bytes, coding: bytes, body: bytes
) -> None:
    fields = {**SAID, b"content-type": kind}
    if coding:
        fields[b"content-encoding"] = coding
    if body.startswith(HEADER):
        fields[b"inference-header-content-length"] = b"%d" % len(HEADER)
    places = (("json", "/user"), ("header", "x-person"))

    async def play() -> list[tuple[str, Message]]:
        servers = {"v1": (answer(b"{}"),), "v2": (answer(b"{}"),)}
        async with gated(servers, protocol=protocol, places=places) as world:
            for method in (b"POST", b"PUT", b"PATCH", b"DELETE"):
                for target in TARGETS:
                    assert (
                        await world.ask(sent(method, target, fields, body, chunked=chunked))
                    ).status == 200
            return world.requests

    seen = uvloop.run(play())
    lines = [
        b"%b %b HTTP/1.1" % (method, target)
        for method in (b"POST", b"PUT", b"PATCH", b"DELETE")
        for target in TARGETS
    ]
    framing = {b"transfer-encoding": b"chunked"} if chunked else {b"content-length": str(len(body)).encode()}
    ours = {b"host": b"m", b"via": b"1.1 pointsman", b"x-forwarded-for": b"127.0.0.1"}
    assert [message.line for _, message in seen] == lines
    for arm, message in seen:
        assert arm == "v2"
        assert message.body == body
        assert message.fields == {**fields, **framing, **ours}


# An answer of a model server, with what clients act on.
TOLD = {
    b"cache-control": b"no-cache",
    b"content-type": b"application/json",
    b"date": b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"etag": b'W/"1"',
    b"openai-processing-ms": b"12",
    b"retry-after": b"7",
    b"retry-after-ms": b"6500",
    b"server": b"uvicorn",
    b"server-timing": b"gpu;dur=8.1, queue;dur=0.2",
    b"www-authenticate": b'Bearer realm="m"',
    b"x-amzn-invoked-production-variant": b"v",
    b"x-ratelimit-remaining-tokens": b"0",
    b"x-ratelimit-reset-requests": b"1s",
    b"x-request-id": b"r-2",
    b"x-should-retry": b"false",
}
PROBLEM = b'{ "error": {"message":"n\xc3\xb6", "type": "x", "code": null} }\n'
OWN = {b"pointsman-experiment", b"pointsman-arm", b"pointsman-revision", b"pointsman-decision"}


@pytest.mark.parametrize("protocol", ROWS)
@pytest.mark.parametrize(
    "status", [200, 201, 202, 307, 400, 401, 403, 404, 409, 422, 424, 429, 500, 503, 529]
)
def test_an_answer_arrives_as_it_was_given_whatever_its_status(protocol: str, status: int) -> None:
    lines = b"".join(b"%b: %b\r\n" % line for line in TOLD.items())
    hops = (
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n"
    )
    claims = b"Pointsman-Arm: v9\r\nPointsman-Decision: forged\r\nPOINTSMAN_ARM: v9\r\n"
    cookies = b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Secure\r\n"
    given = b"HTTP/1.1 %d Whatever\r\n%b%b%b%bContent-Length: %d\r\n\r\n%b" % (
        status,
        lines,
        hops,
        claims,
        cookies,
        len(PROBLEM),
        PROBLEM,
    )

    async def play() -> Message:
        async with gated({"v1": (given,), "v2": (given,)}, protocol=protocol) as world:
            return await world.ask(sent(b"POST", b"/v2/x", SAID, b"{}", chunked=False))

    got = uvloop.run(play())
    assert (got.status, got.body) == (status, PROBLEM)
    passed = {name: value for name, value in got.fields.items() if name not in OWN}
    length = str(len(PROBLEM)).encode()
    assert passed == {**TOLD, b"set-cookie": b"a=1; Path=/, b=2; Secure", b"content-length": length}
    assert got.fields[b"pointsman-arm"] == b"v2"
    assert set(got.fields) >= OWN
    assert b"forged" not in got.fields[b"pointsman-decision"]


EVENTS = (
    b": ping\n\n",
    b'data: {"choices":[{"delta":{"content":"gr\xc3\xbc\xc3\x9f"}}]}\n\n',
    b"id: 7\r\nevent: delta\r\nretry: 1000\r\ndata: a\r\ndata: b\r\n\r\n",
    b"data: no json {\n\n",
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.mark.parametrize("protocol", ROWS)
@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_a_stream_keeps_its_octets_comments_and_coding(protocol: str, coding: bytes) -> None:
    body = gzip.compress(b"".join(EVENTS)) if coding else b"".join(EVENTS)
    edges = [*range(0, len(body), 23), len(body)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (end - start, body[start:end]) for start, end in pairwise(edges))
    fields = {
        b"content-type": b"text/event-stream",
        b"x-accel-buffering": b"no",
        b"cache-control": b"no-cache",
    }
    if coding:
        fields[b"content-encoding"] = coding
    lines = b"".join(b"%b: %b\r\n" % line for line in fields.items())
    given = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (lines, chunks)

    async def play() -> Message:
        async with gated({"v1": (given,), "v2": (given,)}, protocol=protocol) as world:
            return await world.ask(sent(b"POST", b"/v2/x", SAID, b"{}", chunked=False))

    got = uvloop.run(play())
    assert (got.body, got.whole) == (body, True)
    assert fields.items() <= got.fields.items()


@pytest.mark.parametrize("target", [b"/v2/health/ready", b"/v2/health/live", b"/v2/models/m/ready", b"/ping"])
def test_the_health_of_a_model_server_is_its_own(target: bytes) -> None:
    down = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\nstarting"

    async def play() -> Message:
        async with gated({"v1": (down,), "v2": (answer(b""),)}, path="/") as world:
            return await world.ask(b"GET %b HTTP/1.1\r\nHost: m\r\n\r\n" % target)

    got = uvloop.run(play())
    assert (got.status, got.body) == (503, b"starting")
