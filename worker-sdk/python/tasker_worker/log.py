"""JSON lines on standard error, with the ids of the attempt that wrote them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

#: The ids of the attempt whose handler runs here; libraries that log in a handler get them too.
correlation: ContextVar[dict[str, Any] | None] = ContextVar("tasker_correlation", default=None)

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_LEVEL_NAMES = {logging.WARNING: "warn", logging.CRITICAL: "error"}
_PASSED_ON = ("exc_info", "stack_info", "stacklevel")
_FIELDS = "tasker_fields"


class JsonFormatter(logging.Formatter):
    """One record, one line: ``timestamp``, ``level``, ``message``, ``logger``, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _LEVEL_NAMES.get(record.levelno, record.levelname.lower()),
            "message": record.getMessage(),
            "logger": record.name,
        }
        ids = correlation.get()
        facts = getattr(record, _FIELDS, None)
        # A fact never replaces what the line itself says, nor the ids.
        for source in (ids, facts):
            if source:
                for key, value in source.items():
                    line.setdefault(key, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class StepLogger(logging.LoggerAdapter):  # type: ignore[type-arg]
    """A logger whose keyword arguments are facts: ``log.info("checking", sku=sku)``."""

    def __init__(self, ids: dict[str, Any]) -> None:
        super().__init__(logging.getLogger("tasker_worker.step"), ids)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        passed = {key: kwargs[key] for key in _PASSED_ON if key in kwargs}
        facts = {**(kwargs.get("extra") or {}), **{key: value for key, value in kwargs.items() if key not in (*_PASSED_ON, "extra")}}
        passed["extra"] = {_FIELDS: {**facts, **(self.extra or {})}}
        return msg, passed


def facts(**fields: Any) -> dict[str, Any]:
    """The ``extra`` of a log call of ours: ``log.info("welcomed", extra=facts(session=id))``."""
    return {_FIELDS: fields}


def configure(level: str) -> None:
    """Writes JSON lines unless the program has set up logging of its own."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    logging.getLogger("tasker_worker").setLevel(_LEVELS[level])
    # nats-py reports every lost connection with a stack trace; link.py says it in one line.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
