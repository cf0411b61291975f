"""A span for each request, where the setting asks for it: a gate around the gate, so that others pay nothing.

A trace that a client has begun is continued, and the model server is told the gateway's span as its parent. Without this
the fields ``traceparent``, ``tracestate`` and ``baggage`` are passed on as they came. Route, arm and reason stand in the
span's attributes, never in the baggage, which goes on to others.

Source:
    W3C Trace Context; OpenTelemetry semantic conventions for HTTP spans.
"""

from __future__ import annotations

from typing import Any

from router.errors import Problem, SpecError
from router.gateway.head import Head
from router.gateway.ports import Gate
from router.gateway.shape import REQUEST_SHAPES
from router.gateway.ticket import Ticket

PARENT = b"traceparent"
OTLP = "otlp"
EXPORT_S = 2.0


class Tracing:
    """A gate that keeps spans of what the one behind it was asked."""

    def __init__(self, gate: Gate, tracer: Any) -> None:
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._gate = gate
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._error = StatusCode.ERROR
        self.local = gate.local
        self.again = gate.again
        self.instead = gate.instead
        self.noted = gate.noted
        self.reported = gate.reported

    def route(self, head: Head, body: bytes | None) -> Ticket:
        """Where a request goes; its span begins."""
        ticket = self._gate.route(head, body)
        route, arm, reason = ticket.route, ticket.arm, ticket.reason
        if route is None or arm is None or reason is None or ticket.reply is not None:
            return ticket
        names = ("traceparent", "tracestate")
        carrier = {
            name: value.decode("latin-1")
            for name in names
            if (value := head.field(name.encode())) is not None
        }
        context = self._propagator.extract(carrier)
        method = head.method.decode("latin-1")
        span = self._tracer.start_span(f"{method} {route.flag.route}", context, self._kind)
        span.set_attributes(
            {
                "http.request.method": method,
                "url.path": head.path.decode("latin-1"),
                "pointsman.route": route.flag.route,
                "pointsman.revision": route.flag.revision,
                "pointsman.arm": arm.name,
                "pointsman.reason": reason.value,
            }
        )
        ticket.span = span
        self._carry(head, span)
        return ticket

    def _carry(self, head: Head, span: Any) -> None:
        """The request goes on as a child of this span."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        value = carrier.get("traceparent", "").encode()
        if value:
            others = [field for field in head.shape.fields(head.values) if field[0] != PARENT]
            head.shape, head.values = REQUEST_SHAPES.split([*others, (PARENT, PARENT, value)])

    def finished(self, ticket: Any, status: int, outcome: str, latency_us: int) -> None:
        """A request has ended, and its span."""
        self._gate.finished(ticket, status, outcome, latency_us)
        span = ticket.span
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("pointsman.outcome", outcome)
        if ticket.served is not ticket.arm:
            span.set_attribute("pointsman.served", ticket.served.name)
        if status >= 500 or outcome not in ("ok", "client_abort"):
            span.set_status(self._error)
        span.end()


def provider_of(setting: str) -> Any:
    """A provider of tracers that sends its spans by OTLP, as the OTEL_ variables say; None when none is asked for.

    Raises:
        SpecError: the setting is unknown, or OpenTelemetry is not installed.
    """
    if not setting:
        return None
    if setting != OTLP:
        raise SpecError([Problem("traces", f"'{OTLP}' or nothing", repr(setting))])
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SpecError(
            [Problem("traces", "OpenTelemetry in this gateway", "none", "install the extra 'otel'")]
        ) from None
    provider = TracerProvider(shutdown_on_exit=False)  # a collector that is away must not hold a stop up
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_S)))
    return provider
