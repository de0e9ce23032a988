"""Jaeger's query API, the one its own pages use: services, a trace by id, a search by tag."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from jaeger_check.problem import Problem
from jaeger_check.web import Unanswered, ask, read_json, shown

Json = dict[str, Any]

#: A search looks this far back and forward, so that clocks of different machines may differ by minutes.
SEARCH_MARGIN_US = 15 * 60 * 1_000_000
#: More than one trace with the same task id is already wrong; some are shown.
SEARCH_TRACES_MAX = 5


class Jaeger:
    """The query service at `url`, with the base path it is served under, if any: `http://127.0.0.1:16686`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def services(self) -> list[str]:
        """The names of all services that ever sent a span. Proves that this is a Jaeger.

        Raises `Problem`: `jaeger.unreachable` or `jaeger.not_jaeger`.
        """
        services = self._data("/api/services")
        if services is None:
            services = []
        if not isinstance(services, list) or not all(isinstance(name, str) for name in services):
            raise self._unreadable("/api/services", services)
        return services

    def trace(self, trace_id: str) -> Json | None:
        """The trace, or None as long as Jaeger has no span of it."""
        traces = self._data(f"/api/traces/{trace_id}", absent=404)
        if not traces:
            return None
        if not isinstance(traces, list) or not isinstance(traces[0], dict):
            raise self._unreadable(f"/api/traces/{trace_id}", traces)
        return traces[0]

    def find(self, service: str, tag: str, value: str, around_us: int) -> list[str]:
        """The ids of the traces in which `service` has a span with this tag, as a person would search for it."""
        query = urllib.parse.urlencode(
            {
                "service": service,
                "tags": json.dumps({tag: value}),
                "start": around_us - SEARCH_MARGIN_US,
                "end": around_us + SEARCH_MARGIN_US,
                "limit": SEARCH_TRACES_MAX,
            }
        )
        traces = self._data(f"/api/traces?{query}", absent=404) or []
        if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
            raise self._unreadable("/api/traces", traces)
        return [str(trace.get("traceID")) for trace in traces]

    def _data(self, path: str, absent: int | None = None) -> Any:
        try:
            status, body = ask("GET", self.url + path, headers={"Accept": "application/json"})
        except Unanswered as error:
            raise Problem(
                "jaeger.unreachable",
                f"no answer from Jaeger's query service: {error}",
                "start Jaeger, or give the address its pages are served at with --jaeger-query http://HOST:16686",
            ) from error
        if status == absent:
            return None
        answer = read_json(body)
        if status != 200 or not isinstance(answer, dict) or "data" not in answer:
            raise self._unreadable(path, shown(body), status)
        return answer["data"]

    def _unreadable(self, path: str, answer: object, status: int = 200) -> Problem:
        return Problem(
            "jaeger.not_jaeger",
            f"GET {self.url}{path} was answered {status} and not as Jaeger's query API does: {str(answer)[:300]}",
            "give the address of Jaeger's pages (port 16686 by default), not of the collector; behind a path, add the path",
        )
