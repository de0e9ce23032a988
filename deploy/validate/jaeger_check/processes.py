"""Starts the processes of a run, waits for them, and always stops them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaeger_check.problem import Problem
from jaeger_check.web import until

#: A worker drains and sends its last spans, the coordinator the same; then they are killed.
STOP_SECONDS = 10.0
LOG_TAIL_LINES = 12
LOG_BYTES_MAX = 1024 * 1024


@dataclass
class Process:
    """One child process and the file with everything it prints."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def printed(self) -> str:
        with self.log.open("rb") as log:
            return log.read(LOG_BYTES_MAX).decode(errors="replace")

    def must_live(self) -> None:
        """Raises `Problem` (`process.ended`) with its last words if it is gone."""
        status = self.popen.poll()
        if status is not None:
            last = "\n".join(self.printed().splitlines()[-LOG_TAIL_LINES:])
            raise Problem("process.ended", f"{self.name} ended with status {status}; it printed last:\n{last}", f"the whole log is {self.log}")

    def waits_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """Waits until it has printed something that matches. Raises `Problem` if it ends before, or the time is over."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.printed())
            if found is None:
                self.must_live()
            return found

        found = until(seconds, look)
        if found is None:
            raise Problem("process.not_ready", f"{self.name} was not ready after {seconds:g} s", f"its log is {self.log}; a busy machine may need --wait SECONDS")
        return found


class Processes:
    """All children of a run; leaving the `with` block stops them, the youngest first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Process] = []

    def __enter__(self) -> Processes:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._children):
            _stop(process)

    def start(self, name: str, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Process:
        """Starts `command` with exactly the environment `env`; its log begins anew."""
        log = self._logs / f"{name}.log"
        try:
            with log.open("wb") as output:
                popen = subprocess.Popen(
                    [*_die_with_us(), *map(str, command)],
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for this program, which tells its children in their order.
                    start_new_session=True,
                )
        except OSError as error:
            raise Problem("process.not_started", f"{name} could not be started: {error}", f"the command was: {' '.join(map(str, command))}") from error
        process = Process(name, popen, log)
        self._children.append(process)
        return process

    def must_live(self) -> None:
        for process in self._children:
            process.must_live()


def _stop(process: Process) -> None:
    if process.popen.poll() is None:
        process.popen.send_signal(signal.SIGTERM)
        try:
            process.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()


def _die_with_us() -> list[str]:
    """Lets the kernel kill a child if this program is itself killed with -9; Linux has a command for it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
