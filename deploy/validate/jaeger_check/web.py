"""JSON over HTTP with a deadline for everything, and waiting for a condition."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

#: One answer; a healthy Jaeger or coordinator needs milliseconds.
ANSWER_SECONDS = 10.0
#: The largest answer that is read: a trace of this workload has some 20 KB, a busy service list some more.
ANSWER_BYTES_MAX = 16 * 1024 * 1024
#: Between two looks at a condition. It bounds the delay of the report, never decides its outcome.
LOOK_SECONDS = 0.2
#: How much of an unexpected answer is shown.
SHOWN_MAX = 300

T = TypeVar("T")


class Unanswered(Exception):
    """Nobody answered at all, or not in HTTP."""


def ask(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Returns status and body of any answer, also of a refusal.

    Raises `Unanswered` if there is none within `ANSWER_SECONDS`. Proxies of the environment are ignored: what is
    validated is the address that was given.
    """
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, answer.read(ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(ANSWER_BYTES_MAX)
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise Unanswered(f"{method} {url}: {getattr(error, 'reason', error)}") from error


def read_json(body: bytes) -> Any:
    """The JSON value, or None if it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def shown(body: bytes) -> str:
    """The beginning of an answer, in one line."""
    text = " ".join(body.decode(errors="replace").split())
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def until(seconds: float, look: Callable[[], T | None]) -> T | None:
    """Looks until there is something or the time is over, and at least once."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(LOOK_SECONDS)


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
