"""What the trace of a task must look like, and what is wrong with one that does not.

`submit` → `task <workflow>` → `step <name>` → producer `publish <capability>` → consumer `process <capability>`, all in one trace;
the last in the process of the step's system, everything above it in the coordinator. docs/protocol.md, "Traces and logs".

Pure: the same spans always give the same findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaeger_check.span import Span

#: `service.name` of the coordinator.
COORDINATOR = "tasker"
#: The coordinator stamps whole milliseconds, and a language's clock for spans may run apart from the system's by some more. All processes
#: of the workload share one machine, so what differs by more than this is wrong.
CLOCKS_DIFFER_US = 100_000


@dataclass(frozen=True)
class Finding:
    """One thing that is missing or wrong in a trace. The codes are listed in ../README.md."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.detail}"


@dataclass(frozen=True)
class ExpectedStep:
    name: str
    system: str
    capability: str
    #: How many attempts were made; each has a producer and a consumer span.
    attempts: int = 1
    #: The code with which every attempt, and so the step, failed; None if it succeeded.
    error: str | None = None


@dataclass(frozen=True)
class ExpectedTask:
    """A task that has ended, and whose spans are therefore all written. Steps that never became ready have none, and are not listed."""

    id: str
    trace_id: str
    namespace: str
    workflow: str
    version: str
    steps: tuple[ExpectedStep, ...]
    #: The code with which it failed; None if it succeeded.
    error: str | None = None


@dataclass(frozen=True)
class Expected:
    """One span that must be there."""

    name: str
    kind: str
    service: str
    #: The place of the parent in the list of expected spans, always before this one; None for the root.
    parent: int | None
    tags: dict[str, str]
    #: The code it must be marked as failed with; None if it must not be.
    error: str | None = None

    def __str__(self) -> str:
        step, attempt = self.tags.get("tasker.step.name"), self.tags.get("tasker.attempt.number")
        place = f" of step `{step}`" if step else ""
        return f"{self.kind} span `{self.name}` of service `{self.service}`{place}{f', attempt {attempt}' if attempt else ''}"


def expected_spans(task: ExpectedTask) -> list[Expected]:
    """Every span of the task, parents before children."""
    every = {"tasker.namespace": task.namespace, "tasker.task.id": task.id}
    workflow = {**every, "tasker.workflow.name": task.workflow}
    spans = [
        Expected("submit", "server", COORDINATOR, None, workflow),
        Expected(f"task {task.workflow}", "internal", COORDINATOR, 0, {**workflow, "tasker.workflow.version": task.version}, task.error),
    ]
    for step in task.steps:
        place = {**every, "tasker.step.name": step.name, "tasker.capability.name": step.capability, "tasker.system": step.system}
        step_place = len(spans)
        spans.append(Expected(f"step {step.name}", "internal", COORDINATOR, 1, place, step.error))
        for attempt in range(1, step.attempts + 1):
            message = {
                **place,
                "tasker.attempt.number": str(attempt),
                "messaging.system": "nats",
                "messaging.destination.template": "tasker.v1.{namespace}.{system}.to.{session}",
                "messaging.message.conversation_id": task.id,
            }
            publish = {
                **message,
                "messaging.operation.name": "publish",
                "messaging.operation.type": "send",
                "messaging.message.id": f"{task.id}/{step.name}/{attempt}",
            }
            process = {**message, "messaging.operation.name": "process", "messaging.operation.type": "process"}
            publish_place = len(spans)
            spans.append(Expected(f"publish {step.capability}", "producer", COORDINATOR, step_place, publish))
            spans.append(Expected(f"process {step.capability}", "consumer", step.system, publish_place, process, step.error))
    return spans


def check(task: ExpectedTask, spans: Sequence[Span]) -> list[Finding]:
    """What is wrong with the trace of `task`; nothing if it is as it must be."""
    expected = expected_spans(task)
    chosen = _choose(expected, spans)
    findings = [
        Finding("trace.other_trace", f"{_say(span)} is in trace {span.trace_id}, the task's is {task.trace_id}")
        for span in spans
        if span.trace_id.zfill(32) != task.trace_id
    ]
    for place, wanted in enumerate(expected):
        span = chosen[place]
        if span is None:
            findings.append(Finding("trace.span_missing", f"there is no {wanted}"))
            continue
        parent = None if wanted.parent is None else chosen[wanted.parent]
        findings += _as_expected(wanted, span)
        findings += _under(wanted, span, parent, spans)
        findings += _outcome(wanted, span)
    known = {id(span) for span in chosen if span is not None}
    findings += [Finding("trace.span_unexpected", f"{_say(span)} belongs to nothing that was done") for span in spans if id(span) not in known]
    return findings


def _choose(expected: Sequence[Expected], spans: Sequence[Span]) -> list[Span | None]:
    """For each expected span the one that is meant by its name and place. A span is chosen once, so a repeated one stays over."""
    free, chosen = list(spans), []
    for wanted in expected:
        best = max((span for span in free if span.name == wanted.name), key=lambda span: _likeness(wanted, span), default=None)
        # Two steps may have the same capability: without the step's name in common it is another step's span.
        step = wanted.tags.get("tasker.step.name")
        if best is not None and step is not None and best.tags.get("tasker.step.name", step) != step:
            best = None
        if best is not None:
            free.remove(best)
        chosen.append(best)
    return chosen


def _likeness(wanted: Expected, span: Span) -> tuple[bool, bool, int]:
    """What identifies a span comes first, so that a span with a wrong tag is reported as that and not as missing."""
    same = [span.tags.get(tag) == value for tag, value in wanted.tags.items()]
    identity = ("tasker.step.name", "tasker.attempt.number")
    return all(span.tags.get(tag) == wanted.tags.get(tag) for tag in identity), span.service == wanted.service, sum(same)


def _as_expected(wanted: Expected, span: Span) -> Iterator[Finding]:
    if span.kind != wanted.kind:
        yield Finding("trace.wrong_kind", f"{_say(span)} has the kind `{span.kind}`, not `{wanted.kind}`")
    if span.service != wanted.service:
        yield Finding("trace.wrong_service", f"{_say(span)} was sent by the service `{span.service}`, not by `{wanted.service}`")
    for tag, value in wanted.tags.items():
        actual = span.tags.get(tag)
        if actual is None:
            yield Finding("trace.tag_missing", f"{_say(span)} has no tag `{tag}`; it must be `{value}`")
        elif actual != value:
            yield Finding("trace.tag_wrong", f"{_say(span)} has the tag `{tag}` = `{actual}`, not `{value}`")


def _under(wanted: Expected, span: Span, parent: Span | None, spans: Sequence[Span]) -> Iterator[Finding]:
    """Whether the span hangs where it must, and not before what caused it."""
    if wanted.parent is None:
        if span.parent is not None:
            yield Finding("trace.wrong_parent", f"{_say(span)} must be the root, but is a child of span {span.parent}")
        return
    if parent is None:
        # That the parent is missing has been said; whatever this span names cannot be right, and cannot be judged.
        return
    if span.parent != parent.id:
        actual = next((other for other in spans if other.id == span.parent), None)
        under = "is a root" if span.parent is None else f"is a child of {_say(actual)}" if actual else f"is a child of span {span.parent}, which is not in the trace"
        yield Finding("trace.wrong_parent", f"{_say(span)} {under}, not of {_say(parent)}")
    early = parent.start_us - span.start_us
    if early > CLOCKS_DIFFER_US:
        yield Finding("trace.wrong_time", f"{_say(span)} starts {early / 1000:.0f} ms before its parent {_say(parent)}")
    # A submission or a publication ends when it is handed over; what encloses its children are tasks and steps.
    late = span.end_us - parent.end_us
    if parent.kind == "internal" and late > CLOCKS_DIFFER_US:
        yield Finding("trace.wrong_time", f"{_say(span)} ends {late / 1000:.0f} ms after its parent {_say(parent)}")


def _outcome(wanted: Expected, span: Span) -> Iterator[Finding]:
    """A failure is marked where it happened and nowhere else: people search for spans with errors."""
    marked, code = span.tags.get("error") == "true", span.tags.get("error.type")
    if wanted.error is None and (marked or code is not None):
        yield Finding("trace.unexpected_error", f"{_say(span)} is marked as failed ({code or 'no error.type'}), but it succeeded")
    elif wanted.error is not None and not (marked and code == wanted.error):
        actual = f"{'is' if marked else 'is not'} marked as failed, with error.type `{code}`"
        yield Finding("trace.error_not_marked", f"{_say(span)} {actual}; it failed with `{wanted.error}`")


def _say(span: Span) -> str:
    step = span.tags.get("tasker.step.name")
    return f"`{span.name}` ({span.kind or 'no kind'}, {span.service}{f', step {step}' if step else ''})"
