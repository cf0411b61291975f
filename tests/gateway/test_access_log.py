"""Lines and spans of requests, written beside them; and trace context, which is passed on whatever is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import uvloop
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from router.errors import SpecError
from router.gateway import access_log
from router.gateway.access_log import AccessLog
from router.gateway.tracing import Tracing, provider_of
from tests.gateway.gated import Gated, answer, gated, post
from tests.gateway.scripted import Message, until

OK = (answer(b'{"by":"v1"}'),)
BROKEN = (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",)
TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-" + TRACE + b"-00f067aa0ba902b7-01"
CONTEXT = b"traceparent: " + PARENT + b"\r\ntracestate: a=1,b=2\r\nbaggage: k=v\r\n"


def keep(world: Gated, path: Path) -> AccessLog:
    log = AccessLog(world.bench.gate, str(path), world.bench.row)
    world.plane.gate = log
    return log


def test_a_line_says_who_was_served_by_what_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def play() -> None:
        async with gated({"v1": OK, "v2": BROKEN}, fallback=True) as world:
            log = keep(world, path)
            secret = post(b'{"secret":1}', b"Authorization: secret\r\n" + CONTEXT)
            await world.ask(secret.replace(b"/v2/infer", b"/v2/infer?key=secret"))
            await world.ask(b"GET /elsewhere HTTP/1.1\r\nHost: m\r\n\r\n")
            await log.written(5)

    uvloop.run(play())
    text = path.read_text()
    first, second = (json.loads(line) for line in text.splitlines())
    assert "secret" not in text
    assert first.pop("ms") > 0
    assert first.pop("first_byte_ms") > 0
    assert {key: value for key, value in first.items() if key != "time"} == {
        "method": "POST", "host": "m", "path": "/v2/infer", "status": 200, "outcome": "ok", "octets": 11,
        "route": "web", "revision": 1, "arm": "v2", "served": "v1", "attempts": ["v2=500"],
        "reason": "enrolled", "trace": PARENT.decode(),
    }  # fmt: skip
    assert (second["status"], second["outcome"], "arm" in second) == (404, "no_route", False)
    assert oct(path.stat().st_mode & 0o777) == "0o640"


def test_a_full_pipe_costs_lines_and_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "WAITING_MOST", 5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    async def play() -> None:
        async with gated({"v1": OK, "v2": OK}) as world:
            log = keep(world, pipe)
            for _ in range(12):
                assert (await world.ask(post())).status == 200
            assert world.counted("pointsman_access_lines_dropped") == 7
            await log.written(5)
            assert os.read(reader, 1 << 16).count(b"\n") == 5
            os.close(reader)
            await world.ask(post())
            log.write()
            await until(lambda: world.counted("pointsman_access_lines_dropped") == 8)

    uvloop.run(play())


def test_trace_context_is_passed_on_as_it_came() -> None:
    async def play() -> Message:
        async with gated({"v1": OK, "v2": OK}) as world:
            await world.ask(post(fields=CONTEXT))
            return world.requests[0][1]

    seen = uvloop.run(play())
    fields = [seen.fields[name] for name in (b"traceparent", b"tracestate", b"baggage")]
    assert fields == [PARENT, b"a=1,b=2", b"k=v"]


def spans_of(request: bytes, **servers: Any) -> tuple[list[Any], Message]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def play() -> Message:
        async with gated({"v1": OK, "v2": OK, **servers}) as world:
            world.plane.gate = Tracing(world.bench.gate, provider.get_tracer("pointsman"))
            await world.ask(request)
            return world.requests[0][1]

    return [uvloop.run(play()), list(exporter.get_finished_spans())][::-1]  # type: ignore[return-value]


def test_a_trace_goes_on_through_the_gateways_span() -> None:
    (span,), seen = spans_of(post(fields=CONTEXT))
    assert f"{span.context.trace_id:032x}".encode() == TRACE
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert seen.fields[b"traceparent"] == b"00-%b-%016x-01" % (TRACE, span.context.span_id)
    assert (seen.fields[b"tracestate"], seen.fields[b"baggage"]) == (b"a=1,b=2", b"k=v")
    assert span.attributes["pointsman.arm"] == "v2"
    assert span.attributes["http.response.status_code"] == 200
    assert span.status.is_ok


@pytest.mark.parametrize("fields", [b"", b"traceparent: nonsense\r\n", b"traceparent: 00-0-0-01\r\n"])
def test_without_a_good_parent_a_trace_begins_here(fields: bytes) -> None:
    (span,), seen = spans_of(post(fields=fields), v2=BROKEN)
    assert span.parent is None
    assert b"%032x" % span.context.trace_id in seen.fields[b"traceparent"]
    assert not span.status.is_ok


def test_spans_are_kept_only_where_they_are_asked_for() -> None:
    assert provider_of("") is None
    with pytest.raises(SpecError, match="traces: expected 'otlp'"):
        provider_of("zipkin")
