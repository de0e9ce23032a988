"""Starts, kills and always cleans up the processes of the demo."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: A worker drains for at most this long; nothing in the demo takes a second.
STOP_SECONDS = 5.0
LOG_TAIL_LINES = 15


@dataclass
class Process:
    """One child process and where its logs are."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """`kill -9`: it gets no chance to say anything."""
        self.popen.kill()
        self.popen.wait()

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


class Processes:
    """All children of the demo; leaving the `with` block stops every one of them."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Process] = []

    def __enter__(self) -> Processes:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self._children)

    def start(self, name: str, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Process:
        """Starts `command`; everything it prints goes to a log file of its own."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*_die_with_us(), *map(str, command)],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us; the children are told in their order.
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._children.append(process)
        return process

    def of(self, prefix: str) -> list[Process]:
        """Those alive whose name starts with `prefix`."""
        return [process for process in self._children if process.alive and process.name.startswith(prefix)]

    def stop(self, processes: Sequence[Process]) -> None:
        """SIGTERM to the youngest first, so that workers drain while the coordinator still listens; then SIGKILL."""
        youngest_first = [process for process in reversed(processes) if process.alive]
        workers, coordinator = youngest_first[:-1], youngest_first[-1:]
        for group in (workers, coordinator):
            for process in group:
                process.popen.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            for process in group:
                try:
                    process.popen.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()


def _die_with_us() -> list[str]:
    """Makes the kernel kill a child if this process is itself killed with -9; Linux has a program for it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def free_port(preferred: int) -> int:
    """`preferred` if nobody listens there, otherwise one the system chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no TCP port is free on 127.0.0.1")
