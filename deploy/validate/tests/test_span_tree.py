"""The span tree is judged on a trace that a real Jaeger answered, and on the same trace with one thing broken."""

from __future__ import annotations

import copy
import json
import sys
import unittest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from jaeger_check import report  # noqa: E402
from jaeger_check.problem import Problem  # noqa: E402
from jaeger_check.span import read_spans  # noqa: E402
from jaeger_check.span_tree import CLOCKS_DIFFER_US, ExpectedStep, ExpectedTask, Finding, check, expected_spans  # noqa: E402

Json = dict[str, Any]

#: Written with `jaeger --with-own-jaeger --save`; fixtures/README.md says what was taken out.
CAPTURED: Json = json.loads((HERE / "fixtures/validate_jaeger.json").read_text())["data"][0]
CAPTURED_FAILURE: Json = json.loads((HERE / "fixtures/validate_jaeger_failure.json").read_text())["data"][0]
TASK = ExpectedTask(
    id="tsk_1m7yj5dxt0000",
    trace_id="45e468c7d988a0550a8badd4095a87bd",
    namespace="default",
    workflow="validate_jaeger",
    version="1.0.0",
    steps=(
        ExpectedStep("from_rust", "validate_rust", "conformance.context"),
        ExpectedStep("from_python", "validate_python", "conformance.context"),
        ExpectedStep("from_typescript", "validate_typescript", "conformance.context"),
        ExpectedStep("back_in_rust", "validate_rust", "conformance.echo"),
    ),
)

FAILED_TASK = ExpectedTask(
    id="tsk_1m7yj5ebp0000",
    trace_id="cd2de923628ef040ddcd3a4f54f99752",
    namespace="default",
    workflow="validate_jaeger_failure",
    version="1.0.0",
    steps=(ExpectedStep("refused", "validate_python", "conformance.fail", attempts=2, error="refused_on_purpose"),),
    error="refused_on_purpose",
)


def tag(span: Json, name: str) -> Json:
    return next(one for one in span["tags"] if one["key"] == name)


def span_of(trace: Json, name: str, step: str | None = None) -> Json:
    """The captured span with this name, of this step if it is one of a step."""
    return next(span for span in trace["spans"] if span["operationName"] == name and (step is None or tag(span, "tasker.step.name")["value"] == step))


def findings(change: Callable[[Json], object] = lambda trace: None, task: ExpectedTask = TASK) -> list[Finding]:
    trace = copy.deepcopy(CAPTURED)
    change(trace)
    return check(task, read_spans(trace))


class SpanTree(unittest.TestCase):
    def check(self, change: Callable[[Json], object], code: str, *says: str, task: ExpectedTask = TASK) -> None:
        """One change gives one finding, and it names what is wrong."""
        found = findings(change, task)
        self.assertEqual([code], [one.code for one in found], "\n".join(map(str, found)))
        for part in says:
            self.assertIn(part, found[0].detail)

    def test_the_captured_trace_is_as_it_must_be(self) -> None:
        self.assertEqual([], findings())
        self.assertEqual(14, len(CAPTURED["spans"]))

    def test_whichever_span_is_missing_is_named(self) -> None:
        for wanted in expected_spans(TASK):
            step = wanted.tags.get("tasker.step.name")
            with self.subTest(span=str(wanted)):
                found = findings(lambda trace: trace["spans"].remove(span_of(trace, wanted.name, step)))
                self.assertEqual(["trace.span_missing"], [one.code for one in found])
                self.assertEqual(f"there is no {wanted}", found[0].detail)

    def test_an_empty_trace_misses_every_span(self) -> None:
        found = findings(lambda trace: trace["spans"].clear())
        self.assertEqual({"trace.span_missing"}, {one.code for one in found})
        self.assertEqual(14, len(found))

    def test_each_span_under_another_parent_is_named(self) -> None:
        for wanted in expected_spans(TASK)[2:]:
            step = wanted.tags["tasker.step.name"]
            with self.subTest(span=str(wanted)):

                def move(trace: Json) -> None:
                    span_of(trace, wanted.name, step)["references"][0]["spanID"] = span_of(trace, "submit")["spanID"]

                self.check(move, "trace.wrong_parent", wanted.name, step, "is a child of `submit`")

    def test_a_parent_that_jaeger_does_not_have_is_named(self) -> None:
        def cut(trace: Json) -> None:
            span_of(trace, "process conformance.context", "from_python")["references"][0]["spanID"] = "00000000000000ff"

        self.check(cut, "trace.wrong_parent", "from_python", "span 00000000000000ff, which is not in the trace")

    def test_a_worker_that_starts_a_root_of_its_own_is_named(self) -> None:
        self.check(lambda trace: span_of(trace, "process conformance.echo")["references"].clear(), "trace.wrong_parent", "is a root")

    def test_a_submission_below_something_else_is_named(self) -> None:
        def hang(trace: Json) -> None:
            other = span_of(trace, "step from_rust")["references"][0]
            span_of(trace, "submit")["references"].append(other)

        self.check(hang, "trace.wrong_parent", "`submit`", "must be the root")

    def test_each_wrong_kind_is_named(self) -> None:
        for wanted in expected_spans(TASK):
            step = wanted.tags.get("tasker.step.name")
            with self.subTest(span=str(wanted)):

                def change(trace: Json) -> None:
                    tag(span_of(trace, wanted.name, step), "span.kind")["value"] = "client"

                self.check(change, "trace.wrong_kind", wanted.name, "`client`", f"`{wanted.kind}`")

    def test_a_worker_that_sends_under_another_service_is_named(self) -> None:
        def rename(trace: Json) -> None:
            process = span_of(trace, "process conformance.context", "from_typescript")["processID"]
            trace["processes"][process]["serviceName"] = "unknown_service:node"

        self.check(rename, "trace.wrong_service", "from_typescript", "unknown_service:node", "validate_typescript")

    def test_each_tag_that_is_missing_or_wrong_is_named(self) -> None:
        for wanted in expected_spans(TASK):
            step = wanted.tags.get("tasker.step.name")
            # Without the step's name a span cannot be told from those of other steps; that has a test of its own.
            for name in wanted.tags.keys() - {"tasker.step.name"}:
                with self.subTest(span=str(wanted), tag=name):

                    def drop(trace: Json) -> None:
                        span = span_of(trace, wanted.name, step)
                        span["tags"].remove(tag(span, name))

                    def spoil(trace: Json) -> None:
                        tag(span_of(trace, wanted.name, step), name)["value"] = "spoiled"

                    self.check(drop, "trace.tag_missing", wanted.name, f"`{name}`")
                    self.check(spoil, "trace.tag_wrong", wanted.name, f"`{name}` = `spoiled`")

    def test_a_span_that_names_another_step_is_missed_where_it_belongs(self) -> None:
        def swap(trace: Json) -> None:
            tag(span_of(trace, "process conformance.context", "from_python"), "tasker.step.name")["value"] = "elsewhere"

        self.assertEqual(["trace.span_missing", "trace.span_unexpected"], [one.code for one in findings(swap)])

    def test_a_span_that_was_sent_twice_is_named(self) -> None:
        def repeat(trace: Json) -> None:
            again = copy.deepcopy(span_of(trace, "publish conformance.context", "from_rust"))
            again["spanID"] = "00000000000000aa"
            trace["spans"].append(again)

        self.check(repeat, "trace.span_unexpected", "publish conformance.context", "from_rust")

    def test_a_span_of_another_trace_is_named(self) -> None:
        def move(trace: Json) -> None:
            span_of(trace, "step back_in_rust")["traceID"] = "f" * 32

        self.check(move, "trace.other_trace", "step back_in_rust", "f" * 32)

    def test_a_failure_in_a_task_that_succeeded_is_named(self) -> None:
        def fail(trace: Json) -> None:
            span = span_of(trace, "process conformance.echo")
            span["tags"] += [{"key": "error", "type": "bool", "value": True}, {"key": "error.type", "type": "string", "value": "boom"}]

        self.check(fail, "trace.unexpected_error", "process conformance.echo", "boom")

    def test_a_child_before_its_parent_is_named_beyond_what_clocks_differ(self) -> None:
        def shift(by_us: int) -> Callable[[Json], None]:
            def change(trace: Json) -> None:
                parent = span_of(trace, "publish conformance.echo")
                span_of(trace, "process conformance.echo")["startTime"] = parent["startTime"] - by_us

            return change

        self.assertEqual([], findings(shift(CLOCKS_DIFFER_US)))
        self.check(shift(CLOCKS_DIFFER_US + 1), "trace.wrong_time", "process conformance.echo", "before its parent")

    def test_a_step_that_outlives_its_task_is_named(self) -> None:
        def stretch(trace: Json) -> None:
            span_of(trace, "step back_in_rust")["duration"] += 60_000_000

        self.check(stretch, "trace.wrong_time", "step back_in_rust", "after its parent")

    def test_a_second_attempt_needs_a_producer_and_a_consumer_of_its_own(self) -> None:
        first, *others = TASK.steps
        twice = replace(TASK, steps=(replace(first, attempts=2), *others))
        missing = [one.detail for one in findings(task=twice)]
        self.assertEqual(2, len(missing))
        self.assertIn("`publish conformance.context` of service `tasker` of step `from_rust`, attempt 2", missing[0])
        self.assertIn("`process conformance.context` of service `validate_rust` of step `from_rust`, attempt 2", missing[1])

    def test_a_failed_task_is_marked_where_it_failed_and_nowhere_else(self) -> None:
        spans = read_spans(CAPTURED_FAILURE)
        self.assertEqual([], check(FAILED_TASK, spans))
        marked = [place for place, span in enumerate(spans) if span.tags.get("error") == "true"]
        # The task, its step, and the handler in each of two attempts.
        self.assertEqual(4, len(marked))
        for place in marked:
            for name in ("error", "error.type"):
                with self.subTest(span=spans[place].name, tag=name):
                    unmarked = list(spans)
                    unmarked[place] = replace(spans[place], tags={key: value for key, value in spans[place].tags.items() if key != name})
                    found = check(FAILED_TASK, unmarked)
                    self.assertEqual(["trace.error_not_marked"], [one.code for one in found])
                    self.assertIn("refused_on_purpose", found[0].detail)

    def test_each_attempt_has_its_own_producer_and_consumer(self) -> None:
        spans = read_spans(CAPTURED_FAILURE)
        second = next(span for span in spans if span.kind == "consumer" and span.tags["tasker.attempt.number"] == "2")
        first = next(span for span in spans if span.kind == "producer" and span.tags["tasker.attempt.number"] == "1")
        crossed = [replace(span, parent=first.id) if span is second else span for span in spans]
        self.assertEqual(["trace.wrong_parent"], [one.code for one in check(FAILED_TASK, crossed)])

    def test_an_answer_of_another_form_is_refused(self) -> None:
        for broken in ({"spans": []}, {"processes": {}, "spans": [{"spanID": "1"}]}, {"processes": [], "spans": []}, {"processes": {}, "spans": 3}):
            with self.subTest(broken=broken), self.assertRaises(Problem) as raised:
                read_spans(broken)
            self.assertEqual("jaeger.not_jaeger", raised.exception.code)


class Report(unittest.TestCase):
    def test_every_span_has_one_line_below_its_parent(self) -> None:
        lines = report.tree(read_spans(CAPTURED)).splitlines()
        self.assertEqual(1 + len(CAPTURED["spans"]), len(lines))
        self.assertTrue(lines[1].startswith("    submit "))
        self.assertTrue(lines[2].startswith("    └ task validate_jaeger "))
        self.assertEqual(4, sum("├ step " in line or "└ step " in line for line in lines))

    def test_a_warning_of_jaeger_is_said_once_with_a_count(self) -> None:
        trace = copy.deepcopy(CAPTURED)
        for number, span in enumerate(trace["spans"]):
            span["warnings"] = [f"odd. Number {number}"] if span["operationName"] == "publish conformance.context" else None
        self.assertEqual(["Jaeger warns of 3 × `publish conformance.context` (tasker): odd"], report.warnings(read_spans(trace)))

    def test_a_span_whose_parent_is_absent_is_shown_all_the_same(self) -> None:
        trace = copy.deepcopy(CAPTURED)
        trace["spans"].remove(span_of(trace, "publish conformance.echo"))
        text = report.tree(read_spans(trace))
        self.assertEqual(1 + len(trace["spans"]), len(text.splitlines()))
        self.assertIn("is not in the trace", text)


if __name__ == "__main__":
    unittest.main()
