"""How a handler fails (four kinds), and why a worker does not start."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, ClassVar

from .limits import CODE_BYTES_MAX, MESSAGE_BYTES_MAX, VIOLATIONS_MAX

CODE_HANDLER = "handler.error"
CODE_TIMEOUT = "attempt.timeout"
CODE_CANCELLED = "attempt.cancelled"
CODE_INPUT = "input.invalid"
CODE_RESULT = "result.invalid"
CODE_TOO_LARGE = "payload.too_large"
CODE_UNKNOWN = "capability.unknown"
CODE_PROGRESS = "progress.invalid"

_CODE = re.compile(r"[a-z0-9]+(?:[_.][a-z0-9]+)*", re.ASCII)


def is_code(text: str) -> bool:
    """Tells whether ``text`` is lower-case words joined by ``_`` or ``.``, at most 64 bytes."""
    return len(text) <= CODE_BYTES_MAX and _CODE.fullmatch(text) is not None


def cut(text: str, bytes_max: int = MESSAGE_BYTES_MAX) -> str:
    """Cuts on a character boundary, so that what travels stays UTF-8."""
    # A lone surrogate cannot travel at all; it is shown as `?`.
    encoded = text.encode("utf-8", "replace")
    return encoded[:bytes_max].decode("utf-8", "ignore")


class StepError(Exception):
    """What all four kinds share. Raise one of the subclasses, not this one.

    ``code`` is stable and for programs; a text that is no code moves into the
    message and the code becomes ``handler.error``, because the coordinator
    would refuse the whole reply for it. ``message`` is for people and is cut
    at 4 KiB. ``details`` is anything pydantic can write as JSON.
    """

    kind: ClassVar[str]

    def __init__(self, code: str, message: str, details: Any = None) -> None:
        if not is_code(code):
            message = f"{code}: {message}"
            code = CODE_HANDLER
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class Retryable(StepError):
    """Another attempt may succeed. ``after`` (seconds or a timedelta) delays it."""

    kind = "retryable"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = CODE_HANDLER,
        after: float | timedelta | None = None,
        details: Any = None,
    ) -> None:
        super().__init__(code, message, details)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise ValueError(f"`after` is {seconds}; it must be a number of seconds, 0 or more")
        self.after = seconds


class Permanent(StepError):
    """Another attempt would fail the same way; the code says how."""

    kind = "permanent"

    def __init__(self, code: str, message: str = "", details: Any = None) -> None:
        super().__init__(code, message, details)


class ContractError(StepError):
    """The input or the result breaks the capability's contract.

    The SDK raises it for what the types say; raise it yourself for what only
    the handler can see. ``violations`` are pairs of a JSON pointer and a text,
    at most 20 of them travel; ``details`` replaces them with a value of your own.
    """

    kind = "contract"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = CODE_INPUT,
        violations: list[tuple[str, str]] | None = None,
        details: Any = None,
    ) -> None:
        if details is None and violations:
            listed = violations[:VIOLATIONS_MAX]
            details = {"violations": [{"pointer": pointer, "message": text} for pointer, text in listed]}
        super().__init__(code, message, details)

    @property
    def violations(self) -> list[dict[str, str]]:
        """The violations as they travel; empty if there are none."""
        found = self.details.get("violations", []) if isinstance(self.details, dict) else []
        return list(found)


class Cancelled(StepError):
    """The handler stopped because the attempt was cancelled. The protocol knows one code for it."""

    kind = "cancelled"

    def __init__(self, message: str = "the handler stopped because the attempt was cancelled", details: Any = None) -> None:
        super().__init__(CODE_CANCELLED, message, details)


class WorkerError(Exception):
    """Why a worker did not start, or stopped for good; ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ConfigurationError(WorkerError):
    """A name, number, type or environment variable that cannot be right. Fix it and start again."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__("configuration.invalid", f"{what}: {problem}")


class RefusedError(WorkerError):
    """The coordinator refused this worker for good. The message says what to change."""
