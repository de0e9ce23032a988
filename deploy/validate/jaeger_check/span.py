"""A trace as Jaeger's query API writes it, read into spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaeger_check.problem import Problem


@dataclass(frozen=True)
class Span:
    """One span. Times are microseconds since 1970, as Jaeger gives them."""

    id: str
    trace_id: str
    #: The span it is a child of; None for the root.
    parent: str | None
    name: str
    #: `server`, `producer`, `consumer`, `internal`, `client`; empty if the span does not say.
    kind: str
    service: str
    start_us: int
    duration_us: int
    #: Values as text, as Jaeger's search compares them.
    tags: dict[str, str]
    #: What Jaeger itself found odd about it.
    warnings: tuple[str, ...]

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us


def read_spans(trace: dict[str, Any]) -> list[Span]:
    """The spans of one element of `data` in an answer of `/api/traces/{id}`, by start time.

    Raises `Problem` (`jaeger.not_jaeger`) if it is not of that form.
    """
    try:
        services = {key: str(process["serviceName"]) for key, process in trace["processes"].items()}
        spans = [_read(span, services) for span in trace["spans"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Problem(
            "jaeger.not_jaeger",
            f"a trace in the answer is not written as Jaeger's query API writes it: {type(error).__name__}: {error}",
            "report it with the version of Jaeger: versions 1.35 to 2.x are known to answer as expected",
        ) from error
    return sorted(spans, key=lambda span: (span.start_us, -span.duration_us))


def _read(span: dict[str, Any], services: dict[str, str]) -> Span:
    tags = {str(tag["key"]): _text(tag["value"]) for tag in span["tags"]}
    parents = [str(reference["spanID"]) for reference in span["references"] if reference["refType"] == "CHILD_OF"]
    return Span(
        id=str(span["spanID"]),
        trace_id=str(span["traceID"]),
        parent=parents[0] if parents else None,
        name=str(span["operationName"]),
        kind=tags.get("span.kind", ""),
        service=services[span["processID"]],
        start_us=int(span["startTime"]),
        duration_us=int(span["duration"]),
        tags=tags,
        warnings=tuple(str(warning) for warning in span.get("warnings") or ()),
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
