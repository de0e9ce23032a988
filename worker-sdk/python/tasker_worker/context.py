"""What a handler may know and do besides its input."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from .errors import CODE_PROGRESS, Cancelled, Permanent
from .limits import PROGRESS_BYTES_MAX
from .log import StepLogger

if TYPE_CHECKING:
    from .attempt import Attempt
    from .telemetry import Trace


class Context:
    """One attempt, as its handler sees it. Safe to use from the handler's own threads."""

    __slots__ = ("_attempt", "_dependencies", "log", "trace")

    def __init__(self, attempt: Attempt, trace: Trace) -> None:
        self._attempt = attempt
        self._dependencies: dict[str, Any] | None = None
        #: The trace the attempt belongs to: ``trace_id``, ``span_id``, ``traceparent``; empty texts if there is none.
        self.trace = trace
        #: Logs with the attempt's ids: ``ctx.log.info("checking", sku=sku)``.
        self.log = StepLogger(attempt.correlation(trace))

    @property
    def task_id(self) -> str:
        """The run of the workflow this attempt belongs to."""
        return self._attempt.request.task_id

    @property
    def step(self) -> str:
        """The name of the step in the workflow."""
        return self._attempt.request.step_name

    @property
    def attempt(self) -> int:
        """Which try at the step this is; counts from 1."""
        return self._attempt.request.attempt

    @property
    def attempts_max(self) -> int:
        """How many tries the step has; 0 when there is no limit."""
        return self._attempt.request.attempts_max

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self._attempt.request.workflow_name

    @property
    def workflow_version(self) -> str:
        """The version of the workflow."""
        return self._attempt.request.workflow_version

    @property
    def capability(self) -> str:
        """The capability that was asked for."""
        return self._attempt.request.capability

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts at the step: hand it to whoever must not act twice."""
        return self._attempt.request.idempotency_key

    @property
    def dependencies(self) -> dict[str, Any]:
        """The result of each direct dependency by its name, as plain JSON values."""
        if self._dependencies is None:
            data = self._attempt.request.dependencies
            self._dependencies = from_json(data) if data else {}
        return self._dependencies

    def dependency(self, name: str, type_: Any) -> Any:
        """The result of one direct dependency as ``type_``.

        Raises Permanent with the code ``dependency.missing`` or ``dependency.invalid``.
        """
        if name not in self.dependencies:
            raise Permanent("dependency.missing", f"this step has no direct dependency `{name}`; name it in `depends_on`")
        try:
            return TypeAdapter(type_).validate_python(self.dependencies[name])
        except ValidationError as error:
            raise Permanent("dependency.invalid", f"the result of `{name}` is not a {type_!r}: {error}") from None

    @property
    def remaining(self) -> float | None:
        """Seconds until the attempt times out, never below 0; None without a limit."""
        deadline = self._attempt.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out, in UTC by this machine's clock; None without a limit."""
        remaining = self.remaining
        return None if remaining is None else datetime.now(timezone.utc) + timedelta(seconds=remaining)

    def heartbeat(self, progress: Any = None) -> None:
        """Says how far the handler is, for people. Never waits; only the latest value travels, in the next beat.

        The SDK beats by itself, so a handler need not call this to stay alive.
        Raises Permanent with the code ``progress.invalid`` if the value is not
        JSON or larger than 4 KiB.
        """
        if progress is None:
            return
        try:
            data = to_json(progress)
        except PydanticSerializationError as error:
            raise Permanent(CODE_PROGRESS, f"progress is not JSON: {error}") from None
        if len(data) > PROGRESS_BYTES_MAX:
            raise Permanent(CODE_PROGRESS, f"progress has {len(data)} bytes, at most {PROGRESS_BYTES_MAX} may be sent")
        self._attempt.report(data)

    @property
    def cancelled(self) -> bool:
        """True once the attempt should stop: cancelled, timed out, or the worker leaves.

        An async handler is also interrupted by ``asyncio.CancelledError`` where it awaits.
        """
        return self._attempt.stop_reason is not None

    @property
    def cancelled_event(self) -> threading.Event:
        """Set when the attempt should stop; for blocking handlers that wait for several things."""
        return self._attempt.flag

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled if the attempt should stop; call it between the parts of long blocking work."""
        if self._attempt.stop_reason is not None:
            raise Cancelled()

    def sleep(self, seconds: float) -> None:
        """Blocks for so long, or raises Cancelled as soon as the attempt should stop.

        For blocking handlers; an async one awaits ``asyncio.sleep``.
        """
        if self._attempt.flag.wait(seconds):
            raise Cancelled()
