"""The live workload: a coordinator, a worker in each of three languages, a task across them, and one that fails."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaeger_check.problem import Problem
from jaeger_check.processes import Processes
from jaeger_check.span_tree import ExpectedStep, ExpectedTask
from jaeger_check.tasker_api import Tasker
from jaeger_check.web import until

ROOT = Path(__file__).resolve().parents[3]

VERSION, NAMESPACE = "1.0.0", "default"

#: Spans leave the workers after at most this long, so that the report does not wait for the SDKs' five seconds.
SPAN_DELAY_MS = 200


@dataclass(frozen=True)
class WorkerProgram:
    """The conformance worker of one language, playing the system `system`."""

    language: str
    system: str
    command: tuple[str, ...]
    #: What must exist, and how it comes to exist.
    file: Path
    made_by: str


@dataclass(frozen=True)
class PlannedStep:
    name: str
    system: str
    capability: str
    depends_on: tuple[str, ...]
    input: dict[str, object]
    #: What every attempt fails with.
    error: str | None = None


@dataclass(frozen=True)
class Plan:
    """A workflow of the workload. Its task fails if one of its steps does."""

    name: str
    description: str
    steps: tuple[PlannedStep, ...]
    attempts_max: int

    @property
    def error(self) -> str | None:
        return next((step.error for step in self.steps if step.error is not None), None)


@dataclass(frozen=True)
class Ran:
    """What was done, and what each language's handler said its trace is."""

    task: ExpectedTask
    duration_ms: int
    seen: dict[str, str]


def programs(rust_worker: Path, python: Path) -> tuple[WorkerProgram, ...]:
    typescript, script = ROOT / "worker-sdk/typescript/dist/conformance-worker.js", ROOT / "worker-sdk/python/conformance_worker.py"
    node = shutil.which("node") or "node"
    return (
        WorkerProgram("rust", "validate_rust", (str(rust_worker),), rust_worker, "cargo build -p tasker-worker --example conformance_worker"),
        WorkerProgram("python", "validate_python", (str(python), str(script)), python, "python3 -m venv .venv && .venv/bin/pip install -e 'worker-sdk/python[otel]'"),
        WorkerProgram("typescript", "validate_typescript", (node, str(typescript)), typescript, "(cd worker-sdk/typescript && npm ci && npm run build)"),
    )


#: `conformance.context` answers with what the handler sees of its task, its trace among it.
SUCCEEDS = Plan(
    "validate_jaeger",
    "Visits three systems in three languages: one step first, two at the same time, and one that needs both.",
    (
        PlannedStep("from_rust", "validate_rust", "conformance.context", (), {}),
        PlannedStep("from_python", "validate_python", "conformance.context", ("from_rust",), {}),
        PlannedStep("from_typescript", "validate_typescript", "conformance.context", ("from_rust",), {}),
        PlannedStep(
            "back_in_rust",
            "validate_rust",
            "conformance.echo",
            ("from_python", "from_typescript"),
            {"text": "${ steps.from_python.result.trace_id }", "number": "${ task.input.number }"},
        ),
    ),
    attempts_max=5,
)

FAILS = Plan(
    "validate_jaeger_failure",
    "Fails twice in one system, so that the last step never begins: a retry and a failure as they look in a trace.",
    (
        PlannedStep("refused", "validate_python", "conformance.fail", (), {"kind": "retryable", "code": "refused_on_purpose", "message": "asked to"}, "refused_on_purpose"),
        PlannedStep("never_ready", "validate_rust", "conformance.context", ("refused",), {}),
    ),
    attempts_max=2,
)


def manifest(plan: Plan) -> str:
    """The manifest of a plan. Written as JSON, which is YAML too, so that steps and expected spans come from one table."""
    capabilities: dict[str, list[str]] = {}
    for step in plan.steps:
        known = capabilities.setdefault(step.system, [])
        if step.capability not in known:
            known.append(step.capability)
    common = {"timeout": "20s", "retry": {"kind": "fixed", "base": "50ms", "jitter": "none", "max_attempts": plan.attempts_max}}
    steps = [
        {"name": step.name, "owner": step.system, "capability": step.capability, "depends_on": list(step.depends_on), "input": step.input, **common}
        for step in plan.steps
    ]
    value = {
        "name": plan.name,
        "version": VERSION,
        "description": plan.description,
        "systems": {system: {"capabilities": names} for system, names in capabilities.items()},
        "workflow_steps": steps,
        "result": {step.system: f"${{ steps.{step.name}.result.trace_id }}" for step in plan.steps if step.capability == "conformance.context"},
    }
    return json.dumps(value, indent=2)


class Workload:
    """A coordinator with throw-away data on free ports, and the workers. Both live as long as `processes`."""

    def __init__(self, processes: Processes, tasker: Path, workers: tuple[WorkerProgram, ...], otlp: str, wait_seconds: float) -> None:
        """Starts everything and waits until each worker has said hello. Raises `Problem` if something is not built or does not start."""
        _must_be_built(tasker, workers)
        self._wait_seconds = wait_seconds
        environment = _environment()
        command = (str(tasker), "dev", "--http-port", "0", "--nats-port", "0", "--otlp-endpoint", otlp)
        coordinator = processes.start("tasker", command, cwd=ROOT, env=environment)
        self._api = Tasker(coordinator.waits_for(r"API\s+(http://\S+)", wait_seconds)[1])
        nats = coordinator.waits_for(r"Workers\s+(nats://\S+)", wait_seconds)[1]
        for worker in workers:
            own = {"TASKER_NATS_URL": nats, "TASKER_SYSTEM": worker.system, "TASKER_NAMESPACE": NAMESPACE}
            spans = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_DELAY_MS)}
            processes.start(worker.language, worker.command, cwd=ROOT, env={**environment, **own, **spans})
        _all_joined(self._api, processes, {worker.system for worker in workers}, wait_seconds)

    def run(self, plan: Plan) -> Ran:
        """Runs one task of the plan to its end, and says what its trace must be. Raises `Problem` (`task.…`) if it ends otherwise than planned."""
        self._api.apply(manifest(plan), f"{plan.name}.yaml")
        submitted = self._api.submit(plan.name, {"number": 3})
        detail = self._api.ended(submitted.id, self._wait_seconds)
        code = (detail["failure"] or {}).get("code")
        if (detail["status"] == "succeeded") != (plan.error is None) or code != plan.error:
            planned = f"fail with `{plan.error}`" if plan.error else "succeed"
            said = json.dumps(detail["failure"])
            raise Problem("task.ended_otherwise", f"{submitted.id} {detail['status']}: {said}; it had to {planned}", "see the logs of the run; its spans were not looked at")
        made = {step["name"]: int(step["attempt"]) for step in detail["steps"]}
        # A step that never became ready had no attempt, and has no span.
        steps = tuple(ExpectedStep(step.name, step.system, step.capability, made[step.name], step.error) for step in plan.steps if made[step.name])
        task = ExpectedTask(submitted.id, submitted.trace_id, NAMESPACE, plan.name, VERSION, steps, plan.error)
        return Ran(task, int(detail["duration_ms"]), dict(detail["result"] or {}))


def _must_be_built(tasker: Path, workers: tuple[WorkerProgram, ...]) -> None:
    needed = [(tasker, "cargo build -p tasker-server"), *((worker.file, worker.made_by) for worker in workers)]
    missing = [f"{file} ({how})" for file, how in needed if not file.exists()]
    if missing:
        raise Problem("workload.not_built", f"not there: {', '.join(missing)}", "build them with the commands in brackets, in the project's directory")
    if shutil.which("node") is None:
        raise Problem("workload.not_built", "`node` is not in PATH", "install Node 20 or later; the TypeScript worker runs on it")


def _all_joined(api: Tasker, processes: Processes, systems: set[str], wait_seconds: float) -> None:
    absent = set(systems)

    def look() -> bool | None:
        processes.must_live()
        absent.clear()
        absent.update(systems - {worker["system"] for worker in api.workers()})
        return None if absent else True

    if until(wait_seconds, look) is None:
        names = ", ".join(sorted(absent))
        raise Problem("workload.worker_absent", f"no worker said hello for: {names}, after {wait_seconds:g} s", "see the logs of the run")


def _environment() -> Mapping[str, str]:
    """The caller's environment without what would change names, sampling or destination of spans. Credentials for the receiver stay."""
    kept = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(("OTEL_", "TASKER_"))}
