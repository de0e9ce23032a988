"""The little of Tasker's HTTP API that the demo needs, with one kept connection for each thread."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_SECONDS = 30.0
#: Enough to keep the server busy, few enough to leave it room for the work itself.
CONNECTIONS = 4
#: Orders are up to 60 KiB; fifty of them stay far below the limit of a request.
BATCH = 50

Json = dict[str, Any]


class Refused(Exception):
    """The server said no; carries what it said."""


class Tasker:
    """A client of the coordinator at 127.0.0.1:`port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections = threading.local()
        self._pool = ThreadPoolExecutor(CONNECTIONS, "api")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def ready(self) -> bool:
        try:
            return self._request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Json:
        return self._answer("GET", path)

    def get_many(self, paths: Iterable[str]) -> list[Json]:
        """All of them, several at once, in the order asked."""
        return list(self._pool.map(self.get, paths))

    def submit(self, workflow: str, inputs: Sequence[Json], key_field: str) -> list[str]:
        """Submits one task for each input and returns their ids in the same order.

        The value of `key_field` is the idempotency key: submitting twice makes no second task.
        """
        ids: list[str] = []
        for start in range(0, len(inputs), BATCH):
            tasks = [{"workflow": workflow, "input": each, "idempotency_key": each[key_field]} for each in inputs[start : start + BATCH]]
            items = self._answer("POST", "/v1/tasks:batch", {"tasks": tasks})["items"]
            refused = [item["problem"] for item in items if "problem" in item]
            if refused:
                raise Refused(f"{len(refused)} of {len(tasks)} orders were not accepted; the first: {refused[0]}")
            ids += [item["id"] for item in items]
        return ids

    def _answer(self, method: str, path: str, body: Json | None = None) -> Json:
        status, text = self._request(method, path, body)
        if status >= 400:
            raise Refused(f"{method} {path} was answered {status}: {text[:500]}")
        answer: Json = json.loads(text)
        return answer

    def _request(self, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        connection: http.client.HTTPConnection | None = getattr(self._connections, "kept", None)
        if connection is None:
            connection = self._connections.kept = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connections.kept = None
            raise
