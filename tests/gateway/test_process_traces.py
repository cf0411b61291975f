"""Spans of the real gateway, as a collector that speaks OTLP over HTTP gets them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router.flag import Arm
from router.local.processes import free_port
from tests.gateway.flags import experiment
from tests.gateway.running import World, eventually

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{PARENT}-{flags}" for flags in ("01", "00"))


class Collector:
    """Takes spans as they are exported, by the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = attributes(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                assert scope.scope.name == "pointsman"
                self.spans += [(service, span) for span in scope.spans]

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def attributes(holder: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{made.server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    yield made
    made.close()


def traced(folder: Path) -> World:
    return World(folder, traces="otlp", gateway_workers=1)


def test_a_span_arrives_between_the_clients_and_the_model_servers(
    tmp_path: Path, collector: Collector
) -> None:
    with traced(tmp_path) as world:
        world.put(world.flag(experiments=(experiment(treatment=999_999),)))
        world.start()
        world.get("/v2/x", **{"X-Person": "a", "traceparent": UNSAMPLED})
        upstream = world.models[1].asked[b"traceparent"].decode()
        assert (upstream[:36], upstream[-2:]) == (
            f"00-{TRACE}-",
            "00",
        )  # who begins a trace says what is kept
        fields = {"X-Person": "a", "traceparent": SAMPLED, "tracestate": "a=1,b=2", "baggage": "who=ann"}
        assert world.get("/v2/x?secret=1", **fields)[0] == 200
        asked = world.models[1].asked
        assert (asked[b"tracestate"], asked[b"baggage"]) == (b"a=1,b=2", b"who=ann")
        eventually(lambda: collector.spans)
        ((service, span),) = collector.spans
        assert service == "edge"
        assert asked[b"traceparent"].decode() == f"00-{TRACE}-{span.span_id.hex()}-01"
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert (span.name, span.kind, span.trace_state) == ("GET web", Span.SPAN_KIND_SERVER, "a=1,b=2")
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        assert attributes(span) == {
            "http.request.method": "GET",
            "url.path": "/v2/x",
            "http.response.status_code": 200,
            "pointsman.route": "web",
            "pointsman.revision": 1,
            "pointsman.arm": "v2",
            "pointsman.reason": "enrolled",
            "pointsman.outcome": "ok",
        }


def test_what_is_left_is_sent_when_the_gateway_stops(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    down = f"http://127.0.0.1:{free_port()}"
    with traced(tmp_path) as world:
        world.put(world.flag(arms=(Arm("v1", down), Arm("v2", down))))
        world.start()
        assert world.get("/v2/x")[0] == 502
        assert collector.spans == []
        world.group.stop()
        ((_, span),) = collector.spans
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert span.parent_span_id == b""
        assert attributes(span)["pointsman.outcome"] == "connect_failed"


def test_a_collector_that_is_away_costs_no_request(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with traced(tmp_path) as world:
        world.put(world.flag())
        world.start()
        load = world.load()
        load.more(300)
        load.stop()
        assert load.failed == []
        assert collector.spans == []
