"""Continues the coordinator's trace around a handler, if OpenTelemetry is there."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, StepError
from .settings import Settings

if TYPE_CHECKING:
    from ._proto.worker_pb2 import StepRequest

try:
    from opentelemetry import context as otel_context
    from opentelemetry import trace as otel
except ImportError:  # the `otel` extra is not installed
    otel = None  # type: ignore[assignment]

log = logging.getLogger("tasker_worker")

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Trace:
    """Where an attempt stands in its trace; empty texts if it has none."""

    __slots__ = ("_span", "flags", "span_id", "trace_id")

    def __init__(self, trace_id: str = "", span_id: str = "", flags: int = 0, span: Any = None) -> None:
        #: 32 and 16 hexadecimal digits.
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self._span = span

    @property
    def traceparent(self) -> str:
        """The W3C header to hand to whoever the handler calls; empty without a trace."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}" if self.trace_id else ""

    def end(self, error: StepError | None) -> None:
        """Ends the consumer span, if there is one."""
        if self._span is None:
            return
        if error is not None:
            self._span.set_attribute("error.type", error.code)
            self._span.set_status(otel.Status(otel.StatusCode.ERROR, error.message))
        self._span.end()


def parse_traceparent(text: str) -> tuple[str, str, int] | None:
    """Trace id, span id and flags of a W3C ``traceparent``; None if it is not one, as the standard asks."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags = match.groups()
    # Version 00 has exactly four fields; ff is not a version.
    if version == "ff" or (version == "00" and len(text) != 55) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return trace_id, span_id, int(flags, 16)


class Telemetry:
    """Starts consumer spans, or only passes the coordinator's ids on when nothing exports them."""

    def __init__(self, settings: Settings, provider: Any = None) -> None:
        self._owned = None
        self._tracer = None
        if provider is None:
            provider = self._owned = _own_provider(settings)
        if provider is None and otel is not None and not isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
            # The program set up OpenTelemetry by itself.
            provider = otel.get_tracer_provider()
        if provider is not None:
            self._tracer = provider.get_tracer("tasker-worker")
        self._common = {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.template": f"{settings.prefix}.v1.{{namespace}}.{{system}}.to.{{session}}",
            "tasker.system": settings.system,
            "tasker.namespace": settings.namespace,
        }

    def start(self, request: StepRequest) -> Trace:
        """Begins the span of an attempt and makes it current.

        It changes the caller's context and does not put it back: call it in a
        context that belongs to the attempt alone.
        """
        parent = parse_traceparent(request.traceparent) if request.traceparent else None
        if self._tracer is None:
            return Trace(*parent) if parent else Trace()
        context = otel_context.Context()
        if parent is not None:
            trace_id, span_id, flags = parent
            remote = otel.SpanContext(
                int(trace_id, 16),
                int(span_id, 16),
                is_remote=True,
                trace_flags=otel.TraceFlags(flags),
                trace_state=otel.TraceState.from_header([request.tracestate]),
            )
            context = otel.set_span_in_context(otel.NonRecordingSpan(remote), context)
        span = self._tracer.start_span(
            f"process {request.capability}",
            context=context,
            kind=otel.SpanKind.CONSUMER,
            attributes={
                **self._common,
                "messaging.message.conversation_id": request.task_id,
                "tasker.task.id": request.task_id,
                "tasker.step.name": request.step_name,
                "tasker.attempt.number": request.attempt,
                "tasker.capability.name": request.capability,
            },
        )
        otel_context.attach(otel.set_span_in_context(span, context))
        own = span.get_span_context()
        return Trace(otel.format_trace_id(own.trace_id), otel.format_span_id(own.span_id), int(own.trace_flags), span)

    def shutdown(self) -> None:
        """Sends what is still here; blocks, bounded by the exporter's own timeout."""
        if self._owned is not None:
            self._owned.shutdown()


def _own_provider(settings: Settings) -> Any:
    """A provider that exports over OTLP/HTTP if the environment names where to."""
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(endpoint, f"is set, but `{error.name}` is missing; install `tasker-worker[otel]`") from error
    named_by_user = bool(os.environ.get("OTEL_SERVICE_NAME"))
    provider = TracerProvider(resource=Resource.create({} if named_by_user else {"service.name": settings.system}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # Spans that a handler makes through the global tracer belong to the same service.
    otel.set_tracer_provider(provider)
    return provider
