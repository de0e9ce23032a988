"""Runs a handler without a server, through the code that runs it in a worker.

    from tasker_worker.testing import call

    async def test_it_reserves():
        out = await call(reserve, ReserveIn(sku="A"), attempt=2)
        assert out.reserved

The input is written as JSON and read back as the handler's type, the result
likewise, and a failure is raised as the error kind the coordinator would see.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
import time
from typing import Any

from pydantic_core import from_json, to_json

from ._proto import worker_pb2 as pb
from .attempt import Attempt, Outcome, Shop, StopReason, build_reply, run_async, run_sync
from .errors import Cancelled, ContractError, Permanent, Retryable, StepError
from .limits import SLOTS_DEFAULT
from .settings import NATS_URL_DEFAULT, Settings
from .step import Step
from .telemetry import Telemetry

_PAYLOAD_BYTES_MAX = 512 * 1024


async def call(
    handler: Step,
    input: Any = None,
    *,
    task_id: str = "test-task",
    step: str | None = None,
    attempt: int = 1,
    attempts_max: int = 1,
    workflow: str = "test",
    idempotency_key: str | None = None,
    dependencies: dict[str, Any] | None = None,
    timeout: float | None = None,
    cancel_after: float | None = None,
    progress: list[Any] | None = None,
    traceparent: str = "",
    payload_bytes_max: int = _PAYLOAD_BYTES_MAX,
    system: str = "test",
    tracer_provider: Any = None,
) -> Any:
    """Runs ``handler`` once and returns its result as its declared type.

    ``input`` is an instance of the input type, plain values, or JSON as bytes.
    ``timeout`` and ``cancel_after`` are seconds from the start; ``progress``
    collects what the handler reports. ``step`` is the step's name, the last word of the
    capability unless given.

    Raises Retryable, Permanent, ContractError or Cancelled as the coordinator
    would see them: an ordinary exception becomes Retryable with it as the
    cause, a result above ``payload_bytes_max`` becomes Permanent.
    """
    if not isinstance(handler, Step):
        raise TypeError(f"{handler!r} is not a step; put `@step(\"…\")` above the function")
    name = step or handler.capability.rsplit(".", 1)[-1]
    request = pb.StepRequest(
        sequence=1,
        task_id=task_id,
        step_name=name,
        attempt=attempt,
        attempts_max=attempts_max,
        token=secrets.token_bytes(16),
        capability=handler.capability,
        input=input if isinstance(input, bytes) else to_json(input),
        dependencies=to_json(dependencies or {}),
        idempotency_key=idempotency_key or f"{task_id}/{name}",
        timeout_ms=max(1, round(timeout * 1000)) if timeout else 0,
        workflow_name=workflow,
        workflow_version="1",
        traceparent=traceparent,
    )
    settings = Settings(system, (NATS_URL_DEFAULT,), "default", "tasker", SLOTS_DEFAULT, 0.0, "info")
    shop = Shop(Telemetry(settings, tracer_provider))
    shop.payload_bytes_max = payload_bytes_max
    running = _Watched(request, handler, progress)
    outcome = await _run(running, shop, timeout, cancel_after)
    reply = build_reply(running, outcome, payload_bytes_max)
    if isinstance(outcome, bytes) and reply.WhichOneof("outcome") == "success":
        return _read_result(handler, reply.success.result)
    raise _as_seen(reply.failure) from (outcome.__cause__ if isinstance(outcome, StepError) else None)


def call_sync(handler: Step, input: Any = None, **context: Any) -> Any:
    """The same for tests that are not async. Takes what :func:`call` takes."""
    return asyncio.run(call(handler, input, **context))


class _Watched(Attempt):
    """An attempt that tells the test what its handler reports."""

    __slots__ = ("_reports",)

    def __init__(self, request: pb.StepRequest, step: Step, reports: list[Any] | None) -> None:
        super().__init__(request, step, time.monotonic())
        self._reports = reports

    def report(self, progress: bytes) -> None:
        super().report(progress)
        if self._reports is not None:
            self._reports.append(from_json(progress))


async def _run(attempt: Attempt, shop: Shop, timeout: float | None, cancel_after: float | None) -> Outcome:
    loop = asyncio.get_running_loop()
    timers = [
        loop.call_later(seconds, attempt.stop, reason)
        for seconds, reason in ((timeout, StopReason.TIMEOUT), (cancel_after, StopReason.CANCELLED))
        if seconds
    ]
    if cancel_after == 0:
        attempt.stop(StopReason.CANCELLED)
    try:
        if attempt.step is not None and attempt.step.is_async:
            task: asyncio.Task[Any] = loop.create_task(run_async(attempt, shop))
            attempt.task = task
            return await task
        return await loop.run_in_executor(None, contextvars.copy_context().run, run_sync, attempt, shop)
    finally:
        for timer in timers:
            timer.cancel()


def _read_result(handler: Step, data: bytes) -> Any:
    try:
        return handler.result.decode(data)
    except ContractError:
        # A type that is written in another form than it is read in: show what travels.
        return from_json(data)


def _as_seen(failure: pb.Failure) -> StepError:
    """The error of the reply that would have been sent, with details as plain values."""
    details = from_json(failure.details) if failure.details else None
    if failure.kind == pb.FAILURE_KIND_RETRYABLE:
        after = failure.retry_after_ms / 1000 if failure.retry_after_ms else None
        return Retryable(failure.message, code=failure.code, after=after, details=details)
    if failure.kind == pb.FAILURE_KIND_PERMANENT:
        return Permanent(failure.code, failure.message, details)
    if failure.kind == pb.FAILURE_KIND_CANCELLED:
        return Cancelled(failure.message, details)
    return ContractError(failure.message, code=failure.code, details=details)
