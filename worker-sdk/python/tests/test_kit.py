"""The offline test kit runs the real path, so these are also tests of contexts, errors and traces."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from tasker_worker import Cancelled, Context, ContractError, Permanent, Retryable, current, step
from tasker_worker.errors import cut, is_code
from tasker_worker.log import JsonFormatter
from tasker_worker.telemetry import parse_traceparent
from tasker_worker.testing import call, call_sync

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Seen(BaseModel):
    values: dict[str, Any]


class Sku(BaseModel):
    sku: str


@step("kit.look")
async def look(inp: dict, ctx: Context) -> Seen:
    assert current() is ctx
    return Seen(
        values={
            "task": ctx.task_id,
            "step": ctx.step,
            "attempt": [ctx.attempt, ctx.attempts_max],
            "workflow": ctx.workflow,
            "key": ctx.idempotency_key,
            "reserve": ctx.dependency("reserve", Sku).sku,
            "raw": ctx.dependencies,
            "trace": ctx.trace.traceparent,
        }
    )


async def test_a_handler_sees_the_context_that_the_test_gives() -> None:
    out = await call(
        look, {}, task_id="t9", step="check", attempt=2, attempts_max=3, workflow="order", idempotency_key="k",
        dependencies={"reserve": {"sku": "A"}}, traceparent=f"00-{TRACE}-{SPAN}-01",
    )
    assert isinstance(out, Seen)
    assert out.values == {
        "task": "t9", "step": "check", "attempt": [2, 3], "workflow": "order", "key": "k", "reserve": "A",
        "raw": {"reserve": {"sku": "A"}}, "trace": f"00-{TRACE}-{SPAN}-01",
    }
    assert current() is None


@pytest.mark.parametrize(("dependencies", "code"), [({}, "dependency.missing"), ({"reserve": {"sku": 1}}, "dependency.invalid")])
async def test_a_dependency_that_is_missing_or_of_another_type_is_permanent(dependencies: dict, code: str) -> None:
    with pytest.raises(Permanent) as raised:
        await call(look, {}, dependencies=dependencies)
    assert raised.value.code == code


@step("kit.fail", errors={"out_of_stock": Sku})
def fail(kind: str) -> None:
    if kind == "declared":
        raise Permanent("out_of_stock", "none left", Sku(sku="A"))
    if kind == "broken details":
        raise Permanent("out_of_stock", "none left", {"sku": 5})
    if kind == "opaque details":
        raise Permanent("other", "why", object())
    if kind == "bad code":
        raise Permanent("Not A Code", "why")
    if kind == "long":
        raise Retryable("é" * 5000, after=timedelta(minutes=1))
    if kind == "contract":
        raise ContractError("sum is wrong", violations=[("/total", "is not the sum of the lines")])
    raise KeyError("gone")


@pytest.mark.parametrize(
    ("kind", "error", "code", "message", "details"),
    [
        ("declared", Permanent, "out_of_stock", "none left", {"sku": "A"}),
        ("broken details", Permanent, "out_of_stock", "none left", {"sku": 5}),
        ("opaque details", Permanent, "other", "why (details left out", None),
        ("bad code", Permanent, "handler.error", "Not A Code: why", None),
        ("long", Retryable, "handler.error", "é" * 2048, None),
        ("contract", ContractError, "input.invalid", "sum is wrong",
         {"violations": [{"pointer": "/total", "message": "is not the sum of the lines"}]}),
        ("", Retryable, "handler.error", "KeyError: 'gone'", None),
    ],
)
async def test_failures_are_raised_as_the_coordinator_would_see_them(
    kind: str, error: type, code: str, message: str, details: Any
) -> None:
    with pytest.raises(error) as raised:
        await call(fail, kind)
    assert raised.value.code == code
    assert raised.value.message.startswith(message)
    if details is not None:
        assert raised.value.details == details
    if kind == "long":
        assert (raised.value.after, len(raised.value.message)) == (60.0, 2048)
    if kind == "":
        assert isinstance(raised.value.__cause__, KeyError)


async def test_input_that_breaks_the_contract_never_reaches_the_handler() -> None:
    with pytest.raises(ContractError) as raised:
        await call(fail, 5)
    assert raised.value.code == "input.invalid"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@step("kit.mute")
def mute(inp: dict) -> None:
    raise Mute


async def test_an_error_that_cannot_be_shown_is_named_by_its_type() -> None:
    with pytest.raises(Retryable, match="Mute"):
        await call(mute, {})


async def test_a_broken_tracer_does_not_cost_the_reply() -> None:
    class Broken:
        def get_tracer(self, name: str) -> Any:
            return self

        def start_span(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("tracer is broken")

    for handler in (wait, wait_sync):
        with pytest.raises(Retryable, match="tracer is broken"):
            await call(handler, 0.0, tracer_provider=Broken())


@step("kit.wait")
async def wait(seconds: float, ctx: Context) -> str:
    ctx.heartbeat({"waiting": seconds})
    assert ctx.deadline is None or ctx.deadline > datetime.now(timezone.utc)
    await asyncio.sleep(seconds)
    return "slept"


@step("kit.wait_sync")
def wait_sync(seconds: float, ctx: Context) -> str:
    ctx.heartbeat({"waiting": seconds})
    ctx.sleep(seconds)
    ctx.raise_if_cancelled()
    return "slept"


@pytest.mark.parametrize("handler", [wait, wait_sync])
async def test_cancellation_timeout_and_progress_reach_async_and_blocking_handlers(handler: Any) -> None:
    progress: list[Any] = []
    assert await call(handler, 0.01, progress=progress, timeout=30) == "slept"
    assert progress == [{"waiting": 0.01}]
    with pytest.raises(Cancelled):
        await call(handler, 30.0, cancel_after=0.02)
    with pytest.raises(Cancelled):
        await call(handler, 30.0, cancel_after=0)
    with pytest.raises(Retryable) as raised:
        await call(handler, 30.0, timeout=0.02)
    assert raised.value.code == "attempt.timeout"


@step("kit.progress")
async def report(inp: dict, ctx: Context) -> None:
    ctx.heartbeat("x" * 5000)


async def test_progress_above_its_limit_is_refused() -> None:
    with pytest.raises(Permanent, match="5002 bytes") as raised:
        await call(report, {})
    assert raised.value.code == "progress.invalid"


async def test_a_result_above_the_limit_is_permanent() -> None:
    with pytest.raises(Permanent) as raised:
        await call(look, {}, dependencies={"reserve": {"sku": "A" * 100}}, payload_bytes_max=50)
    assert raised.value.code == "payload.too_large"


def test_handlers_can_be_called_without_a_loop() -> None:
    assert call_sync(wait_sync, 0.0) == "slept"


@step("kit.span")
async def span(inp: str, ctx: Context) -> str:
    with otel.get_tracer("test").start_as_current_span("inner"):
        pass
    if inp == "fail":
        raise Permanent("broken", "text")
    return otel.format_span_id(otel.get_current_span().get_span_context().span_id)


@step("kit.span_sync")
def span_sync(inp: str) -> str:
    return otel.format_span_id(otel.get_current_span().get_span_context().span_id)


@pytest.mark.parametrize("handler", [span, span_sync])
async def test_a_handler_runs_inside_a_consumer_span_that_continues_the_coordinators_trace(handler: Any) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span_id = await call(handler, "ok", tracer_provider=provider, traceparent=f"00-{TRACE}-{SPAN}-01", system="shop")
    (done,) = exporter.get_finished_spans()
    assert done.name == f"process {handler.capability}"
    assert done.kind is otel.SpanKind.CONSUMER
    assert otel.format_trace_id(done.context.trace_id) == TRACE
    assert done.parent is not None
    assert otel.format_span_id(done.parent.span_id) == SPAN
    assert otel.format_span_id(done.context.span_id) == span_id
    assert dict(done.attributes or {}) == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "tasker.v1.{namespace}.{system}.to.{session}",
        "messaging.message.conversation_id": "test-task",
        "tasker.task.id": "test-task",
        "tasker.step.name": handler.capability.rsplit(".", 1)[-1],
        "tasker.attempt.number": 1,
        "tasker.capability.name": handler.capability,
        "tasker.system": "shop",
        "tasker.namespace": "default",
    }
    # The test's own context is as it was.
    assert not otel.get_current_span().get_span_context().is_valid


async def test_a_failure_marks_the_span_with_its_code() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.raises(Permanent):
        await call(span, "fail", tracer_provider=provider)
    (done,) = exporter.get_finished_spans()
    assert done.attributes is not None and done.attributes["error.type"] == "broken"
    assert (done.status.status_code, done.status.description) == (otel.StatusCode.ERROR, "text")
    assert done.parent is None


@pytest.mark.parametrize(
    "text",
    ["", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-x", f"00-{TRACE.upper()}-{SPAN}-01"],
)
def test_a_traceparent_that_is_none_is_ignored_whole(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_traceparent_is_read() -> None:
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-01") == (TRACE, SPAN, 1)
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-00-later") == (TRACE, SPAN, 0)


@step("kit.log")
async def write(inp: dict, ctx: Context) -> None:
    ctx.log.info("checking %s", "it", sku="A", message="not this", task_id="nor this")
    logging.getLogger("a.package").warning("deep inside")


async def test_every_line_logged_in_a_handler_carries_its_ids() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    try:
        await call(write, {}, task_id="t1", attempt=4, traceparent=f"00-{TRACE}-{SPAN}-01")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    own, library = [json.loads(line) for line in stream.getvalue().splitlines()]
    ids = {"task_id": "t1", "step": "log", "attempt": 4, "trace_id": TRACE, "span_id": SPAN}
    assert own.items() >= {**ids, "level": "info", "message": "checking it", "sku": "A"}.items()
    assert library.items() >= {**ids, "level": "warn", "message": "deep inside"}.items()
    assert datetime.fromisoformat(own["timestamp"].replace("Z", "+00:00")).tzinfo is not None


def test_codes_are_lower_case_words_joined_by_dots_and_underscores() -> None:
    assert all(is_code(code) for code in ("out_of_stock", "a", "payload.too_large", "http.404", "x" * 64))
    assert not any(is_code(code) for code in ("", "Out", "a..b", "_a", "a-b", "a b", "x" * 65, "é", "a\n"))


def test_a_message_is_cut_on_a_character_boundary() -> None:
    assert len(cut("é" * 3000).encode()) == 4096
    assert len(cut("x" + "é" * 3000).encode()) == 4095
    assert cut("\ud800") == "?"


@pytest.mark.parametrize("after", [-1, float("inf"), float("nan")])
def test_a_delay_that_cannot_be_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Retryable("x", after=after)
