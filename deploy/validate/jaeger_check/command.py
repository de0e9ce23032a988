"""The run from top to bottom: Jaeger answers, takes a span and shows it; a workload runs; its trace is as it must be."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaeger_check import own_jaeger, report, workload
from jaeger_check.jaeger_api import Jaeger
from jaeger_check.probe import probe
from jaeger_check.problem import Problem
from jaeger_check.processes import Processes
from jaeger_check.span import Span, read_spans
from jaeger_check.span_tree import COORDINATOR, Finding, check
from jaeger_check.web import until
from jaeger_check.workload import ROOT, Ran

#: How long anything may take to appear. Memory and Elasticsearch need seconds; a pipeline with a queue may need more.
WAIT_DEFAULT, WAIT_MAX = 30.0, 600.0

HOLDS, BROKEN, NOT_RUN = 0, 1, 3


def main(arguments: Sequence[str]) -> int:
    """Returns 0 if everything holds, 1 if something is missing or wrong, 3 if the check could not be made; 2 is a wrong command line."""
    given = _read(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="tasker-validate-") as scratch, Processes(given.logs) as processes:
            return _run(given, processes, Path(scratch))
    except Problem as problem:
        print(f"  FAIL {problem}\n       help: {problem.hint}", file=sys.stderr)
        # What Jaeger or its receiver does wrong is what was asked about; everything else kept the question from being asked.
        return BROKEN if problem.code.startswith(("jaeger.", "otlp.", "trace.")) else NOT_RUN
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace, processes: Processes, scratch: Path) -> int:
    query, otlp = given.jaeger_query, given.otlp
    if given.with_own_jaeger:
        own = own_jaeger.start(processes, own_jaeger.binary(given.cache), scratch)
        query, otlp = own.query, own.otlp
        print(f"  Jaeger {own_jaeger.RELEASE}, our own: query {query}, OTLP {otlp}")
    jaeger = Jaeger(query)
    known = jaeger.services()
    print(f"  ok   {query} is a Jaeger; it knows {len(known)} services")
    print(f"  ok   a span sent to {otlp} was shown after {probe(otlp, jaeger, given.wait):.1f} s")
    live = workload.Workload(processes, given.tasker, workload.programs(given.rust_worker, given.python), otlp, given.wait)
    findings = _judge(jaeger, live.run(workload.SUCCEEDS), given.wait, given.save)
    findings += _judge(jaeger, live.run(workload.FAILS), given.wait, given.save)
    if findings:
        print(f"\n  NOT VALID: {len(findings)} findings")
        return BROKEN
    print("\n  VALID: each task is one trace, every span in its place, found by task id under every service")
    return HOLDS


def _judge(jaeger: Jaeger, ran: Ran, wait_seconds: float, save: Path | None) -> list[Finding]:
    outcome = "visited three languages and succeeded" if ran.task.error is None else f"failed with `{ran.task.error}`, as it should,"
    print(f"\n  ok   {ran.task.id} {outcome} in {ran.duration_ms} ms")
    trace, spans, findings = _complete(jaeger, ran, wait_seconds)
    if save and trace is not None:
        save.mkdir(parents=True, exist_ok=True)
        (save / f"{ran.task.workflow}.json").write_text(json.dumps({"data": [trace]}, indent=1) + "\n")
    findings += _seen_by_handlers(ran) + _searchable(jaeger, ran, wait_seconds)
    if spans:
        services = len({span.service for span in spans})
        print(f"       {len(spans)} spans of {services} services: {jaeger.url}/trace/{ran.task.trace_id}\n\n{report.tree(spans)}\n")
    for warning in report.warnings(spans):
        print(f"  note {warning}")
    for finding in findings:
        print(f"  FAIL {finding}")
    return findings


def _complete(jaeger: Jaeger, ran: Ran, wait_seconds: float) -> tuple[dict[str, Any] | None, list[Span], list[Finding]]:
    """The trace once nothing is missing from it, or as far as it got in time. Spans come from four processes and arrive in any order."""
    last: tuple[dict[str, Any] | None, list[Span], list[Finding]] = (None, [], [])

    def look() -> bool | None:
        nonlocal last
        trace = jaeger.trace(ran.task.trace_id)
        if trace is None:
            return None
        spans = read_spans(trace)
        last = (trace, spans, check(ran.task, spans))
        return None if any(finding.code == "trace.span_missing" for finding in last[2]) else True

    until(wait_seconds, look)
    if last[0] is None:
        detail = f"Jaeger has no span of trace {ran.task.trace_id} after {wait_seconds:g} s, although it showed the probe"
        return None, [], [Finding("trace.missing", f"{detail}: neither coordinator nor workers export")]
    return last


def _seen_by_handlers(ran: Ran) -> list[Finding]:
    """Log lines carry the trace that the handler sees: it must be the one in Jaeger."""
    return [
        Finding("trace.handler_elsewhere", f"the handler of `{system}` ran in trace {seen}, the task's is {ran.task.trace_id}")
        for system, seen in ran.seen.items()
        if seen != ran.task.trace_id
    ]


def _searchable(jaeger: Jaeger, ran: Ran, wait_seconds: float) -> list[Finding]:
    """A person has a task id, not a trace id, and looks for it under a service: both must lead here."""
    now_us, findings = time.time_ns() // 1000, []
    wanted = {COORDINATOR, *(step.system for step in ran.task.steps)}
    if until(wait_seconds, lambda: wanted <= set(jaeger.services()) or None) is None:
        absent = ", ".join(sorted(wanted - set(jaeger.services())))
        findings.append(Finding("trace.service_not_listed", f"Jaeger's list of services has no {absent}"))
    for service in sorted(wanted):
        found = until(wait_seconds, lambda service=service: jaeger.find(service, "tasker.task.id", ran.task.id, now_us) or None)
        if [trace.zfill(32) for trace in found or []] != [ran.task.trace_id]:
            detail = f"searching `{service}` for tasker.task.id={ran.task.id} finds {found or 'nothing'}, not {ran.task.trace_id}"
            findings.append(Finding("trace.not_searchable", detail))
    return findings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaeger",
        description="Validates a Jaeger installation: runs a task across three languages, and one that fails, and checks that Jaeger shows each as one complete trace.",
        epilog="Exit status: 0 it is valid; 1 something is missing or wrong, and named; 2 wrong command line; 3 the check could not be made.",
    )
    parser.add_argument("--jaeger-query", metavar="URL", type=_url, help="where Jaeger's pages are: http://HOST:16686")
    parser.add_argument("--otlp", metavar="URL", type=_url, help="where it receives OTLP over HTTP: http://HOST:4318")
    parser.add_argument("--with-own-jaeger", action="store_true", help="build a Jaeger from its Go module (once, some minutes) and validate that one")
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, default=WAIT_DEFAULT, help=f"how long anything may take to appear (default {WAIT_DEFAULT:g}, at most {WAIT_MAX:g})")
    parser.add_argument("--tasker", metavar="FILE", type=Path, default=ROOT / "target/debug/tasker", help="the coordinator (default: target/debug/tasker)")
    parser.add_argument("--rust-worker", metavar="FILE", type=Path, default=ROOT / "target/debug/examples/conformance_worker", help="the Rust worker (default: target/debug/examples/conformance_worker)")
    parser.add_argument("--python", metavar="FILE", type=Path, default=ROOT / ".venv/bin/python", help="the Python that has the worker SDK installed (default: .venv/bin/python)")
    parser.add_argument("--cache", metavar="DIR", type=Path, default=ROOT / ".tasker/jaeger", help="where our own Jaeger is kept (default: .tasker/jaeger)")
    parser.add_argument("--logs", metavar="DIR", type=Path, default=ROOT / ".tasker/validate-jaeger", help="where the processes' logs go (default: .tasker/validate-jaeger)")
    parser.add_argument("--save", metavar="DIR", type=Path, help="write each trace there as Jaeger answered it, in JSON")
    return parser


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse alone cannot say that one of two sets of options is needed."""
    parser = _parser()
    given = parser.parse_args(arguments)
    elsewhere = given.jaeger_query is not None, given.otlp is not None
    if given.with_own_jaeger and any(elsewhere):
        parser.error("--with-own-jaeger brings its own addresses; leave out --jaeger-query and --otlp")
    if not given.with_own_jaeger and not all(elsewhere):
        parser.error("give both --jaeger-query URL and --otlp URL, or --with-own-jaeger")
    return given


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"`{text}` does not start with http:// or https://")
    return text.rstrip("/")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= WAIT_MAX:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of seconds above 0 and at most {WAIT_MAX:g}")
    return seconds
