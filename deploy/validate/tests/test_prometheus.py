"""Each thing that can be wrong with a Prometheus is told apart from the others, on answers of its API with one thing broken at a time."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import sys
import threading
import unittest
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jaeger_check.problem import Problem  # noqa: E402
from prometheus_check import judge, repository, workload  # noqa: E402
from prometheus_check.command import main  # noqa: E402
from prometheus_check.prometheus_api import Prometheus  # noqa: E402
from prometheus_check.repository import Metric  # noqa: E402

TARGET = {"labels": {"job": "tasker", "instance": "a:7420"}, "scrapeUrl": "http://a:7420/metrics", "health": "up", "lastError": ""}
GROUPS = [{"name": "tasker", "rules": [{"name": name, "health": "ok", "state": "inactive", "alerts": []} for name in ("One", "Two")]}]


def codes(findings: list[judge.Finding]) -> list[str]:
    return [finding.code for finding in findings]


class Judgement(unittest.TestCase):
    def test_targets_of_the_job_must_be_there_and_up(self) -> None:
        self.assertEqual(judge.targets([TARGET, {"labels": {"job": "node"}, "health": "down"}], "tasker"), [])
        self.assertEqual(codes(judge.targets([{"labels": {"job": "node"}}], "tasker")), ["target.missing"])
        down = judge.targets([{**TARGET, "health": "down", "lastError": "connection refused"}], "tasker")
        self.assertEqual(codes(down), ["target.down"])
        self.assertIn("connection refused", str(down[0]))

    def test_a_histogram_is_there_if_its_buckets_are(self) -> None:
        promised = [Metric("tasker_a_total", "counter"), Metric("tasker_b_seconds", "histogram")]
        announced, asked = {"tasker_a_total", "tasker_b_seconds"}, {"tasker_b_seconds"}
        self.assertEqual(judge.series({"tasker_a_total", "tasker_b_seconds_bucket"}, announced, promised, asked), [])
        self.assertEqual(codes(judge.series({"tasker_a_total", "tasker_b_seconds"}, announced, promised, asked)), ["series.missing"])

    def test_what_has_not_happened_need_only_be_announced_unless_somebody_asks_for_it(self) -> None:
        promised = [Metric("tasker_a_total", "counter")]
        self.assertEqual(judge.series(set(), {"tasker_a_total"}, promised, set()), [])
        self.assertEqual(codes(judge.series(set(), {"tasker_a_total"}, promised, {"tasker_a_total"})), ["series.missing"])
        self.assertEqual(codes(judge.series(set(), set(), promised, set())), ["series.missing"])

    def test_counters_must_grow_by_exactly_what_was_done(self) -> None:
        self.assertEqual(judge.counters({"a": 5.0}, {"a": 7.0, "b": 1.0}, {"a": 2.0, "b": 1.0}), [])
        self.assertEqual(codes(judge.counters({"a": 5.0}, {"a": 6.0}, {"a": 2.0})), ["counter.wrong"])
        self.assertEqual(codes(judge.counters({}, {"a": None}, {"a": 2.0})), ["series.missing"])

    def test_alerts_must_be_loaded_sound_and_silent(self) -> None:
        self.assertEqual(judge.rules(GROUPS, ["One", "Two"]), [])
        self.assertEqual(codes(judge.rules(GROUPS, ["One", "Three"])), ["alert.not_loaded"])
        for change, code in (({"health": "err", "lastError": "bad"}, "alert.broken"), ({"state": "firing"}, "alert.firing")):
            groups = copy.deepcopy(GROUPS)
            groups[0]["rules"][1].update(change)
            self.assertEqual(codes(judge.rules(groups, ["One", "Two"])), [code])

    def test_a_rule_that_was_not_evaluated_yet_is_waited_for(self) -> None:
        groups = copy.deepcopy(GROUPS)
        groups[0]["rules"][0]["health"] = "unknown"
        self.assertEqual((judge.evaluated(groups, ["One"]), judge.evaluated(groups, ["Two"])), (False, True))


class Repository(unittest.TestCase):
    def test_metrics_alerts_and_expressions_are_found_where_they_are_written(self) -> None:
        self.assertGreater(len(repository.metrics()), 50)
        self.assertGreater(len(repository.alerts()), 15)
        self.assertTrue({"tasker_store_fsync_seconds", "tasker_uncovered_steps"} <= repository.asked(repository.metrics()))
        expressions = repository.expressions()
        self.assertGreater(len(expressions), 60)
        self.assertEqual([one for one in expressions if "$" in one[1]], [])

    def test_the_workload_counts_only_metrics_that_are_documented(self) -> None:
        known = {metric.name for metric in repository.metrics()}
        for expression in workload.EXPECTED:
            name = expression.removeprefix("sum(").split("{")[0]
            self.assertTrue(name in known or name.removesuffix("_count") in known, name)


@contextlib.contextmanager
def server(answers: dict[str, object]) -> Iterator[str]:
    """Answers each path with a value as JSON, every other with 404; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(urllib.parse.urlsplit(self.path).path)
            body = json.dumps(found).encode() if found is not None else b"<html>nothing here</html>"
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()


class Addresses(unittest.TestCase):
    def test_nobody_and_somebody_else_are_told_apart(self) -> None:
        with server({}) as address:
            with self.assertRaises(Problem) as other:
                Prometheus(address).version()
        with self.assertRaises(Problem) as nobody:
            Prometheus(address).version()
        self.assertEqual((other.exception.code, nobody.exception.code), ("prometheus.not_prometheus", "prometheus.unreachable"))

    def test_an_expression_that_is_not_understood_is_named(self) -> None:
        with server({"/api/v1/query": {"status": "error", "errorType": "bad_data", "error": "parse error"}}) as address:
            with self.assertRaises(Problem) as refused:
                Prometheus(address).query("sum(")
        self.assertEqual(refused.exception.code, "prometheus.query_refused")
        self.assertIn("parse error", str(refused.exception))

    def test_a_target_that_is_down_ends_the_run_before_the_workload(self) -> None:
        answers = {
            "/api/v1/status/buildinfo": {"status": "success", "data": {"version": "2.42.0"}},
            "/api/v1/targets": {"status": "success", "data": {"activeTargets": [{**TARGET, "health": "down", "lastError": "refused"}]}},
        }
        printed = io.StringIO()
        with server(answers) as address, contextlib.redirect_stdout(printed):
            status = main(["--prometheus-url", address, "--tasker-url", "http://127.0.0.1:1", "--nats", "nats://127.0.0.1:1", "--wait", "0.01"])
        self.assertEqual(status, 1)
        self.assertIn("target.down", printed.getvalue())

    def test_half_a_command_line_is_refused(self) -> None:
        for wrong in (["--prometheus-url", "http://a"], ["--with-own-prometheus", "--nats", "nats://a"], []):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as refused:
                main(wrong)
            self.assertEqual(refused.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
