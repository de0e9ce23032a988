"""A worker driven over a real nats-server: joining, attempts, credit, leaving."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from conftest import WAIT, Coordinator, Server, acknowledgement, running

from tasker_worker import Cancelled, Context, Permanent, RefusedError, Retryable, Worker, step
from tasker_worker._proto import worker_pb2 as pb


@step("t.double", errors={"odd": None})
async def double(number: int) -> int:
    """Doubles an even number."""
    if number % 2:
        raise Permanent("odd", f"{number} is odd", {"number": number})
    return number * 2


@step("t.double_sync")
def double_sync(number: int) -> int:
    return number * 2


class Gate:
    """A handler that runs until the test lets it go, and counts its runs."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.runs = 0
        gate = self

        @step("t.gate")
        async def wait(inp: dict, ctx: Context) -> str:
            gate.runs += 1
            ctx.heartbeat({"run": gate.runs})
            await gate.open.wait()
            return "through"

        self.step = wait


async def test_hello_announces_contracts_slots_and_sdk_and_is_answered_on_the_workers_own_subject(shared_server: Server) -> None:
    async with running(shared_server.url, [double, double_sync], slots=3, version="v7") as run:
        hello = run.coordinator.hellos[0]
        assert run.coordinator.hello_replies[0] == f"{run.coordinator.base}.to.{hello.session}"
        assert 8 <= len(hello.session) <= 64
        assert (hello.slots, hello.system_version, hello.sdk.name, hello.sdk.language) == (3, "v7", "tasker-worker", "python")
        assert list(hello.held) == []
        capability = hello.capabilities[0]
        assert (capability.name, capability.description) == ("t.double", "Doubles an even number.")
        assert json.loads(capability.input_schema) == {"type": "integer"}
        assert [error.code for error in capability.errors] == ["odd"]
        assert run.coordinator.polls[0].credit.free == 3


async def test_hello_is_said_again_until_it_is_answered(shared_server: Server) -> None:
    async with running(shared_server.url, [double], welcomed=False, coordinator={"answer_hello": False}) as run:
        await run.coordinator.until(lambda: len(run.coordinator.hellos) >= 2)
        assert run.coordinator.polls == []
        run.coordinator.answer_hello = True
        await run.coordinator.welcomed()
        assert {hello.session for hello in run.coordinator.hellos} == {run.coordinator.session}


async def test_a_final_refusal_stops_the_worker_with_the_coordinators_words(shared_server: Server) -> None:
    refused = pb.Refused(code="contract.incompatible", message="the result lost a field", retryable=False)
    async with running(shared_server.url, [double], welcomed=False, coordinator={"refuse": refused}) as run:
        with pytest.raises(RefusedError, match="lost a field") as raised:
            await asyncio.wait_for(asyncio.shield(run.task), WAIT)
        assert raised.value.code == "contract.incompatible"


async def test_a_retryable_refusal_is_asked_again(shared_server: Server) -> None:
    refused = pb.Refused(code="coordinator.busy", message="later", retryable=True)
    async with running(shared_server.url, [double], welcomed=False, coordinator={"refuse": refused}) as run:
        await run.coordinator.until(lambda: run.coordinator.hellos)
        run.coordinator.refuse = None
        await run.coordinator.welcomed()


@pytest.mark.parametrize("capability", ["t.double", "t.double_sync"])
async def test_a_step_is_answered_on_its_shard_with_its_token(shared_server: Server, capability: str) -> None:
    async with running(shared_server.url, [double, double_sync]) as run:
        request = await run.coordinator.ask(capability, b"4", shard=17)
        reply = await run.coordinator.answer(request)
        assert reply.success.result == b"8"
        assert (reply.task_id, reply.step_name, reply.attempt, reply.token) == ("task-1", "one", 1, request.token)
        assert run.coordinator.reply_subjects == [f"{run.coordinator.base}.reply.17"]
        assert run.coordinator.batches[0].session == run.coordinator.session


@step("t.fail")
async def fail(kind: str) -> None:
    if kind == "retryable":
        raise Retryable("bank is away", code="bank.away", after=1.5, details={"bank": "x"})
    if kind == "cancelled":
        raise Cancelled()
    if kind == "exit":
        raise SystemExit(3)
    raise ValueError("ordinary")


@step("t.wrong")
async def wrong(inp: Any) -> int:
    return "text"  # type: ignore[return-value]


FAILURES = [
    ("t.fail", b'"retryable"', pb.FAILURE_KIND_RETRYABLE, "bank.away", "bank is away", 1500),
    ("t.fail", b'"cancelled"', pb.FAILURE_KIND_CANCELLED, "attempt.cancelled", "cancelled", 0),
    ("t.fail", b'"other"', pb.FAILURE_KIND_RETRYABLE, "handler.error", "ordinary", 0),
    ("t.fail", b'"exit"', pb.FAILURE_KIND_RETRYABLE, "handler.error", "SystemExit: 3", 0),
    ("t.double", b"3", pb.FAILURE_KIND_PERMANENT, "odd", "3 is odd", 0),
    ("t.double", b'"3"', pb.FAILURE_KIND_CONTRACT, "input.invalid", "valid integer", 0),
    ("t.double", b"{", pb.FAILURE_KIND_CONTRACT, "input.invalid", "JSON", 0),
    ("t.wrong", b"{}", pb.FAILURE_KIND_CONTRACT, "result.invalid", "int", 0),
    ("t.absent", b"{}", pb.FAILURE_KIND_PERMANENT, "capability.unknown", "t.absent", 0),
]


@pytest.mark.parametrize(("capability", "input", "kind", "code", "message", "after"), FAILURES)
async def test_each_failure_arrives_with_its_kind_and_code(
    shared_server: Server, capability: str, input: bytes, kind: int, code: str, message: str, after: int
) -> None:
    async with running(shared_server.url, [double, fail, wrong]) as run:
        reply = await run.coordinator.run(capability, input)
        assert (reply.failure.kind, reply.failure.code, reply.failure.retry_after_ms) == (kind, code, after)
        assert message in reply.failure.message
        assert "Traceback" not in reply.failure.message


async def test_a_cancelled_handler_is_interrupted_and_answered_as_cancelled(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step]) as run:
        request = await run.coordinator.ask("t.gate")
        await run.coordinator.until(lambda: any(beat.held for beat in run.coordinator.beats))
        await run.coordinator.send(cancel_attempt=pb.CancelAttempt(token=request.token, reason="not needed"))
        reply = await run.coordinator.answer(request)
        assert (reply.failure.kind, reply.failure.code) == (pb.FAILURE_KIND_CANCELLED, "attempt.cancelled")


async def test_a_request_and_its_cancellation_in_one_message_are_answered_as_cancelled(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step]) as run:
        request = run.coordinator.request("t.gate")
        cancel = pb.CancelAttempt(token=request.token)
        await run.coordinator.send_all([pb.Directive(step_request=request), pb.Directive(cancel_attempt=cancel)])
        reply = await run.coordinator.answer(request)
        assert reply.failure.code == "attempt.cancelled"
        assert gate.runs == 0


async def test_a_blocking_handler_sees_its_cancellation_as_a_flag(shared_server: Server) -> None:
    began = threading.Event()

    @step("t.block")
    def block(inp: dict, ctx: Context) -> None:
        began.set()
        ctx.sleep(WAIT)

    async with running(shared_server.url, [block]) as run:
        request = await run.coordinator.ask("t.block")
        assert await asyncio.to_thread(began.wait, WAIT)
        await run.coordinator.send(cancel_attempt=pb.CancelAttempt(token=request.token))
        reply = await run.coordinator.answer(request)
        assert reply.failure.kind == pb.FAILURE_KIND_CANCELLED
        assert reply.ran_ms < WAIT * 1000


async def test_a_result_that_was_there_before_the_cancellation_stands(shared_server: Server) -> None:
    @step("t.swallow")
    async def swallow(inp: dict) -> str:
        try:
            await asyncio.sleep(WAIT)
        except asyncio.CancelledError:
            return "finished anyway"
        return "slept"

    async with running(shared_server.url, [swallow]) as run:
        request = await run.coordinator.ask("t.swallow")
        await run.coordinator.until(lambda: any(beat.held for beat in run.coordinator.beats))
        await run.coordinator.send(cancel_attempt=pb.CancelAttempt(token=request.token))
        assert (await run.coordinator.answer(request)).success.result == b'"finished anyway"'


async def test_a_timeout_stops_the_handler_and_is_retryable(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step]) as run:
        reply = await run.coordinator.run("t.gate", timeout_ms=50)
        assert (reply.failure.kind, reply.failure.code) == (pb.FAILURE_KIND_RETRYABLE, "attempt.timeout")
        assert reply.ran_ms >= 40


async def test_a_repeated_request_for_a_running_attempt_does_not_run_it_again(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step], slots=2) as run:
        request = await run.coordinator.ask("t.gate")
        polls = len(run.coordinator.polls)
        repeat = await run.coordinator.ask("t.gate", token=request.token)
        # The repeat is counted, and its slot given back at once.
        await run.coordinator.until(lambda: len(run.coordinator.polls) > polls)
        credit = run.coordinator.polls[-1].credit
        assert (credit.free, credit.highest_sequence) == (1, repeat.sequence)
        gate.open.set()
        await run.coordinator.answer(request)
        assert gate.runs == 1


async def test_a_repeated_request_for_a_finished_attempt_is_answered_with_the_kept_reply(shared_server: Server) -> None:
    welcome = pb.Welcome(heartbeat_ms=100, lease_ms=9000, payload_bytes_max=1000, reply_resend_ms=60_000)
    gate = Gate()
    gate.open.set()
    async with running(shared_server.url, [gate.step], coordinator={"acknowledge": False, "welcome": welcome}) as run:
        request = await run.coordinator.ask("t.gate")
        first = await run.coordinator.answer(request)
        await run.coordinator.ask("t.gate", token=request.token)
        await run.coordinator.until(lambda: len(run.coordinator.replies) == 2)
        assert run.coordinator.replies[1] == first
        assert gate.runs == 1


async def test_a_reply_is_sent_again_until_any_disposition_arrives(shared_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with running(shared_server.url, [double], coordinator={"acknowledge": False}) as run:
        request = await run.coordinator.ask("t.double", b"2")
        await run.coordinator.until(lambda: len(run.coordinator.replies) >= 3)
        assert len({reply.SerializeToString() for reply in run.coordinator.replies}) == 1
        assert [attempt.token for attempt in run.coordinator.beats[-1].held] == [request.token]
        await run.coordinator.ack(run.coordinator.replies[0], pb.REPLY_DISPOSITION_CONFLICTING, code="reply.conflicting")
        await run.coordinator.until(lambda: not run.coordinator.beats[-1].held)
        sent = len(run.coordinator.replies)
        # Two more beats are longer than the wait for the next repeat was.
        beats = len(run.coordinator.beats)
        await run.coordinator.until(lambda: len(run.coordinator.beats) >= beats + 10)
        assert len(run.coordinator.replies) == sent
        assert "did not take this reply" in caplog.text


async def test_credit_counts_running_handlers_but_not_unacknowledged_replies(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step, double], slots=4, coordinator={"acknowledge": False}) as run:
        await run.coordinator.ask("t.gate")
        await run.coordinator.run("t.double", b"2")
        credit = run.coordinator.batches[0].credit
        assert (credit.free, credit.highest_sequence) == (3, 2)
        beats = len(run.coordinator.beats)
        await run.coordinator.until(lambda: len(run.coordinator.beats) > beats)
        beat = run.coordinator.beats[-1]
        assert (beat.credit.free, len(beat.held), beat.state) == (3, 2, pb.SESSION_STATE_ACTIVE)


async def test_more_requests_than_slots_wait_and_all_are_answered(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step], slots=1) as run:
        requests = [await run.coordinator.ask("t.gate") for _ in range(3)]
        await run.coordinator.until(lambda: any(len(beat.held) == 3 for beat in run.coordinator.beats))
        assert (gate.runs, run.coordinator.beats[-1].credit.free) == (1, 0)
        gate.open.set()
        for request in requests:
            assert (await run.coordinator.answer(request)).success.result == b'"through"'


async def test_the_latest_progress_travels_in_the_beat(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step]) as run:
        await run.coordinator.ask("t.gate")
        await run.coordinator.until(lambda: any(beat.held and beat.held[0].progress for beat in run.coordinator.beats))
        assert run.coordinator.beats[-1].held[0].progress == b'{"run":1}'


async def test_replies_that_are_ready_together_travel_together(shared_server: Server) -> None:
    async with running(shared_server.url, [double], slots=200) as run:
        requests = [run.coordinator.request("t.double", b"2") for _ in range(150)]
        await run.coordinator.send_all([pb.Directive(step_request=request) for request in requests])
        await run.coordinator.until(lambda: len(run.coordinator.replies) == 150)
        assert max(len(batch.replies) for batch in run.coordinator.batches) <= 64
        assert len(run.coordinator.batches) <= 10


async def test_a_result_above_the_limit_is_never_published(shared_server: Server) -> None:
    @step("t.large")
    async def large(size: int) -> str:
        return "x" * size

    async with running(shared_server.url, [large]) as run:
        reply = await run.coordinator.run("t.large", b"100000")
        assert (reply.failure.kind, reply.failure.code) == (pb.FAILURE_KIND_PERMANENT, "payload.too_large")
        # The quotes count: this is exactly the limit.
        reply = await run.coordinator.run("t.large", b"99998")
        assert len(reply.success.result) == 100_000


async def test_rejoin_says_hello_with_everything_held_and_repeats_unacknowledged_replies(shared_server: Server) -> None:
    welcome = pb.Welcome(heartbeat_ms=60_000, lease_ms=90_000, payload_bytes_max=1000, reply_resend_ms=60_000)
    gate = Gate()
    async with running(shared_server.url, [gate.step, double], coordinator={"acknowledge": False, "welcome": welcome}) as run:
        coordinator = run.coordinator
        waiting = await coordinator.ask("t.gate")
        finished = await coordinator.ask("t.double", b"2")
        await coordinator.answer(finished)
        await coordinator.send(rejoin=pb.Rejoin())
        await coordinator.until(lambda: len(coordinator.hellos) == 2 and len(coordinator.replies) == 2)
        hello = coordinator.hellos[1]
        assert hello.session == coordinator.hellos[0].session
        assert {attempt.token for attempt in hello.held} == {waiting.token, finished.token}
        # The coordinator counts from 1 again, and so does the worker.
        await coordinator.until(lambda: len(coordinator.polls) >= 2)
        assert coordinator.polls[-1].credit.highest_sequence == 0
        gate.open.set()
        assert (await coordinator.answer(waiting)).success.result == b'"through"'
        assert gate.runs == 1


async def test_a_drain_finishes_what_runs_takes_nothing_new_and_says_goodbye(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step]) as run:
        coordinator = run.coordinator
        request = await coordinator.ask("t.gate")
        await coordinator.until(lambda: any(beat.held for beat in coordinator.beats))
        await coordinator.send(drain=pb.Drain(reason="new version"))
        await coordinator.until(lambda: coordinator.beats[-1].state == pb.SESSION_STATE_DRAINING)
        assert coordinator.beats[-1].credit.free == 0
        late = await coordinator.ask("t.gate")
        gate.open.set()
        assert (await coordinator.answer(request)).success.result == b'"through"'
        await asyncio.wait_for(asyncio.shield(run.task), WAIT)
        await coordinator.until(lambda: coordinator.beats[-1].state == pb.SESSION_STATE_LEFT)
        assert coordinator.replies_to(late) == []
        assert gate.runs == 1
        assert list(coordinator.beats[-1].held) == []


async def test_a_drain_waits_for_the_acknowledgements(shared_server: Server) -> None:
    async with running(shared_server.url, [double], coordinator={"acknowledge": False}) as run:
        coordinator = run.coordinator
        reply = await coordinator.run("t.double", b"2")
        run.worker.leave()
        beats = len(coordinator.beats)
        await coordinator.until(lambda: len(coordinator.beats) >= beats + 3)
        assert not run.task.done()
        await coordinator.ack(reply)
        await asyncio.wait_for(asyncio.shield(run.task), WAIT)


async def test_a_drain_whose_time_is_up_cancels_what_still_runs(shared_server: Server) -> None:
    gate = Gate()
    async with running(shared_server.url, [gate.step], drain_timeout=0.05) as run:
        request = await run.coordinator.ask("t.gate")
        await run.coordinator.until(lambda: any(beat.held for beat in run.coordinator.beats))
        run.worker.leave()
        reply = await run.coordinator.answer(request)
        assert reply.failure.kind == pb.FAILURE_KIND_CANCELLED
        await asyncio.wait_for(asyncio.shield(run.task), WAIT)


async def test_a_lost_server_is_joined_again_with_everything_held(own_server: Server) -> None:
    gate = Gate()
    async with running(own_server.url, [gate.step]) as run:
        request = await run.coordinator.ask("t.gate")
        await run.coordinator.until(lambda: any(beat.held for beat in run.coordinator.beats))
        hellos = len(run.coordinator.hellos)
        own_server.kill()
        gate.open.set()
        own_server.start()
        await run.coordinator.until(lambda: len(run.coordinator.hellos) > hellos, 2 * WAIT)
        assert run.coordinator.hellos[-1].held[0].token == request.token
        assert (await run.coordinator.answer(request)).success.result == b'"through"'
        assert gate.runs == 1


async def test_a_worker_starts_before_its_server(own_server: Server) -> None:
    own_server.kill()
    worker = Worker("early", [double], nats_url=own_server.url)
    task = asyncio.ensure_future(worker.serve())
    own_server.start()
    coordinator = Coordinator(own_server.url, "early")
    await coordinator.start()
    try:
        await coordinator.welcomed()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await coordinator.stop()


async def test_garbage_and_messages_for_others_are_ignored(shared_server: Server) -> None:
    async with running(shared_server.url, [double]) as run:
        coordinator = run.coordinator
        subject = f"{coordinator.base}.to.{coordinator.session}"
        await coordinator.nc.publish(subject, b"\xff\xff\xff")
        foreign = pb.ToWorker(session="somebody-else", directives=[pb.Directive(drain=pb.Drain())])
        await coordinator.nc.publish(subject, foreign.SerializeToString())
        await coordinator.ask("t.double", b"2", token=b"short")
        await coordinator.send(cancel_attempt=pb.CancelAttempt(token=b"x" * 16))
        await coordinator.send(reply_acknowledged=acknowledgement(pb.StepReply(token=b"y" * 16), pb.REPLY_DISPOSITION_STALE))
        assert (await coordinator.run("t.double", b"2")).success.result == b"4"
        assert len(coordinator.replies) == 1
