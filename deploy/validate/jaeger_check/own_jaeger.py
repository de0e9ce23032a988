"""A Jaeger of our own, for machines without one and without Docker: built from Jaeger's Go module, run in memory.

The module's own go.mod and go.sum decide every version, because the command is built inside the module, where it lies in the module
cache. Only the Go module proxy is asked. The pages are a placeholder: they are built elsewhere and are not part of the module; the query API,
the receiver and the storage are what every Jaeger runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaeger_check.jaeger_api import Jaeger
from jaeger_check.problem import Problem
from jaeger_check.processes import Process, Processes
from jaeger_check.web import until

MODULE = "github.com/jaegertracing/jaeger"
#: The last version whose tag Go accepts for this module path; from the same commit as `RELEASE`, which cannot be named to Go
#: because a major version 2 would need a module path that ends in /v2.
MODULE_VERSION = "v1.76.0"
RELEASE = "v2.13.0"
#: What the module's files must add up to, as go.sum would say it: another content under this version is refused.
MODULE_SUM = "h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g="
PACKAGE = "./cmd/jaeger"

#: Two packages at a time and low priority: building takes 6 minutes of two processors, which others may need too.
BUILD_JOBS = 2
BUILD_SECONDS_MAX = 3600
DOWNLOAD_SECONDS_MAX = 900
START_SECONDS = 60.0
#: Traces that are kept in memory; a run makes two.
TRACES_MAX = 10_000


@dataclass(frozen=True)
class OwnJaeger:
    process: Process
    query: str
    otlp: str


def binary(cache: Path) -> Path:
    """The binary in `cache`, built if it is not there. A second run at the same time waits for the first.

    Raises `Problem`: `own_jaeger.no_go`, `own_jaeger.not_downloaded`, `own_jaeger.not_built`.
    """
    built = cache / f"jaeger-{RELEASE}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return built


def start(processes: Processes, executable: Path, directory: Path) -> OwnJaeger:
    """Runs it on free ports of this machine only, and waits until it answers."""
    query, query_grpc, otlp = _free_ports(3)
    configuration = directory / "jaeger.yaml"
    configuration.write_text(_configuration(query, query_grpc, otlp))
    process = processes.start("jaeger", (executable, "--config", configuration), cwd=directory, env=os.environ)
    own = OwnJaeger(process, f"http://127.0.0.1:{query}", f"http://127.0.0.1:{otlp}")

    def look() -> bool | None:
        process.must_live()
        try:
            Jaeger(own.query).services()
        except Problem:
            return None
        return True

    if until(START_SECONDS, look) is None:
        raise Problem("process.not_ready", f"Jaeger did not answer at {own.query} within {START_SECONDS:g} s", f"its log is {process.log}")
    return own


def _build(built: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Problem("own_jaeger.no_go", "`go` is not in PATH, and Jaeger is built from its Go module", "install Go 1.25 or later, or run a Jaeger elsewhere and give --jaeger-query and --otlp")
    environment = {**os.environ, "GOPROXY": _proxies(go), "GOFLAGS": f"-p={BUILD_JOBS} -mod=readonly -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0"}
    print(f"  building Jaeger {RELEASE} once from its Go module ({MODULE}@{MODULE_VERSION}); this takes minutes", flush=True)
    module = _download(go, environment)
    with tempfile.TemporaryDirectory(prefix="build-", dir=built.parent) as scratch:
        made = Path(scratch) / built.name
        stamp = f"-s -w -X {MODULE}/internal/version.latestVersion={RELEASE}"
        command = (*_politely(), go, "build", "-trimpath", "-ldflags", stamp, "-o", str(made), PACKAGE)
        _go(command, module, environment, BUILD_SECONDS_MAX, "own_jaeger.not_built")
        # A build that is broken off leaves no half binary under the name that is looked for.
        made.replace(built)
    print(f"  built {built} ({built.stat().st_size // 1_000_000} MB, sha256 {_sha256(built)[:16]}…)", flush=True)


def _download(go: str, environment: dict[str, str]) -> Path:
    command = (go, "mod", "download", "-json", f"{MODULE}@{MODULE_VERSION}")
    with tempfile.TemporaryDirectory() as outside:
        # Outside any module, so that the question is about this version and nobody's go.mod is read.
        answer = json.loads(_go(command, Path(outside), environment, DOWNLOAD_SECONDS_MAX, "own_jaeger.not_downloaded"))
    if answer.get("Sum") != MODULE_SUM:
        raise Problem(
            "own_jaeger.not_downloaded",
            f"{MODULE}@{MODULE_VERSION} adds up to {answer.get('Sum')}, not to {MODULE_SUM}",
            "the module proxy serves other files than were reviewed; find out why before building them",
        )
    return Path(answer["Dir"])


def _go(command: Sequence[str], directory: Path, environment: dict[str, str], seconds: float, code: str) -> str:
    try:
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Problem(code, f"`{' '.join(command)}` took more than {seconds:g} s", "try again: what was compiled or downloaded is kept") from error
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-20:])
        raise Problem(code, f"`{' '.join(command)}` ended with status {done.returncode}:\n{last}", "try again if the proxy did not answer; what was compiled or downloaded is kept")
    return done.stdout


def _proxies(go: str) -> str:
    """Go's own setting without `direct`, so that only proxies are asked and no source repository."""
    setting = subprocess.run((go, "env", "GOPROXY"), capture_output=True, text=True, check=True).stdout.strip()
    kept = [one for one in setting.replace("|", ",").split(",") if one not in ("", "direct")]
    if not kept:
        raise Problem("own_jaeger.not_downloaded", f"GOPROXY is `{setting}`, which names no proxy", "set GOPROXY to a Go module proxy")
    return ",".join(kept)


def _politely() -> tuple[str, ...]:
    nice = shutil.which("nice")
    return (nice, "-n", "10") if nice else ()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses now. Held together while they are chosen, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def _configuration(query: int, query_grpc: int, otlp: int) -> str:
    """Receives OTLP over HTTP, keeps traces in memory, answers queries; written as JSON, which is YAML too."""
    address = "127.0.0.1:{}".format
    return json.dumps(
        {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "info"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": TRACES_MAX}}}},
                "jaeger_query": {
                    "storage": {"traces": "memory"},
                    "http": {"endpoint": address(query)},
                    "grpc": {"endpoint": address(query_grpc)},
                    # Otherwise it sends spans about itself to port 4317 of this machine, where somebody else's Jaeger may be.
                    "enable_tracing": False,
                },
            },
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": address(otlp)}}}},
            "processors": {"batch": {}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        },
        indent=2,
    )
