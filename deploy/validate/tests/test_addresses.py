"""Each wrong address is told apart from the others, over real sockets of this machine."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
import unittest
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jaeger_check.command import main  # noqa: E402
from jaeger_check.jaeger_api import Jaeger  # noqa: E402
from jaeger_check.probe import probe  # noqa: E402
from jaeger_check.problem import Problem  # noqa: E402
from jaeger_check.workload import FAILS, SUCCEEDS, manifest  # noqa: E402

NO_SERVICES = b'{"data": null, "total": 0}'
NO_TRACE = b'{"data": null, "errors": [{"code": 404, "msg": "trace not found"}]}'
#: Long enough for one look, which is all that an answer that never changes deserves.
WAIT_SECONDS = 0.01


@contextlib.contextmanager
def server(**answers: tuple[int, bytes]) -> Iterator[str]:
    """A server that answers each method always the same; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(self.command, (405, b"no"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()


def nobody() -> str:
    """An address at which nobody listens any more."""
    with server() as address:
        return address


class Addresses(unittest.TestCase):
    def test_a_new_jaeger_knows_no_service(self) -> None:
        with server(GET=(200, NO_SERVICES)) as address:
            self.assertEqual([], Jaeger(address).services())

    def test_a_trace_that_is_not_there_is_none(self) -> None:
        with server(GET=(404, NO_TRACE)) as address:
            self.assertIsNone(Jaeger(address).trace("0" * 32))

    def test_a_query_address_without_a_jaeger_is_named(self) -> None:
        with self.assertRaises(Problem) as raised:
            Jaeger(nobody()).services()
        self.assertEqual("jaeger.unreachable", raised.exception.code)

    def test_a_query_address_of_something_else_is_named(self) -> None:
        for status, body in ((200, b"<html>Prometheus</html>"), (404, b"404 page not found"), (200, b"[]"), (200, b'{"data": 3}')):
            with self.subTest(body=body), server(GET=(status, body)) as address, self.assertRaises(Problem) as raised:
                Jaeger(address).services()
            self.assertEqual("jaeger.not_jaeger", raised.exception.code)

    def test_an_otlp_address_without_a_receiver_is_named(self) -> None:
        with server(GET=(404, NO_TRACE)) as query, self.assertRaises(Problem) as raised:
            probe(nobody(), Jaeger(query), WAIT_SECONDS)
        self.assertEqual("otlp.unreachable", raised.exception.code)

    def test_a_receiver_that_refuses_is_named_with_what_it_said(self) -> None:
        with server(GET=(404, NO_TRACE)) as query, server(POST=(401, b"who are you")) as otlp, self.assertRaises(Problem) as raised:
            probe(otlp, Jaeger(query), WAIT_SECONDS)
        self.assertEqual("otlp.refused", raised.exception.code)
        self.assertIn("401: who are you", raised.exception.detail)

    def test_two_addresses_of_different_installations_are_named(self) -> None:
        with server(GET=(404, NO_TRACE)) as query, server(POST=(200, b"{}")) as otlp, self.assertRaises(Problem) as raised:
            probe(otlp, Jaeger(query), WAIT_SECONDS)
        self.assertEqual("jaeger.span_not_shown", raised.exception.code)


class CommandLine(unittest.TestCase):
    def check(self, status: int, *arguments: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                actual = main(arguments)
            except SystemExit as ended:
                actual = int(ended.code or 0)
        self.assertEqual(status, actual, said.getvalue())
        return said.getvalue()

    def test_one_address_alone_is_a_wrong_command_line(self) -> None:
        self.check(2)
        self.check(2, "--otlp", "http://127.0.0.1:4318")
        self.check(2, "--jaeger-query", "http://127.0.0.1:16686", "--otlp", "127.0.0.1:4318")
        self.check(2, "--with-own-jaeger", "--otlp", "http://127.0.0.1:4318")

    def test_a_wait_without_end_is_a_wrong_command_line(self) -> None:
        for wait in ("0", "-1", "601", "nan", "inf", "soon"):
            self.check(2, "--jaeger-query", "http://h:16686", "--otlp", "http://h:4318", "--wait", wait)

    def test_an_absent_jaeger_is_a_failed_validation(self) -> None:
        address = nobody()
        self.assertIn("[jaeger.unreachable]", self.check(1, "--jaeger-query", address, "--otlp", address))


class Workload(unittest.TestCase):
    def test_a_manifest_has_every_step_that_is_expected(self) -> None:
        for plan in (SUCCEEDS, FAILS):
            written = json.loads(manifest(plan))
            planned = [(step.name, step.system, step.capability) for step in plan.steps]
            self.assertEqual(planned, [(step["name"], step["owner"], step["capability"]) for step in written["workflow_steps"]])

    def test_every_language_is_asked_which_trace_it_sees(self) -> None:
        self.assertEqual({"validate_rust", "validate_python", "validate_typescript"}, set(json.loads(manifest(SUCCEEDS))["result"]))


if __name__ == "__main__":
    unittest.main()
