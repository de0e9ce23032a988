"""One span of our own: whether what goes in at the OTLP address comes out at the query address, before Tasker is involved."""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.parse

from jaeger_check.jaeger_api import Jaeger
from jaeger_check.problem import Problem
from jaeger_check.web import Unanswered, ask, shown, until

SERVICE = "tasker_validate"
SPAN = "probe"


def probe(otlp: str, jaeger: Jaeger, wait_seconds: float) -> float:
    """Sends a span over OTLP/HTTP and returns after how many seconds Jaeger showed it.

    Raises `Problem`: `otlp.unreachable`, `otlp.refused`, or `jaeger.span_not_shown`.
    """
    trace_id, started = secrets.token_hex(16), time.monotonic()
    _send(otlp, trace_id)
    found = until(wait_seconds, lambda: jaeger.trace(trace_id))
    if found is None:
        raise Problem(
            "jaeger.span_not_shown",
            f"a span sent to {otlp} was accepted, but {jaeger.url} does not show its trace {trace_id} after {wait_seconds:g} s",
            "check that both addresses belong to the same installation, that its collector reaches its storage, and that it does not "
            "sample; --wait SECONDS gives a slow pipeline more time",
        )
    return time.monotonic() - started


def _send(otlp: str, trace_id: str) -> None:
    url, now = f"{otlp.rstrip('/')}/v1/traces", time.time_ns()
    # 2 is the kind `server`.
    span = {"traceId": trace_id, "spanId": secrets.token_hex(8), "name": SPAN, "kind": 2, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now)}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": SERVICE}, "spans": [span]}]}]}
    try:
        status, answer = ask("POST", url, json.dumps(body).encode(), {"Content-Type": "application/json", **_headers()})
    except Unanswered as error:
        raise Problem(
            "otlp.unreachable",
            f"no answer from the OTLP receiver: {error}",
            "give the OTLP/HTTP address (port 4318 by default; 4317 is gRPC, which is not used) with --otlp http://HOST:4318",
        ) from error
    if status != 200:
        raise Problem(
            "otlp.refused",
            f"POST {url} was answered {status}: {shown(answer)}",
            "enable the `http` protocol of the `otlp` receiver; if it asks for credentials, put them in OTEL_EXPORTER_OTLP_HEADERS",
        )


def _headers() -> dict[str, str]:
    """OTEL_EXPORTER_OTLP_HEADERS, which coordinator and workers send too: `name=value,name=value`, values percent-encoded."""
    pairs = (pair.partition("=") for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(","))
    return {name.strip(): urllib.parse.unquote(value.strip()) for name, _, value in pairs if name.strip()}
