"""The live workload: tasks that succeed, one that fails, and what they must add to the counters."""

from __future__ import annotations

import json
import os
from pathlib import Path

from jaeger_check.problem import Problem
from jaeger_check.processes import Processes
from jaeger_check.tasker_api import Tasker
from jaeger_check.web import until
from prometheus_check.repository import ROOT

WORKFLOW, SYSTEM, VERSION = "validate_prometheus", "validate_prometheus", "1.0.0"

#: Tasks that succeed; the steps of each; attempts of the one that fails.
TASKS, STEPS, ATTEMPTS_MAX = 20, 2, 2

#: `conformance.fail` is asked by the tasks whose input says so; the breaker is there so that its figures are.
MANIFEST = {
    "name": WORKFLOW,
    "version": VERSION,
    "description": "Echoes twice, or fails when asked to: what deploy/validate/prometheus counts.",
    "systems": {
        SYSTEM: {
            "capabilities": [
                "conformance.echo",
                {"name": "conformance.fail", "breaker": {"failures": 50, "window": "30s", "open_for": "1s", "probes": 1}},
            ]
        }
    },
    "workflow_steps": [
        {"name": "first", "owner": SYSTEM, "capability": "conformance.echo", "input": {"text": "a", "number": "${ task.input.number }"}},
        {
            "name": "refused",
            "owner": SYSTEM,
            "capability": "conformance.fail",
            "depends_on": "first",
            "when": "${ task.input.fail }",
            "input": {"kind": "retryable", "code": "refused_on_purpose", "message": "asked to"},
            "retry": {"kind": "fixed", "base": "20ms", "jitter": "none", "max_attempts": ATTEMPTS_MAX},
        },
        {"name": "second", "owner": SYSTEM, "capability": "conformance.echo", "depends_on": "first", "input": {"text": "b", "number": 1}},
    ],
}


def _sum(metric: str, **labels: str) -> str:
    selector = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"sum({metric}{{{selector}}})"


#: Each counter, and by how much it grows. The failing task's other step succeeds, too, or is cancelled, as it happens: it is not counted here.
EXPECTED = {
    _sum("tasker_tasks_accepted_total", workflow=WORKFLOW): TASKS + 1.0,
    _sum("tasker_tasks_finished_total", workflow=WORKFLOW, outcome="succeeded"): float(TASKS),
    _sum("tasker_tasks_finished_total", workflow=WORKFLOW, outcome="failed"): 1.0,
    _sum("tasker_task_duration_seconds_count", workflow=WORKFLOW): TASKS + 1.0,
    _sum("tasker_steps_finished_total", workflow=WORKFLOW, step="first", outcome="succeeded"): TASKS + 1.0,
    _sum("tasker_steps_finished_total", workflow=WORKFLOW, step="refused", outcome="skipped"): float(TASKS),
    _sum("tasker_steps_finished_total", workflow=WORKFLOW, step="refused", outcome="failed"): 1.0,
    _sum("tasker_steps_dispatched_total", system=SYSTEM, capability="conformance.fail"): float(ATTEMPTS_MAX),
    _sum("tasker_attempts_total", system=SYSTEM, capability="conformance.fail", outcome="retryable"): float(ATTEMPTS_MAX),
    _sum("tasker_step_run_seconds_count", system=SYSTEM, capability="conformance.fail"): float(ATTEMPTS_MAX),
    _sum("tasker_attempt_failures_total", code="refused_on_purpose"): float(ATTEMPTS_MAX),
}


def own_coordinator(processes: Processes, tasker: Path, wait_seconds: float) -> tuple[str, str]:
    """Starts `tasker dev` with throw-away data; returns where its API and its workers' listener are."""
    if not tasker.exists():
        raise Problem("workload.not_built", f"not there: {tasker}", "cargo build -p tasker-server")
    command = (str(tasker), "dev", "--http-port", "0", "--nats-port", "0")
    coordinator = processes.start("tasker", command, cwd=ROOT, env=_environment())
    return coordinator.waits_for(r"API\s+(http://\S+)", wait_seconds)[1], coordinator.waits_for(r"Workers\s+(nats://\S+)", wait_seconds)[1]


def join(processes: Processes, worker: Path, nats: str, api: Tasker, wait_seconds: float) -> None:
    """Starts the worker, and waits until the coordinator knows it."""
    if not worker.exists():
        raise Problem("workload.not_built", f"not there: {worker}", "cargo build -p tasker-worker --example conformance_worker")
    own = {"TASKER_NATS_URL": nats, "TASKER_SYSTEM": SYSTEM, "TASKER_NAMESPACE": "default"}
    process = processes.start("worker", (str(worker),), cwd=ROOT, env={**_environment(), **own})

    def look() -> bool | None:
        process.must_live()
        return True if any(worker["system"] == SYSTEM for worker in api.workers()) else None

    if until(wait_seconds, look) is None:
        raise Problem("workload.worker_absent", f"the worker did not say hello within {wait_seconds:g} s", f"its log is {process.log}")


def prepare(api: Tasker) -> None:
    api.apply(json.dumps(MANIFEST), f"{WORKFLOW}.yaml")


def run(api: Tasker, wait_seconds: float) -> None:
    """Runs every task to its end."""
    tasks = [(api.submit(WORKFLOW, {"number": number, "fail": False}).id, "succeeded") for number in range(TASKS)]
    tasks.append((api.submit(WORKFLOW, {"number": TASKS, "fail": True}).id, "failed"))
    for task, wanted in tasks:
        detail = api.ended(task, wait_seconds)
        if detail["status"] != wanted:
            raise Problem("task.ended_otherwise", f"{task} {detail['status']}: {json.dumps(detail['failure'])}; it had to be {wanted}", "see the logs of the run")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TASKER_"))}
