"""What the README tells people to type is typed here: its manifest, its three workers, its commands."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver.client import Tasker
from driver.processes import Process, Processes, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
PAYMENTS = ROOT / "demo/node_payments"
#: Nothing here takes this long unless it is broken.
WAIT = 20.0


def block(language: str) -> str:
    """The README's only code block in this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks of {language}"
    return str(found[0])


class House:
    """`tasker dev` on free ports, with data that is thrown away."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes, self._folder = processes, folder
        http_port, self._nats_port = free_port(0), free_port(0)
        self.tasker = Tasker(http_port)
        ports = ["--http-port", str(http_port), "--nats-port", str(self._nats_port)]
        coordinator = processes.start("coordinator", [BINARIES / "tasker", "dev", *ports], cwd=folder)
        until(self.tasker.ready, coordinator)

    def start_worker(self, command: list[str | Path], cwd: Path) -> None:
        env = {"TASKER_NATS_URL": f"nats://127.0.0.1:{self._nats_port}"}
        worker = self._processes.start("worker", command, cwd=cwd, env=env)
        until(lambda: bool(self.tasker.get("/v1/workers")["items"]), worker)

    def type(self, command: str) -> str:
        """Runs a line of the README as a shell would, with `tasker` in PATH."""
        env = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "TASKER_SERVER": self.tasker.url}
        done = subprocess.run(command, shell=True, cwd=self._folder, env=env, capture_output=True, text=True, timeout=WAIT)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def until(holds: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + WAIT
    while not holds():
        assert process.alive and time.monotonic() < deadline, process.log_tail()
        time.sleep(0.02)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Processes(tmp_path / "logs") as processes:
        yield House(processes, tmp_path)


def greeted(house: House, folder: Path) -> None:
    """Types the README's commands and expects what they promise."""
    (folder / "greeting.yaml").write_text(block("yaml"))
    commands = [line for line in README.splitlines() if re.match(r"tasker (workflow apply|task submit) ", line)]
    assert len(commands) == 2
    assert "Hello, Ada" in [house.type(command) for command in commands][-1]


def test_the_python_worker_greets(house: House, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(block("python"))
    house.start_worker([ROOT / ".venv/bin/python", "greeter.py"], tmp_path)
    greeted(house, tmp_path)


def test_the_typescript_worker_greets(house: House, tmp_path: Path) -> None:
    # Inside the demo's package, so that its imports are found.
    made = PAYMENTS / "dist/readme"
    made.mkdir(parents=True, exist_ok=True)
    (made / "greeter.ts").write_text(block("ts"))
    options = ["--module", "NodeNext", "--target", "ES2022", "--strict", "--skipLibCheck", "--types", "node"]
    compiled = subprocess.run(["npx", "--no-install", "tsc", *options, "dist/readme/greeter.ts"], cwd=PAYMENTS, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stdout
    house.start_worker(["node", "dist/readme/greeter.js"], PAYMENTS)
    greeted(house, tmp_path)


def test_the_rust_worker_greets(house: House, tmp_path: Path) -> None:
    example = (ROOT / "demo/rails_app/examples/greeter.rs").read_text()
    assert block("rust") == f"// greeter.rs\n{example}", "the README and examples/greeter.rs differ"
    house.start_worker([BINARIES / "examples/greeter"], tmp_path)
    greeted(house, tmp_path)
