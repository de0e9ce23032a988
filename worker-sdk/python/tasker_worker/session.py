"""One session: what a worker holds, what it hears and what it says.

All state is changed on the event loop, in callbacks that do not wait; the one
task that waits is the publisher. How a session ends is in ``drain.py``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from . import version
from ._proto import worker_pb2 as pb
from .attempt import Attempt, Outcome, Shop, StopReason, build_reply, run_async, run_sync
from .batch import batches
from .errors import CODE_TIMEOUT, CODE_UNKNOWN, Cancelled, Permanent, RefusedError, Retryable
from .held import Admission, Entry, Held
from .limits import (
    ENVELOPE_BYTES,
    HEARTBEAT_UNTIL_TOLD,
    HELLO_WAIT_FIRST,
    HELLO_WAIT_MAX,
    PERIOD_MIN,
    RESEND_UNTIL_TOLD,
)
from .link import Link
from .log import facts
from .pool import Pool
from .settings import Settings, Subjects, new_session
from .step import Step
from .telemetry import Telemetry

log = logging.getLogger("tasker_worker")

_TOKEN_BYTES = 16


class Session:
    """The state of one session. Made and used on one running event loop."""

    def __init__(self, settings: Settings, steps: Mapping[str, Step], system_version: str, telemetry: Telemetry) -> None:
        self.id = new_session()
        self.settings = settings
        self.subjects = Subjects(settings, self.id)
        self.held = Held(settings.slots)
        self.shop = Shop(telemetry)
        self.draining = False
        #: Set when the session is over: None after a drain, or why it cannot go on.
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Set by the coordinator's word; the worker starts the drain.
        self.on_drain: Callable[[str], None] = lambda reason: None
        #: Called when an attempt ends or is acknowledged, for whoever waits for that.
        self.on_change: Callable[[], None] = lambda: None
        for step in steps.values():
            if step.slot_cost is not None and step.slot_cost > settings.slots:
                problem = f"it takes {step.slot_cost} slots, and the worker has {settings.slots}"
                raise ConfigurationError(f"step `{step.capability}`", problem)
        self._steps = steps
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(self._loop, settings.slots)
        self.link = Link(settings.nats_urls, f"tasker-worker {settings.system}", self.subjects.to, self._receive, self._link_up)
        self._announcement = pb.Hello(
            session=self.id,
            system_version=system_version,
            capabilities=[step.announce() for step in steps.values()],
            slots=settings.slots,
            sdk=pb.Sdk(name="tasker-worker", version=version.VERSION, language="python"),
            host=platform.node(),
            process_id=os.getpid(),
            labels=settings.labels,
            counts_slot_costs=True,
        )
        self._heartbeat = HEARTBEAT_UNTIL_TOLD
        self._resend = RESEND_UNTIL_TOLD
        self._hello_wait = HELLO_WAIT_FIRST
        self._hello_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._resend_timer: asyncio.TimerHandle | None = None
        # What the publisher sends next. Messages with credit are written at the
        # last moment, so that several reasons to send one make one.
        self._wake = asyncio.Event()
        self._say_hello = self._say_poll = self._say_beat = False
        #: A Welcome is answered with a poll even if replies could carry the credit.
        self._must_poll = False
        self._ready: list[Entry] = []

    def start(self) -> list[asyncio.Task[None]]:
        """Starts the tasks of the session; they end when they are cancelled."""
        tasks = [self._loop.create_task(self.link.run()), self._loop.create_task(self._publish())]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        return tasks

    def stop(self) -> None:
        """Stops the clocks and lets idle threads end."""
        for timer in (self._hello_timer, self._beat_timer, self._resend_timer):
            if timer is not None:
                timer.cancel()
        self._pool.close()

    # What arrives.

    def _link_up(self) -> None:
        self._hello_wait = HELLO_WAIT_FIRST
        self._hello()

    async def _receive(self, message: Msg) -> None:
        headers = message.headers
        if headers and headers.get("Status") == "503":
            log.warning(
                "no coordinator is listening; is it running, and in this namespace? trying again",
                extra=facts(namespace=self.settings.namespace),
            )
            return
        try:
            envelope = pb.ToWorker.FromString(message.data)
        except DecodeError:
            log.warning("ignored a message that is not a ToWorker", extra=facts(bytes=len(message.data)))
            return
        if envelope.session != self.id:
            log.warning("ignored a message for another session")
            return
        received = time.monotonic()
        for directive in envelope.directives:
            kind = directive.WhichOneof("directive")
            if kind == "step_request":
                self._step_requested(directive.step_request, received)
            elif kind == "reply_acknowledged":
                self._acknowledged(directive.reply_acknowledged)
            elif kind == "cancel_attempt":
                self._cancel(directive.cancel_attempt)
            elif kind == "welcome":
                self._welcomed(directive.welcome)
            elif kind == "rejoin":
                self._rejoin()
            elif kind == "refused":
                self._refused(directive.refused)
            elif kind == "drain":
                self.on_drain(directive.drain.reason)
            # Anything else: a newer coordinator may say more than we understand.

    def _welcomed(self, welcome: pb.Welcome) -> None:
        log.info(
            "welcomed",
            extra=facts(
                coordinator=welcome.coordinator, session=self.id, system=self.settings.system, slots=self.settings.slots
            ),
        )
        self._heartbeat = max(welcome.heartbeat_ms / 1000, PERIOD_MIN)
        self._resend = max(welcome.reply_resend_ms / 1000, PERIOD_MIN)
        room = max(0, self.link.message_bytes_max - ENVELOPE_BYTES)
        self.shop.payload_bytes_max = min(welcome.payload_bytes_max, room)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None
        self._hello_wait = HELLO_WAIT_FIRST
        self.held.welcomed()
        self._must_poll = self._say_poll = True
        if self.draining:
            # A coordinator that has only just met us must know at once that we are going.
            self._say_beat = True
        now = time.monotonic()
        for entry in self.held.replies():
            entry.wait = self._resend
            entry.due = now + self._resend
            self._queue(entry)
        self._arm_beat()
        self._arm_resend()
        self._wake.set()

    def _rejoin(self) -> None:
        # While a hello is unanswered its own repeat does this; several Rejoins would only multiply it.
        if self._hello_timer is None:
            log.info("the coordinator does not know this session; joining again")
            self._hello_wait = HELLO_WAIT_FIRST
            self._hello()

    def _refused(self, refused: pb.Refused) -> None:
        if refused.retryable:
            log.warning("refused for now; asking again", extra=facts(code=refused.code, reason=refused.message))
        elif not self.over.done():
            self.over.set_exception(RefusedError(refused.code, refused.message))

    def _step_requested(self, request: pb.StepRequest, received: float) -> None:
        held = self.held
        held.received(request.sequence)
        if len(request.token) != _TOKEN_BYTES:
            log.warning(
                "ignored a step request whose token has not 16 bytes",
                extra=facts(task_id=request.task_id, step=request.step_name),
            )
            return
        if self.draining and request.token not in held.entries:
            # Beats that do not list it tell the coordinator to give it to another.
            return
        admission, entry = held.admit(Attempt(request, self._steps.get(request.capability), received))
        if admission is Admission.FULL or entry is None:
            log.warning("not taken: too many replies are unacknowledged; the coordinator will ask again")
            return
        if admission is Admission.ANSWERED:
            self._queue(entry)
            self._wake.set()
        elif admission is Admission.HELD:
            # The coordinator counted the repeat against our slots; no reply of it will correct that.
            self._say_poll = True
            self._wake.set()
        elif entry.attempt.step is None:
            problem = f"this worker of system `{self.settings.system}` has no capability `{request.capability}`"
            # It never needed the slot, and nobody can wait for one that was free.
            held.release(entry)
            self.answer(entry, Permanent(CODE_UNKNOWN, problem))
        else:
            deadline = entry.attempt.deadline
            if deadline is not None:
                entry.attempt.timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._timed_out, entry)
            if admission is Admission.START:
                self._start(entry)

    def _acknowledged(self, acknowledged: pb.ReplyAcknowledged) -> None:
        was_full = self.held.is_full_of_replies
        if self.held.acknowledge(acknowledged.token) is None:
            return
        if was_full:
            self._say_poll = True
            self._wake.set()
        disposition = acknowledged.disposition
        if disposition in (pb.REPLY_DISPOSITION_REFUSED, pb.REPLY_DISPOSITION_CONFLICTING, pb.REPLY_DISPOSITION_STALE):
            about = facts(
                task_id=acknowledged.task_id,
                step=acknowledged.step_name,
                attempt=acknowledged.attempt,
                code=acknowledged.code,
                reason=acknowledged.message,
            )
            if disposition == pb.REPLY_DISPOSITION_STALE:
                log.info("the attempt was over before its reply arrived", extra=about)
            else:
                log.error("the coordinator did not take this reply", extra=about)
        self.on_change()

    def _cancel(self, cancel: pb.CancelAttempt) -> None:
        entry = self.held.entries.get(cancel.token)
        if entry is None or entry.reply is not None:
            return
        log.info(
            "cancelling an attempt",
            extra=facts(task_id=cancel.task_id, step=cancel.step_name, attempt=cancel.attempt, reason=cancel.reason),
        )
        self.stop_attempt(entry, StopReason.CANCELLED)

    # Attempts.

    def stop_attempt(self, entry: Entry, reason: StopReason) -> None:
        """Tells a running handler to stop, or answers for one that has no slot yet."""
        if entry.attempt.stop(reason) and not entry.running:
            if reason is StopReason.TIMEOUT:
                problem = f"the attempt waited for a slot of this worker for {entry.attempt.request.timeout_ms} ms, the step's timeout"
                self.answer(entry, Retryable(problem, code=CODE_TIMEOUT))
            else:
                self.answer(entry, Cancelled())
            # It may have held up smaller ones behind it.
            for waited in list(self.held.following()):
                self._start(waited)

    def answer(self, entry: Entry, outcome: Outcome) -> None:
        """Keeps the reply of an attempt and has it published; the first one counts."""
        attempt = entry.attempt
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        reply = build_reply(attempt, outcome, self.shop.payload_bytes_max)
        if self.held.answer(entry, reply, time.monotonic(), self._resend):
            self._queue(entry)
            if self._resend_timer is None:
                self._arm_resend()
        else:
            # It was answered for while it ran: its slot comes free without a reply to say so.
            self._say_poll = True
        self._wake.set()

    def _start(self, entry: Entry) -> None:
        attempt = entry.attempt
        if attempt.step is not None and attempt.step.is_async:
            attempt.task = self._loop.create_task(self._drive(entry))
        else:
            self._pool.submit(lambda: run_sync(attempt, self.shop), lambda outcome: self._ended(entry, outcome))

    async def _drive(self, entry: Entry) -> None:
        outcome = await run_async(entry.attempt, self.shop)
        self._ended(entry, outcome)

    def _ended(self, entry: Entry, outcome: Outcome) -> None:
        # The slot first, so that the credit beside the reply counts it.
        self.held.release(entry)
        following = list(self.held.following())
        self.answer(entry, outcome)
        entry.attempt.task = None
        for waited in following:
            self._start(waited)
        self.on_change()

    def _timed_out(self, entry: Entry) -> None:
        self.stop_attempt(entry, StopReason.TIMEOUT)

    # What is said.

    def _hello(self) -> None:
        self._say_hello = True
        self._wake.set()
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._hello_timer = self._loop.call_later(self._hello_wait, self._hello_again)

    def _hello_again(self) -> None:
        self._hello_wait = min(self._hello_wait * 2, HELLO_WAIT_MAX)
        self._hello()

    def beat(self) -> None:
        """Beats now, and then in the coordinator's period."""
        self._say_beat = True
        self._wake.set()
        self._arm_beat()

    def _arm_beat(self) -> None:
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self._beat_timer = self._loop.call_later(self._heartbeat, self.beat)

    def _arm_resend(self) -> None:
        """Replies are looked through a few times per period, and only while there are any."""
        if self._resend_timer is not None:
            self._resend_timer.cancel()
            self._resend_timer = None
        if self.held.unacknowledged:
            self._resend_timer = self._loop.call_later(max(self._resend / 4, PERIOD_MIN), self._resend_due)

    def _resend_due(self) -> None:
        self._resend_timer = None
        for entry in self.held.due(time.monotonic()):
            self._queue(entry)
        self._wake.set()
        self._arm_resend()

    def _queue(self, entry: Entry) -> None:
        if not entry.queued:
            entry.queued = True
            self._ready.append(entry)

    async def _publish(self) -> None:
        """Sends whatever is ready whenever something is: one wake-up serves all that ended in a turn of the loop."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._say_hello:
                self._say_hello = False
                hello = pb.Hello()
                hello.CopyFrom(self._announcement)
                await self.link.publish(self.subjects.hello, self._with_held(hello), self.subjects.to)
            if self._ready:
                ready, self._ready = self._ready, []
                for entry in ready:
                    entry.queued = False
                replies = [(entry.attempt.request.shard, entry.reply) for entry in ready if entry.reply is not None]
                for shard, payload in batches(self.id, replies, self.held.credit(self.draining)):
                    await self.link.publish(self.subjects.reply(shard), payload)
                # The replies carried the credit.
                self._say_poll = self._must_poll
            if self._say_poll:
                self._say_poll = self._must_poll = False
                poll = pb.Poll(session=self.id, credit=self.held.credit(self.draining))
                await self.link.publish(self.subjects.poll, poll.SerializeToString())
            if self._say_beat:
                self._say_beat = False
                await self._send_beat(pb.SESSION_STATE_DRAINING if self.draining else pb.SESSION_STATE_ACTIVE)

    async def leave(self) -> None:
        """The last word of a session."""
        await self._send_beat(pb.SESSION_STATE_LEFT)
        await self.link.close()

    async def _send_beat(self, state: pb.SessionState) -> None:
        beat = pb.Beat(session=self.id, credit=self.held.credit(self.draining), state=state)
        await self.link.publish(self.subjects.beat, self._with_held(beat))

    def _with_held(self, message: pb.Hello | pb.Beat) -> bytes:
        """Encodes with everything held; without progress, then with as many as fit, if the server takes no more.

        The coordinator sends what it misses again, and this worker knows the token.
        """
        held = self.held.list(True)
        message.held.extend(held)
        bytes_max = self.link.message_bytes_max
        if message.ByteSize() > bytes_max:
            held = self.held.list(False)
            del message.held[:]
            message.held.extend(held)
        while message.ByteSize() > bytes_max and held:
            held = held[: len(held) // 2]
            del message.held[:]
            message.held.extend(held)
            log.warning("a message cannot list everything held; the server's max_payload is too small", extra=facts(listed=len(held)))
        return message.SerializeToString()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self.over.done():
            error = task.exception()
            self.over.set_exception(error if error is not None else RuntimeError("a task of the session ended by itself"))
