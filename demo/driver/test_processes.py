"""The demo leaves nothing behind, whatever its children do."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from driver.processes import Process, Processes, free_port

#: Nothing here takes this long unless it is broken.
WAIT = 10.0


def python(processes: Processes, name: str, code: str, at: Path) -> Process:
    """Starts `code` and waits until it has printed something."""
    process = processes.start(name, [sys.executable, "-uc", code], cwd=at)
    deadline = time.monotonic() + WAIT
    while not process.log.read_text():
        assert process.alive and time.monotonic() < deadline, f"{name} said nothing"
        time.sleep(0.01)
    return process


def test_children_are_told_in_their_order_and_all_are_gone(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(print('told')));  print('up'); signal.pause()"
    with Processes(tmp_path) as processes:
        children = [python(processes, name, code, tmp_path) for name in ("coordinator", "worker")]
    assert [child.popen.returncode for child in children] == [0, 0]
    assert all("told" in child.log_tail() for child in children)


def test_a_failing_demo_stops_its_children_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Processes(tmp_path) as processes:
        child = python(processes, "worker", "print('up'); import signal; signal.pause()", tmp_path)
        _ = 1 / 0
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_that_will_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.processes.STOP_SECONDS", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"
    with Processes(tmp_path) as processes:
        child = python(processes, "worker", code, tmp_path)
    assert child.popen.returncode == -9


def test_a_taken_port_is_left_alone() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken
