"""Runs the Prometheus of the distribution on a free port of this machine, with our alerts, for as long as the run lasts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from jaeger_check.problem import Problem
from jaeger_check.processes import Processes
from jaeger_check.web import until
from prometheus_check.prometheus_api import Prometheus
from prometheus_check.repository import ALERTS

#: Often, so that a run takes seconds; what is checked does not depend on it.
INTERVAL = "1s"
START_SECONDS = 60.0


def binary(given: Path | None) -> Path:
    """The executable. Raises `Problem` (`own_prometheus.not_installed`)."""
    found = given or (Path(path) if (path := shutil.which("prometheus")) else None)
    if found is None or not found.exists():
        hint = "apt-get install prometheus (its service need not run), or give --prometheus FILE, or --prometheus-url URL of one that runs elsewhere"
        raise Problem("own_prometheus.not_installed", f"there is no {given or '`prometheus` in PATH'}", hint)
    return found


def start(processes: Processes, executable: Path, directory: Path, scraped: str) -> Prometheus:
    """Starts it and waits until it answers. Its rules are those of the repository, word for word."""
    configuration = directory / "prometheus.yaml"
    configuration.write_text(_configuration(scraped.removeprefix("http://")))
    _accepted(executable, configuration)
    port = _free_port()
    command = (
        executable,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    process = processes.start("prometheus", command, cwd=directory, env=os.environ)
    own = Prometheus(f"http://127.0.0.1:{port}")

    def look() -> str | None:
        process.must_live()
        try:
            return own.version()
        except Problem:
            return None

    if until(START_SECONDS, look) is None:
        raise Problem("process.not_ready", f"Prometheus did not answer at {own.url} within {START_SECONDS:g} s", f"its log is {process.log}")
    return own


def _configuration(target: str) -> str:
    return f"""global: {{ scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL} }}
rule_files: ["{ALERTS}"]
scrape_configs:
  - job_name: tasker
    static_configs: [{{ targets: ["{target}"] }}]
"""


def _accepted(executable: Path, configuration: Path) -> None:
    """Asks promtool, if it stands beside it, for words that are better than those of a server that does not start."""
    promtool = executable.resolve().parent / "promtool"
    if not promtool.exists():
        return
    done = subprocess.run((promtool, "check", "config", configuration), capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Problem("alert.broken", f"promtool refuses the configuration or the rules:\n{done.stdout}{done.stderr}", f"correct {ALERTS}")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
