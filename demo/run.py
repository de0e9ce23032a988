#!/usr/bin/env python3
"""The demo: real orders through three systems in three languages, with a worker killed on the way.

    make demo            runs it, prints what came of the orders, stops everything
    make demo KEEP=1     the same, and keeps the server until Ctrl-C

Exit code 0 if every order reached its end and everything adds up.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver import report
from driver.client import Refused, Tasker
from driver.outcome import faults, summarise
from driver.processes import Process, Processes, free_port
from driver.screen import Screen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
TASKER = BINARIES / "tasker"
PYTHON = ROOT / ".venv/bin/python"
MANIFEST = ROOT / "manifests/examples/order_processing.yaml"
ORDERS = HERE / "orders.jsonl"
#: Thrown away at the next start, so the last run can be looked at again.
STATE = Path(os.environ.get("DEMO_STATE", ROOT / ".tasker/demo")).absolute()

#: `make demo KEEP=1`: everything keeps running after the report.
KEEP = bool(os.environ.get("KEEP"))
HTTP_PORT, NATS_PORT = 7420, 7422
WORKFLOW = "order_processing"
WORKERS_PER_SYSTEM = 2
VICTIM_SYSTEM = "python_inventory"
#: How an attempt ends whose worker fell silent.
LOST = "worker.lost"
#: The worker dies when this share of the orders is done.
KILL_AT = 0.25
POLL_SECONDS = 0.1
#: How many unfinished orders are asked about at each look; the oldest finish first.
LOOK_AT_MOST = 120
START_SECONDS = 30.0
#: Minutes would mean that something is stuck; the run takes seconds.
FINISH_SECONDS = 120.0

Json = dict[str, Any]


@dataclass
class System:
    """One of the three systems and how to start a worker of it."""

    name: str
    language: str
    command: list[str | Path]
    cwd: Path


SYSTEMS = [
    System("rails_app", "Rust", [BINARIES / "rails_app"], HERE / "rails_app"),
    System("python_inventory", "Python", [PYTHON, "worker.py"], HERE / "python_inventory"),
    System("node_payments", "TypeScript", ["node", "--enable-source-maps", "dist/worker.js"], HERE / "node_payments"),
]


class Failed(Exception):
    """The demo cannot go on; says why and what to do."""


class Demo:
    """One run, from starting the server to the last line."""

    def __init__(self, screen: Screen, processes: Processes) -> None:
        self.screen, self.processes = screen, processes
        self.http_port, self.nats_port = free_port(HTTP_PORT), free_port(NATS_PORT)
        self.tasker = Tasker(self.http_port)
        self.orders: list[Json] = [json.loads(line) for line in ORDERS.read_text().splitlines()]
        self.ids: list[str] = []
        self.results: dict[str, Json] = {}
        self.workers_started = 0
        self.worker_names: dict[str, str] = {}
        self.seconds = 0.0

    def run(self) -> int:
        self.start_coordinator()
        self.start_workers()
        self.apply_manifest()
        began = time.monotonic()
        self.submit()
        self.follow_until(lambda: len(self.results) >= KILL_AT * len(self.ids))
        held = self.kill_a_worker()
        self.follow_until(lambda: len(self.results) == len(self.ids))
        self.seconds = time.monotonic() - began
        self.live_workers()
        self.screen.event(f"all {len(self.ids)} orders are finished", "green")
        return self.report(held)

    def start_coordinator(self) -> None:
        self.screen.title("Starting")
        for what, port, wanted in (("HTTP", self.http_port, HTTP_PORT), ("bus", self.nats_port, NATS_PORT)):
            if port != wanted:
                self.screen.event(f"port {wanted} is taken; {what} listens on {port}", "yellow")
        began = time.monotonic()
        command: list[str | Path] = [TASKER, "dev", "--data", STATE / "data"]
        command += ["--http-port", str(self.http_port), "--nats-port", str(self.nats_port)]
        coordinator = self.processes.start("coordinator", command, cwd=ROOT)
        self.wait_until(self.tasker.ready, coordinator, "the coordinator to be ready", pause=0.005)
        self.screen.event(f"coordinator is ready after {(time.monotonic() - began) * 1000:.0f} ms: API {self.tasker.url}, bus nats://127.0.0.1:{self.nats_port}")

    def start_workers(self) -> None:
        started = [self.start_worker(system) for _ in range(WORKERS_PER_SYSTEM) for system in SYSTEMS]
        for worker in started:
            self.wait_until(lambda pid=worker.pid: pid in self.live_workers(), worker, f"worker {worker.name} to join")
        names = ", ".join(f"{WORKERS_PER_SYSTEM} × {system.name} in {system.language}" for system in SYSTEMS)
        self.screen.event(f"workers have joined: {names}")

    def start_worker(self, system: System) -> Process:
        self.workers_started += 1
        env = {"TASKER_NATS_URL": f"nats://127.0.0.1:{self.nats_port}", "INVENTORY_DB": str(STATE / "inventory.db")}
        return self.processes.start(f"{system.name}-{self.workers_started}", system.command, cwd=system.cwd, env=env)

    def live_workers(self) -> dict[int, Json]:
        """By process id. Remembers whose session is whose: the API names sessions, people know processes."""
        workers: dict[int, Json] = {worker["process_id"]: worker for worker in self.tasker.get("/v1/workers")["items"]}
        self.worker_names |= {workers[process.pid]["session"]: process.name for process in self.processes.of("") if process.pid in workers}
        return workers

    def apply_manifest(self) -> None:
        self.cli("workflow", "apply", str(MANIFEST))
        self.screen.event(f"applied {MANIFEST.relative_to(ROOT)}")

    def submit(self) -> None:
        self.screen.title(f"{len(self.orders)} real orders")
        self.ids = self.tasker.submit(WORKFLOW, self.orders, "order_id")
        again = self.tasker.submit(WORKFLOW, self.orders[:1], "order_id")
        if again != self.ids[:1] or len(set(self.ids)) != len(self.orders):
            raise Failed(f"submitting order {self.orders[0]['order_id']} twice made two tasks: {self.ids[0]} and {again[0]}")
        self.screen.event(f"accepted {len(self.ids)} orders; the order number is the idempotency key, so none can be accepted twice")

    def follow_until(self, enough: Callable[[], bool]) -> None:
        """Shows progress until `enough`."""
        deadline = time.monotonic() + FINISH_SECONDS
        while True:
            self.look()
            succeeded = sum(result["status"] == "succeeded" for result in self.results.values())
            turned_down = len(self.results) - succeeded
            self.screen.progress(len(self.results), len(self.ids), f"{succeeded} succeeded, {turned_down} turned down")
            if enough():
                return
            if time.monotonic() > deadline:
                unfinished = next(task for task in self.ids if task not in self.results)
                why = self.cli("debug", "why", unfinished)
                raise Failed(f"{len(self.ids) - len(self.results)} orders are not finished after {FINISH_SECONDS:.0f} s. One of them, {unfinished}:\n{why}")
            time.sleep(POLL_SECONDS)

    def look(self) -> None:
        unfinished = [task for task in self.ids if task not in self.results][:LOOK_AT_MOST]
        for result in self.tasker.get_many(f"/v1/tasks/{task}/result" for task in unfinished):
            if result["status"] != "running":
                self.results[result["id"]] = result

    def kill_a_worker(self) -> list[tuple[str, str]]:
        """`kill -9` of one worker; returns the (task, step) pairs it held, and starts a replacement."""
        victims = {worker.pid: worker for worker in self.processes.of(VICTIM_SYSTEM)}
        pid, session = max(
            ((pid, worker) for pid, worker in self.live_workers().items() if pid in victims), key=lambda pair: int(pair[1]["running"])
        )
        victims[pid].kill()
        self.screen.event(f"kill -9 {pid}: {victims[pid].name} is gone", "red")
        held = self.held_by(session["session"])
        orders = ", ".join(sorted({self.order_of(task) for task, _ in held})[:8])
        self.screen.event(f"it held {len(held)} steps, of orders {orders}; they run elsewhere when its lease ends", "yellow")
        system = next(system for system in SYSTEMS if system.name == VICTIM_SYSTEM)
        replacement = self.start_worker(system)
        self.screen.event(f"{replacement.name} starts in its place")
        return held

    def held_by(self, session: str) -> list[tuple[str, str]]:
        unfinished = [task for task in self.ids if task not in self.results]
        return [
            (detail["id"], step["name"])
            for detail in self.tasker.get_many(f"/v1/tasks/{task}" for task in unfinished)
            for step in detail["steps"]
            for attempt in step["attempts"]
            if attempt["worker"] == session and attempt["outcome"] == "running"
        ]

    def report(self, held: list[tuple[str, str]]) -> int:
        timelines = self.tasker.get_many(f"/v1/tasks/{task}/timeline" for task in self.ids)
        by_id = {timeline["id"]: timeline for timeline in timelines}
        outcome = summarise(self.results.values(), timelines)
        problems = faults(outcome, self.orders)
        problems += [f"{step} of {task} was held by the killed worker and never ran elsewhere" for task, step in held if not went_on(by_id[task], step)]
        languages = {system.name: system.language for system in SYSTEMS}
        report.orders(self.screen, outcome, self.seconds)
        report.recovery(self.screen, [(self.order_of(task), by_id[task], step) for task, step in held], self.worker_names)
        report.steps(self.screen, outcome, languages)
        chosen = self.one_to_show(held, by_id)
        self.screen.title(f"Order {self.order_of(chosen)}, step by step: tasker task timeline {chosen}")
        self.screen.say(indented(self.cli("task", "timeline", chosen)))
        report.logs(self.screen, by_id[chosen]["trace_id"], STATE / "logs", languages)
        report.next_steps(self.screen, self.tasker.url, chosen, self.one_turned_down(), shown(TASKER), shown(STATE), KEEP)
        for problem in problems:
            self.screen.say(self.screen.paint(f"  FAULT: {problem}", "red"))
        return 1 if problems else 0

    def one_to_show(self, held: list[tuple[str, str]], timelines: dict[str, Json]) -> str:
        """A succeeded order, if possible one that lost its worker on the way, or met a busy bank."""
        succeeded = [task for task in self.ids if self.results[task]["status"] == "succeeded"]
        lost = [task for task, _ in held if task in succeeded]
        retried = [task for task in succeeded if any(len(row["attempts"]) > 1 for row in timelines[task]["rows"])]
        return (lost + retried + succeeded + self.ids)[0]

    def one_turned_down(self) -> str:
        """A task that failed for a contract error, as late as possible: there is most to see."""
        failed = [task for task in self.ids if self.results[task]["status"] == "failed"]
        return next((task for task in failed if self.results[task]["failure"]["step"] != "validate_order"), self.ids[0])

    def order_of(self, task: str) -> str:
        return str(self.orders[self.ids.index(task)]["order_id"])

    def cli(self, *arguments: str) -> str:
        """Runs the `tasker` command as a person would, and returns what it prints."""
        done = subprocess.run([str(TASKER), "--server", self.tasker.url, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=FINISH_SECONDS)
        if done.returncode != 0:
            raise Failed(f"tasker {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr or done.stdout}")
        return done.stdout

    def wait_until(self, holds: Callable[[], bool], process: Process, what: str, pause: float = 0.05) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            if not process.alive:
                raise Failed(f"waited for {what}, but {process.name} ended with {process.popen.returncode}. Its log, {process.log}:\n{process.log_tail()}")
            if time.monotonic() > deadline:
                raise Failed(f"waited {START_SECONDS:.0f} s for {what}. The log, {process.log}:\n{process.log_tail()}")
            time.sleep(pause)


def went_on(timeline: Json, step: str) -> bool:
    """Whether the step ended: elsewhere, or on the killed worker because its last reply was already on the way."""
    attempts = next(row["attempts"] for row in timeline["rows"] if row["step"] == step)
    ended = attempts[-1]["finished_at"] is not None
    return ended and attempts[-1]["outcome"] != "withdrawn" and attempts[-1]["code"] != LOST


def shown(path: Path) -> str:
    """Short, where it can be: as seen from the folder the demo is started in."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def check_built() -> None:
    needed = [TASKER, PYTHON, *(Path(part) for system in SYSTEMS for part in system.command[:1] if "/" in str(part)), HERE / "node_payments/dist/worker.js"]
    missing = [path for path in needed if not path.exists()]
    if missing:
        raise Failed(f"{missing[0]} does not exist. `make demo` builds everything and then runs this.")


@contextmanager
def alone() -> Iterator[None]:
    """Two demos at once would throw away each other's data."""
    STATE.parent.mkdir(parents=True, exist_ok=True)
    with STATE.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another demo is running on {STATE}. Stop it, or choose another place: make demo DEMO_STATE=DIR") from None
        shutil.rmtree(STATE, ignore_errors=True)
        yield


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP leave by the same door as Ctrl-C, so that the children are always stopped."""

    def leave(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    yield


def main() -> int:
    screen = Screen()
    try:
        check_built()
        with signals_as_exceptions(), alone(), Processes(STATE / "logs") as processes:
            code = Demo(screen, processes).run()
            if KEEP:
                screen.title("Everything keeps running; Ctrl-C stops it")
                signal.pause()
            return code
    except KeyboardInterrupt:
        screen.say("\n  stopped")
        return 0 if KEEP else 130
    except (Failed, Refused, OSError) as problem:
        screen.say(screen.paint(f"\n  The demo failed: {problem}", "red"))
        screen.say(f"  Logs are in {shown(STATE)}/logs.")
        return 1


if __name__ == "__main__":
    sys.exit(main())
