"""The part of Prometheus' HTTP API that a run needs."""

from __future__ import annotations

import urllib.parse
from typing import Any

from jaeger_check.problem import Problem
from jaeger_check.web import Unanswered, ask, read_json, shown

Json = Any


class Prometheus:
    """The Prometheus at `url`, with the path if it is served under one."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def version(self) -> str:
        return str(self._data("/api/v1/status/buildinfo").get("version", "?"))

    def targets(self) -> list[Json]:
        return list(self._data("/api/v1/targets?state=active")["activeTargets"])

    def names(self) -> set[str]:
        return set(self._data("/api/v1/label/__name__/values"))

    def announced(self) -> set[str]:
        """The metrics that targets have announced, also those without a series yet."""
        return set(self._data("/api/v1/metadata"))

    def groups(self) -> list[Json]:
        return list(self._data("/api/v1/rules?type=alert")["groups"])

    def query(self, expression: str) -> list[Json]:
        """The instant vector. Raises `Problem` (`prometheus.query_refused`) if Prometheus does not understand the expression."""
        found = self._data(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return list(found["result"])

    def number(self, expression: str) -> float | None:
        """The one value of an expression that sums everything up; None if there is no series."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def _data(self, path: str) -> Json:
        try:
            status, body = ask("GET", self.url + path)
        except Unanswered as error:
            raise Problem("prometheus.unreachable", f"nobody answers: {error}", "give the address that a browser would use, with --prometheus-url") from error
        answer = read_json(body)
        if not isinstance(answer, dict) or "status" not in answer:
            raise Problem("prometheus.not_prometheus", f"{self.url}{path} was answered {status}: {shown(body)}", "another service answers at this address")
        if answer["status"] != "success":
            raise Problem("prometheus.query_refused", f"{path}: {answer.get('error', answer)}", "this Prometheus is older than 2.30, or the expression is wrong")
        return answer["data"]
