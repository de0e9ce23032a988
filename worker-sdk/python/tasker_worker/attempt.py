"""Runs one attempt from its request to its reply."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from contextvars import ContextVar
from typing import Any

from ._proto import worker_pb2 as pb
from .context import Context
from .contract import encode_details
from .errors import (
    CODE_HANDLER,
    CODE_TIMEOUT,
    CODE_TOO_LARGE,
    Cancelled,
    Permanent,
    Retryable,
    StepError,
    cut,
)
from .limits import PAYLOAD_BYTES_UNTIL_TOLD
from .log import correlation, facts
from .step import Step
from .telemetry import Telemetry, Trace

log = logging.getLogger("tasker_worker")

#: The JSON text of a result, or why there is none.
Outcome = bytes | StepError

_KINDS = {
    "retryable": pb.FAILURE_KIND_RETRYABLE,
    "permanent": pb.FAILURE_KIND_PERMANENT,
    "contract": pb.FAILURE_KIND_CONTRACT,
    "cancelled": pb.FAILURE_KIND_CANCELLED,
}

#: The context of the handler that runs here, for :func:`current`.
_current: ContextVar[Context | None] = ContextVar("tasker_context", default=None)


def current() -> Context | None:
    """The context of the handler that called this, however deep; None outside of handlers."""
    return _current.get()


class StopReason(enum.Enum):
    """Who asked a handler to stop; the first one counts."""

    CANCELLED = "the coordinator cancelled the attempt"
    TIMEOUT = "the attempt's time was up"
    DRAIN = "the worker leaves"


class Shop:
    """What every attempt of a session needs."""

    __slots__ = ("payload_bytes_max", "telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        #: The coordinator's limit, or NATS's if it is smaller.
        self.payload_bytes_max = PAYLOAD_BYTES_UNTIL_TOLD


class Attempt:
    """One attempt that a session holds. Changed on the event loop only, except ``progress``."""

    __slots__ = ("_flag", "deadline", "progress", "request", "started", "step", "stop_reason", "task", "timer")

    def __init__(self, request: pb.StepRequest, step: Step | None, received: float) -> None:
        self.request = request
        #: None for a capability this worker does not have.
        self.step = step
        self.deadline = received + request.timeout_ms / 1000 if request.timeout_ms else None
        self.stop_reason: StopReason | None = None
        self.progress = b""
        #: When the handler began, on the monotonic clock; None before.
        self.started: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._flag: threading.Event | None = None

    @property
    def flag(self) -> threading.Event:
        """Set when the handler should stop. Made when it is first asked for: few handlers do."""
        flag = self._flag
        if flag is None:
            flag = self._flag = threading.Event()
            # A stop in this very moment has either seen the flag or left its reason.
            if self.stop_reason is not None:
                flag.set()
        return flag

    def report(self, progress: bytes) -> None:
        """Keeps the latest progress for the next beat."""
        self.progress = progress

    def stop(self, reason: StopReason) -> bool:
        """Tells the handler to stop; False if it had been told before."""
        if self.stop_reason is not None:
            return False
        self.stop_reason = reason
        if self._flag is not None:
            self._flag.set()
        # A task that has not begun finds the reason when it does; cancelling it
        # now would end it without a reply.
        if self.task is not None and self.started is not None:
            self.task.cancel()
        return True

    def correlation(self, trace: Trace) -> dict[str, Any]:
        """The ids that stand in every log line of the handler."""
        request = self.request
        ids: dict[str, Any] = {"task_id": request.task_id, "step": request.step_name, "attempt": request.attempt}
        if trace.trace_id:
            ids["trace_id"] = trace.trace_id
            ids["span_id"] = trace.span_id
        return ids


async def run_async(attempt: Attempt, shop: Shop) -> Outcome:
    """Runs an async handler in the task that called this. Never raises."""
    try:
        scope = _Scope(attempt, shop)
        if scope.outcome is None:
            try:
                step = scope.step
                scope.outcome = step.result.encode(await step.function(*scope.arguments()))
            except GeneratorExit:
                raise
            except BaseException as error:  # a handler that calls sys.exit() does not end the worker
                scope.failed(error)
        return scope.end()
    except Exception as error:
        return _fault(error)


def run_sync(attempt: Attempt, shop: Shop) -> Outcome:
    """Runs a blocking handler in the thread that called this. Never raises."""
    try:
        scope = _Scope(attempt, shop)
        if scope.outcome is None:
            try:
                step = scope.step
                scope.outcome = step.result.encode(step.function(*scope.arguments()))
            except BaseException as error:
                scope.failed(error)
        return scope.end()
    except Exception as error:
        return _fault(error)


def _fault(error: Exception) -> Outcome:
    """Something around the handler failed, a tracer of the user's for example; the attempt is answered all the same."""
    log.error("an attempt could not be run or ended properly", exc_info=error)
    return Retryable(_describe(error), code=CODE_HANDLER)


class _Scope:
    """What surrounds a handler: its trace, its ids in the logs, what its end means."""

    __slots__ = ("attempt", "context", "outcome", "shop", "step", "trace")

    def __init__(self, attempt: Attempt, shop: Shop) -> None:
        if attempt.step is None:
            raise AssertionError("an attempt at an unknown capability is answered, not run")
        self.attempt = attempt
        self.step = attempt.step
        self.shop = shop
        self.outcome: Outcome | None = None
        attempt.started = time.monotonic()
        self.trace = shop.telemetry.start(attempt.request)
        self.context = Context(attempt, self.trace)
        # Nothing is put back: a task and a thread's run have a context of their own.
        _current.set(self.context)
        correlation.set(self.context.log.extra)  # type: ignore[arg-type]
        if attempt.stop_reason is not None:
            self.outcome = Cancelled()

    def arguments(self) -> tuple[Any, ...]:
        step = self.step
        # A handler without an input parameter still has the contract "anything that is JSON".
        return step.arguments(step.input.decode(self.attempt.request.input), self.context)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, StepError):
            self.outcome = error
        elif isinstance(error, asyncio.CancelledError) and self.attempt.stop_reason is not None:
            self.outcome = Cancelled()
        else:
            # The message travels without the stack trace; whoever runs the worker needs both.
            log.warning("handler raised", exc_info=error, extra=facts(capability=self.step.capability))
            self.outcome = Retryable(_describe(error), code=CODE_HANDLER)
            self.outcome.__cause__ = error

    def end(self) -> Outcome:
        attempt, outcome = self.attempt, self.outcome
        maximum = self.shop.payload_bytes_max
        if attempt.stop_reason is StopReason.TIMEOUT:
            # Whatever it returned came too late: the coordinator decides what follows.
            outcome = Retryable(
                f"the handler was stopped after {attempt.request.timeout_ms} ms, the step's timeout", code=CODE_TIMEOUT
            )
        elif isinstance(outcome, bytes) and len(outcome) > maximum:
            outcome = Permanent(
                CODE_TOO_LARGE,
                f"the result has {len(outcome)} bytes, at most {maximum} may be sent; store it elsewhere and return a reference",
            )
        elif outcome is None:
            raise AssertionError("a handler ends with a result or an error")
        error = outcome if isinstance(outcome, StepError) else None
        if error is not None and log.isEnabledFor(logging.DEBUG):
            log.debug("attempt failed", extra=facts(code=error.code, reason=error.message))
        self.trace.end(error)
        return outcome


def build_reply(attempt: Attempt, outcome: Outcome, payload_bytes_max: int) -> pb.StepReply:
    """The reply as it travels; what would make the coordinator refuse it is left out and named."""
    request = attempt.request
    ran = time.monotonic() - attempt.started if attempt.started is not None else 0.0
    reply = pb.StepReply(
        task_id=request.task_id,
        step_name=request.step_name,
        attempt=request.attempt,
        token=request.token,
        ran_ms=int(ran * 1000),
    )
    if isinstance(outcome, bytes):
        reply.success.result = outcome
    else:
        _fill_failure(reply.failure, outcome, attempt.step, payload_bytes_max)
    return reply


def _fill_failure(failure: pb.Failure, error: StepError, step: Step | None, payload_bytes_max: int) -> None:
    message = error.message
    details, problem = encode_details(step.errors.get(error.code) if step else None, error.details)
    if problem:
        log.error("the details of a failure are not what its code declares", extra=facts(code=error.code, reason=problem))
        if not details:
            message = f"{message} ({problem})"
    if len(details) > payload_bytes_max:
        message = f"{message} (details left out: {len(details)} bytes, at most {payload_bytes_max} may be sent)"
        details = b""
    failure.kind = _KINDS[error.kind]
    failure.code = error.code
    failure.message = cut(message)
    failure.details = details
    if isinstance(error, Retryable) and error.after:
        # A delay below a millisecond is still a delay; 0 would leave it to the retry policy.
        failure.retry_after_ms = max(1, round(error.after * 1000))


def _describe(error: BaseException) -> str:
    """The error's type and text, because the text alone often says little: ``KeyError: 'gone'``."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    return f"{name}: {text}" if text else name
