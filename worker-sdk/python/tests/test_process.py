"""Workers as processes: signals, exit codes, the runner, JSON logs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conftest import WAIT, Coordinator, Server

from tasker_worker._proto import worker_pb2 as pb

ROOT = Path(__file__).resolve().parent.parent


@asynccontextmanager
async def process(server: Server, *arguments: str, system: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TASKER_NATS_URL": server.url, "TASKER_SYSTEM": system, **environment},
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@asynccontextmanager
async def coordinator_of(server: Server) -> AsyncIterator[Coordinator]:
    played = Coordinator(server.url, f"p{secrets.token_hex(6)}")
    await played.start()
    yield played
    await played.stop()


async def _log_lines(worker: asyncio.subprocess.Process) -> list[dict[str, object]]:
    assert worker.stderr is not None
    text = await asyncio.wait_for(worker.stderr.read(), WAIT)
    return [json.loads(line) for line in text.decode().splitlines()]


async def test_sigterm_drains_a_worker_process_and_it_exits_with_zero(shared_server: Server) -> None:
    async with coordinator_of(shared_server) as coordinator:
        async with process(shared_server, "conformance_worker.py", system=coordinator.system) as worker:
            await coordinator.welcomed()
            request = await coordinator.ask("conformance.sleep", b'{"ms":300}')
            await coordinator.until(lambda: any(beat.held for beat in coordinator.beats))
            worker.send_signal(signal.SIGTERM)
            reply = await coordinator.answer(request)
            assert json.loads(reply.success.result)["slept_ms"] >= 300
            assert await asyncio.wait_for(worker.wait(), WAIT) == 0
            await coordinator.until(lambda: coordinator.beats[-1].state == pb.SESSION_STATE_LEFT)
            lines = await _log_lines(worker)
            assert {"timestamp", "level", "message"} <= lines[0].keys()
            assert [line["message"] for line in lines][-1] == "left"


async def test_a_second_signal_ends_the_process_at_once(shared_server: Server) -> None:
    async with coordinator_of(shared_server) as coordinator:
        async with process(shared_server, "conformance_worker.py", system=coordinator.system) as worker:
            await coordinator.welcomed()
            await coordinator.ask("conformance.sleep", b'{"ms":60000}')
            await coordinator.until(lambda: any(beat.held for beat in coordinator.beats))
            worker.send_signal(signal.SIGINT)
            await coordinator.until(lambda: coordinator.beats[-1].state == pb.SESSION_STATE_DRAINING)
            worker.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(worker.wait(), WAIT) == -signal.SIGINT


async def test_a_stubborn_blocking_handler_does_not_keep_a_drained_process_alive(shared_server: Server, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import time\n"
        "from tasker_worker import Worker, step\n"
        "@step('t.stubborn')\n"
        "def stubborn(inp: dict) -> None:\n"
        "    time.sleep(3600)\n"
        "import os\n"
        "Worker(os.environ['TASKER_SYSTEM'], [stubborn], drain_timeout=0.05).run()\n"
    )
    async with coordinator_of(shared_server) as coordinator:
        async with process(shared_server, str(tmp_path / "stubborn.py"), system=coordinator.system) as worker:
            await coordinator.welcomed()
            request = await coordinator.ask("t.stubborn")
            await coordinator.until(lambda: any(beat.held for beat in coordinator.beats))
            worker.send_signal(signal.SIGTERM)
            assert (await coordinator.answer(request)).failure.kind == pb.FAILURE_KIND_CANCELLED
            assert await asyncio.wait_for(worker.wait(), WAIT) == 0


async def test_a_refused_process_says_why_and_exits_with_one(shared_server: Server) -> None:
    async with coordinator_of(shared_server) as coordinator:
        coordinator.refuse = pb.Refused(code="contract.incompatible", message="the result lost a field")
        async with process(shared_server, "conformance_worker.py", system=coordinator.system) as worker:
            assert await asyncio.wait_for(worker.wait(), WAIT) == 1
            last = (await _log_lines(worker))[-1]
            assert (last["code"], last["reason"]) == ("contract.incompatible", "the result lost a field")


async def test_without_a_coordinator_the_log_says_so(shared_server: Server) -> None:
    async with process(shared_server, "conformance_worker.py", system="lonely") as worker:
        assert worker.stderr is not None
        while True:
            line = json.loads(await asyncio.wait_for(worker.stderr.readline(), WAIT))
            if "no coordinator is listening" in line["message"]:
                assert (line["level"], line["namespace"]) == ("warn", "default")
                return


async def test_the_runner_serves_the_steps_of_a_module_with_correlated_logs(shared_server: Server) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with coordinator_of(shared_server) as coordinator:
        arguments = ["-m", "tasker_worker", "conformance_worker:STEPS", "--system", coordinator.system, "--slots", "2"]
        async with process(shared_server, *arguments, system="ignored") as worker:
            await coordinator.welcomed()
            assert coordinator.hellos[0].slots == 2
            await coordinator.run("conformance.log", b'{"text":"hello there"}', traceparent=f"00-{trace_id}-{span_id}-01")
            worker.send_signal(signal.SIGTERM)
            await asyncio.wait_for(worker.wait(), WAIT)
            line = next(line for line in await _log_lines(worker) if line["message"] == "hello there")
            assert (line["level"], line["task_id"], line["step"], line["attempt"]) == ("info", "task-1", "one", 1)
            assert (line["trace_id"], line["span_id"]) == (trace_id, span_id)


async def test_the_runner_names_what_it_could_not_find(shared_server: Server) -> None:
    for arguments, words in (
        (["absent_module", "--system", "x"], b"no module `absent_module`"),
        (["conformance_worker:absent", "--system", "x"], b"has no `absent`"),
        (["conformance_worker:STEPS"], b"--system"),
    ):
        async with process(shared_server, "-m", "tasker_worker", *arguments, system="x") as worker:
            assert await asyncio.wait_for(worker.wait(), WAIT) == 2
            assert worker.stderr is not None
            assert words in await worker.stderr.read()
