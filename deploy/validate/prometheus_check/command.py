"""The run from top to bottom: Prometheus answers and scrapes; a workload runs; counters, series, alerts and boards are as they must be."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from jaeger_check.problem import Problem
from jaeger_check.processes import Processes
from jaeger_check.tasker_api import Tasker
from jaeger_check.web import until
from prometheus_check import judge, own_prometheus, repository, workload
from prometheus_check.judge import Finding
from prometheus_check.prometheus_api import Prometheus
from prometheus_check.repository import ROOT

#: How long anything may take to appear: two scrapes of a minute, and their evaluation.
WAIT_DEFAULT, WAIT_MAX = 60.0, 600.0
JOB = "tasker"

HOLDS, BROKEN, NOT_RUN = 0, 1, 3


def main(arguments: Sequence[str]) -> int:
    """Returns 0 if everything holds, 1 if something is missing or wrong, 3 if the check could not be made; 2 is a wrong command line."""
    given = _read(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="tasker-validate-") as scratch, Processes(given.logs) as processes:
            return _run(given, processes, Path(scratch))
    except Problem as problem:
        print(f"  FAIL {problem}\n       help: {problem.hint}", file=sys.stderr)
        # What Prometheus does wrong is what was asked about; everything else kept the question from being asked.
        return BROKEN if problem.code.startswith(("prometheus.", "target.", "alert.")) else NOT_RUN
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace, processes: Processes, scratch: Path) -> int:
    if given.with_own_prometheus:
        executable = own_prometheus.binary(given.prometheus)
        tasker_url, nats = workload.own_coordinator(processes, given.tasker, given.wait)
        prometheus = own_prometheus.start(processes, executable, scratch, tasker_url)
    else:
        prometheus, tasker_url, nats = Prometheus(given.prometheus_url), given.tasker_url, given.nats
    print(f"  ok   {prometheus.url} is a Prometheus {prometheus.version()}")
    findings = _until_none(given.wait, lambda: judge.targets(prometheus.targets(), JOB))
    if findings:
        return _verdict(findings)
    scraped = ", ".join(target["scrapeUrl"] for target in prometheus.targets() if target["labels"].get("job") == JOB)
    print(f"  ok   every target of the job `{JOB}` is up: {scraped}")

    api = Tasker(tasker_url)
    workload.join(processes, given.worker, nats, api, given.wait)
    workload.prepare(api)
    before = {expression: value for expression in workload.EXPECTED if (value := prometheus.number(expression)) is not None}
    began = time.monotonic()
    workload.run(api, given.wait)
    print(f"  ok   {workload.TASKS} tasks succeeded and one failed, as they should, in {time.monotonic() - began:.1f} s")

    findings = _until_none(given.wait, lambda: judge.counters(before, {one: prometheus.number(one) for one in workload.EXPECTED}, workload.EXPECTED))
    _say(findings, f"{len(workload.EXPECTED)} counters grew by exactly what was done")
    promised = repository.metrics()
    asked = repository.asked(promised)
    missing = _until_none(given.wait, lambda: judge.series(prometheus.names(), prometheus.announced(), promised, asked))
    _say(missing, f"all {len(promised)} metrics of docs/metrics.md are known, and the {len(asked)} that boards and alerts ask for have series")
    alerts = _alerts(prometheus, given.wait)
    _say(alerts, f"all {len(repository.alerts())} alerts are loaded, evaluated and silent")
    boards = _boards(prometheus)
    _say(boards, f"Prometheus understands all {len(repository.expressions())} expressions of the boards")
    return _verdict([*findings, *missing, *alerts, *boards])


def _alerts(prometheus: Prometheus, wait_seconds: float) -> list[Finding]:
    promised = repository.alerts()
    until(wait_seconds, lambda: judge.evaluated(prometheus.groups(), promised) or None)
    return judge.rules(prometheus.groups(), promised)


def _boards(prometheus: Prometheus) -> list[Finding]:
    findings = []
    for title, expression in repository.expressions():
        try:
            prometheus.query(expression)
        except Problem as problem:
            findings.append(Finding("board.broken", f"{title}: {expression}: {problem.detail}"))
    return findings


def _until_none(seconds: float, look) -> list[Finding]:  # noqa: ANN001
    """Looks until there is no finding, or the time is over; returns what is left."""
    last: list[Finding] = []

    def again() -> bool | None:
        last[:] = look()
        return None if last else True

    until(seconds, again)
    return last


def _say(findings: Sequence[Finding], well: str) -> None:
    if not findings:
        print(f"  ok   {well}")
    for finding in findings:
        print(f"  FAIL {finding}")


def _verdict(findings: Sequence[Finding]) -> int:
    if findings:
        print(f"\n  NOT VALID: {len(findings)} findings, first {findings[0]}")
        return BROKEN
    print("\n  VALID: this Prometheus sees what Tasker does, and would say if it did not")
    return HOLDS


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="prometheus",
        description="Validates a Prometheus installation: runs tasks, and checks that Prometheus has counted them, knows every metric, and has every alert loaded and silent.",
        epilog="Exit status: 0 it is valid; 1 something is missing or wrong, and named; 2 wrong command line; 3 the check could not be made.",
    )
    parser.add_argument("--prometheus-url", metavar="URL", help="where Prometheus is: http://HOST:9090")
    parser.add_argument("--tasker-url", metavar="URL", help="where the API of a running coordinator is, which that Prometheus scrapes: http://HOST:7420")
    parser.add_argument("--nats", metavar="URL", help="where workers of that coordinator connect: nats://HOST:7422")
    parser.add_argument("--with-own-prometheus", action="store_true", help="run the distribution's Prometheus and a coordinator of our own, and validate those")
    parser.add_argument("--prometheus", metavar="FILE", type=Path, help="the Prometheus to run (default: the one in PATH)")
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, default=WAIT_DEFAULT, help=f"how long anything may take to appear (default {WAIT_DEFAULT:g}, at most {WAIT_MAX:g})")
    parser.add_argument("--tasker", metavar="FILE", type=Path, default=ROOT / "target/debug/tasker", help="the coordinator (default: target/debug/tasker)")
    parser.add_argument("--worker", metavar="FILE", type=Path, default=ROOT / "target/debug/examples/conformance_worker", help="the worker (default: target/debug/examples/conformance_worker)")
    parser.add_argument("--logs", metavar="DIR", type=Path, default=ROOT / ".tasker/validate-prometheus", help="where the processes' logs go (default: .tasker/validate-prometheus)")
    given = parser.parse_args(arguments)
    elsewhere = (given.prometheus_url, given.tasker_url, given.nats)
    if given.with_own_prometheus and any(elsewhere):
        parser.error("--with-own-prometheus brings its own addresses; leave out --prometheus-url, --tasker-url and --nats")
    if not given.with_own_prometheus and not all(elsewhere):
        parser.error("give --prometheus-url, --tasker-url and --nats, or --with-own-prometheus")
    return given


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= WAIT_MAX:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of seconds above 0 and at most {WAIT_MAX:g}")
    return seconds
