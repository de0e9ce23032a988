"""The little of the coordinator's HTTP API that a run needs."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from jaeger_check.problem import Problem
from jaeger_check.web import Unanswered, ask, read_json, shown, until

Json = dict[str, Any]

#: How long one question waits for the end of a task; the API allows a minute.
WAIT_FOR_RESULT = "5s"


@dataclass(frozen=True)
class Submitted:
    id: str
    trace_id: str


class Tasker:
    """The coordinator at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def workers(self) -> list[Json]:
        """The workers that live now, each with `system`, `capabilities` and `sdk`."""
        return list(self._ask("GET", "/v1/workers")["items"])

    def apply(self, manifest: str, file: str) -> None:
        self._ask("POST", f"/v1/workflows?file={urllib.parse.quote(file)}", manifest.encode(), "application/yaml")

    def submit(self, workflow: str, task_input: Json) -> Submitted:
        answer = self._ask("POST", "/v1/tasks", json.dumps({"workflow": workflow, "input": task_input}).encode())
        return Submitted(answer["id"], answer["trace_id"])

    def ended(self, task: str, seconds: float) -> Json:
        """The task with its steps, once it has ended, well or badly. Raises `Problem` (`task.not_ended`)."""

        def look() -> Json | None:
            answer = self._ask("GET", f"/v1/tasks/{task}/result?wait={WAIT_FOR_RESULT}")
            return None if answer["status"] == "running" else answer

        result = until(seconds, look)
        detail = self._ask("GET", f"/v1/tasks/{task}")
        if result is None:
            states = ", ".join(f"{step['name']}: {step['state']}" for step in detail["steps"])
            raise Problem("task.not_ended", f"{task} still runs after {seconds:g} s ({states})", f"ask {self.url}/v1/tasks/{task}/why while it runs")
        return detail

    def _ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Json:
        try:
            status, answer = ask(method, self.url + path, body, {"Content-Type": content_type} if body else {})
        except Unanswered as error:
            raise Problem("tasker.unreachable", f"the coordinator gave no answer: {error}", "its log is among the logs of the run") from error
        value = read_json(answer)
        if status >= 400 or not isinstance(value, dict):
            raise Problem("tasker.refused", f"{method} {path} was answered {status}: {shown(answer)}", "the coordinator and this script may be of different versions")
        return value
