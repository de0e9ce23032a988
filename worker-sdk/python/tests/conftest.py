"""A real nats-server on a free port, and a coordinator small enough to read."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import pytest

from tasker_worker import Worker
from tasker_worker._proto import worker_pb2 as pb

#: Nothing here takes this long unless it is broken.
WAIT = 10.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A nats-server process that can be killed and started again on its port."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        self._process = subprocess.Popen(
            [str(binary), "-a", "127.0.0.1", "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """For tests that kill it."""
    server = Server()
    server.start()
    yield server
    server.kill()


@dataclass
class Coordinator:
    """Plays the coordinator for one system and keeps everything it hears, in order."""

    url: str
    system: str
    acknowledge: bool = True
    welcome: pb.Welcome = field(
        default_factory=lambda: pb.Welcome(
            heartbeat_ms=100, lease_ms=2000, payload_bytes_max=100_000, reply_resend_ms=100, coordinator="test"
        )
    )
    refuse: pb.Refused | None = None
    answer_hello: bool = True

    def __post_init__(self) -> None:
        self.hellos: list[pb.Hello] = []
        self.hello_replies: list[str] = []
        self.polls: list[pb.Poll] = []
        self.beats: list[pb.Beat] = []
        self.batches: list[pb.ReplyBatch] = []
        self.reply_subjects: list[str] = []
        self.replies: list[pb.StepReply] = []
        self.order: list[str] = []
        self.session = ""
        self.sequence = 0
        self._changed = asyncio.Event()

    @property
    def base(self) -> str:
        return f"tasker.v1.default.{self.system}"

    async def start(self) -> None:
        self.nc = await nats.connect(self.url)
        for name, handler in (("hello", self._hello), ("poll", self._poll), ("beat", self._beat), ("reply.*", self._reply)):
            await self.nc.subscribe(f"{self.base}.{name}", cb=handler)
        await self.nc.flush()

    async def stop(self) -> None:
        await self.nc.close()

    def _note(self, what: str) -> None:
        self.order.append(what)
        self._changed.set()

    async def _hello(self, message: Any) -> None:
        hello = pb.Hello.FromString(message.data)
        self.hellos.append(hello)
        self.hello_replies.append(message.reply)
        self.session = hello.session
        if self.refuse is not None:
            await self.send(refused=self.refuse)
        elif self.answer_hello:
            self.sequence = 0
            await self.send(welcome=self.welcome)
        self._note("hello")

    async def _poll(self, message: Any) -> None:
        self.polls.append(pb.Poll.FromString(message.data))
        self._note("poll")

    async def _beat(self, message: Any) -> None:
        self.beats.append(pb.Beat.FromString(message.data))
        self._note("beat")

    async def _reply(self, message: Any) -> None:
        batch = pb.ReplyBatch.FromString(message.data)
        self.batches.append(batch)
        self.reply_subjects.append(message.subject)
        for reply in batch.replies:
            self.replies.append(reply)
            if self.acknowledge:
                await self.ack(reply)
        self._note("reply")

    async def send(self, **directive: Any) -> None:
        await self.send_all([pb.Directive(**directive)])

    async def send_all(self, directives: list[pb.Directive]) -> None:
        envelope = pb.ToWorker(session=self.session, directives=directives)
        await self.nc.publish(f"{self.base}.to.{self.session}", envelope.SerializeToString())

    async def ack(self, reply: pb.StepReply, disposition: int = pb.REPLY_DISPOSITION_RECORDED, **more: Any) -> None:
        await self.send(reply_acknowledged=acknowledgement(reply, disposition, **more))

    def request(self, capability: str, input: bytes = b"{}", **fields: Any) -> pb.StepRequest:
        self.sequence += 1
        values: dict[str, Any] = {
            "sequence": self.sequence,
            "task_id": "task-1",
            "step_name": "one",
            "attempt": 1,
            "token": secrets.token_bytes(16),
            "capability": capability,
            "input": input,
            "dependencies": b"{}",
            "idempotency_key": "task-1/one",
            "shard": 3,
            "workflow_name": "order",
            "workflow_version": "1",
            "attempts_max": 5,
            **fields,
        }
        return pb.StepRequest(**values)

    async def ask(self, capability: str, input: bytes = b"{}", **fields: Any) -> pb.StepRequest:
        """Sends one step request."""
        request = self.request(capability, input, **fields)
        await self.send(step_request=request)
        return request

    async def answer(self, request: pb.StepRequest) -> pb.StepReply:
        """Waits for the reply to a request."""
        await self.until(lambda: self.replies_to(request))
        return self.replies_to(request)[0]

    def replies_to(self, request: pb.StepRequest) -> list[pb.StepReply]:
        return [reply for reply in self.replies if reply.token == request.token]

    async def run(self, capability: str, input: bytes = b"{}", **fields: Any) -> pb.StepReply:
        return await self.answer(await self.ask(capability, input, **fields))

    async def until(self, is_so: Callable[[], Any], timeout: float = WAIT) -> None:
        """Waits until what was heard makes a condition true."""
        end = time.monotonic() + timeout
        while not is_so():
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), end - time.monotonic())
            except asyncio.TimeoutError:
                raise AssertionError(f"not within {timeout} s; heard {self.order[-20:]}") from None

    async def welcomed(self) -> None:
        """Waits until the worker has granted its first credit."""
        await self.until(lambda: self.polls)


def acknowledgement(reply: pb.StepReply, disposition: int, **more: Any) -> pb.ReplyAcknowledged:
    return pb.ReplyAcknowledged(
        task_id=reply.task_id,
        step_name=reply.step_name,
        attempt=reply.attempt,
        token=reply.token,
        disposition=disposition,  # type: ignore[arg-type]
        **more,
    )


@dataclass
class Running:
    """A worker that serves in this loop, and the coordinator it talks to."""

    worker: Worker
    coordinator: Coordinator
    task: asyncio.Task[None]


@asynccontextmanager
async def running(url: str, steps: list[Any], *, welcomed: bool = True, coordinator: dict[str, Any] | None = None, **worker: Any) -> AsyncIterator[Running]:
    """Serves ``steps`` as a system of its own until the block ends."""
    system = f"s{secrets.token_hex(6)}"
    played = Coordinator(url, system, **(coordinator or {}))
    await played.start()
    made = Worker(system, steps, **{"nats_url": url, "drain_timeout": 5.0, **worker})
    task = asyncio.ensure_future(made.serve())
    try:
        if welcomed:
            await played.welcomed()
        yield Running(made, played, task)
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await played.stop()
