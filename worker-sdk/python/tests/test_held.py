"""What a session holds, batches, settings: pure parts, without a server."""

from __future__ import annotations

import random

import pytest

from tasker_worker import ConfigurationError, Worker, step
from tasker_worker import held as held_module
from tasker_worker._proto import worker_pb2 as pb
from tasker_worker.attempt import Attempt
from tasker_worker.batch import batches
from tasker_worker.link import credentials
from tasker_worker.held import Admission, Entry, Held
from tasker_worker.settings import Settings, Subjects, is_token, new_session


def attempt(number: int) -> Attempt:
    return Attempt(pb.StepRequest(token=number.to_bytes(16, "big"), sequence=number, task_id="t"), None, 0.0)


def reply(size: int = 0) -> pb.StepReply:
    return pb.StepReply(success=pb.Success(result=b"x" * size))


def admit(held: Held, number: int) -> tuple[Admission, Entry]:
    held.received(number)
    admission, entry = held.admit(attempt(number))
    assert entry is not None
    return admission, entry


def test_a_token_is_run_once_and_then_answered_from_what_is_kept() -> None:
    held = Held(2)
    admission, entry = admit(held, 1)
    assert admission is Admission.START
    assert admit(held, 1)[0] is Admission.HELD
    held.release(entry)
    assert held.answer(entry, reply(), 0.0, 1.0)
    assert not held.answer(entry, reply(), 0.0, 1.0)
    assert admit(held, 1) == (Admission.ANSWERED, entry)
    assert held.acknowledge((1).to_bytes(16, "big")) is entry
    assert held.acknowledge((1).to_bytes(16, "big")) is None
    assert held.entries == {}


def test_an_acknowledgement_for_a_running_attempt_changes_nothing() -> None:
    held = Held(1)
    admit(held, 1)
    assert held.acknowledge((1).to_bytes(16, "big")) is None
    assert held.unfinished == 1


def test_the_wait_for_a_repeat_doubles_up_to_ten_seconds() -> None:
    held = Held(1)
    _, entry = admit(held, 1)
    held.release(entry)
    held.answer(entry, reply(), 0.0, 1.0)
    assert held.due(0.9) == []
    waits = []
    now = 0.0
    for _ in range(6):
        now = entry.due
        assert held.due(now) == [entry]
        waits.append(entry.wait)
    assert waits == [2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert entry.due == now + 10.0


def test_too_many_unacknowledged_replies_end_the_credit_and_then_the_admission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "UNACKNOWLEDGED_MAX", 3)
    held = Held(2)
    for number in range(1, 4):
        _, entry = admit(held, number)
        held.release(entry)
        held.answer(entry, reply(), 0.0, 1.0)
    assert held.credit(False).free == 0
    admit(held, 4)
    admit(held, 5)
    assert held.admit(attempt(6)) == (Admission.FULL, None)


def test_slots_are_never_given_twice_whatever_the_order_of_events() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        held = Held(chance.randint(1, 4))
        running: list[Entry] = []
        waiting: list[Entry] = []
        number = 0
        for _ in range(60):
            if chance.random() < 0.5:
                number += 1
                held.received(number)
                # 0 is what a coordinator without costs says, and more than there is takes all of it.
                taken = attempt(number)
                taken.request.slot_cost = chance.randint(0, 5)
                admission, entry = held.admit(taken)
                assert entry is not None
                if admission is Admission.START:
                    running.append(entry)
                else:
                    assert waiting or sum(one.cost for one in running) + entry.cost > held.slots, f"seed {seed}"
                    waiting.append(entry)
            elif running:
                entry = running.pop(chance.randrange(len(running)))
                held.release(entry)
                following = list(held.following())
                held.answer(entry, reply(), 0.0, 1.0)
                assert following == waiting[: len(following)], f"seed {seed}: nobody is overtaken"
                waiting = waiting[len(following) :]
                running.extend(following)
            taken_now = sum(one.cost for one in running)
            wanted = sum(one.cost for one in waiting)
            assert held.running == taken_now <= held.slots, f"seed {seed}"
            assert not waiting or taken_now + waiting[0].cost > held.slots, f"seed {seed}: one that fits waits"
            assert held.credit(False).free == max(0, held.slots - taken_now - wanted), f"seed {seed}"
            assert held.credit(True).free == 0
            assert held.credit(False).highest_sequence == number


def test_batches_hold_at_most_64_replies_of_one_shard_in_order() -> None:
    replies = [(number % 2, pb.StepReply(task_id=str(number), success=pb.Success())) for number in range(200)]
    found = [(shard, pb.ReplyBatch.FromString(data)) for shard, data in batches("s", replies, pb.Credit(free=2))]
    assert [(shard, len(batch.replies)) for shard, batch in found] == [(0, 64), (0, 36), (1, 64), (1, 36)]
    assert [one.task_id for shard, batch in found for one in batch.replies if shard == 0] == [str(n) for n in range(0, 200, 2)]
    assert all(batch.session == "s" and batch.credit.free == 2 for _, batch in found)


def test_batches_hold_at_most_256_kib_unless_one_reply_is_larger() -> None:
    sizes = [100_000, 100_000, 100_000, 300_000, 10]
    found = [pb.ReplyBatch.FromString(data) for _, data in batches("s", [(0, reply(size)) for size in sizes], pb.Credit())]
    assert [[len(one.success.result) for one in batch.replies] for batch in found] == [[100_000, 100_000], [100_000], [300_000], [10]]


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.read("shop", environment={})
    assert settings.nats_urls == ("nats://127.0.0.1:7422",)
    assert (settings.namespace, settings.prefix, settings.slots, settings.log_level) == ("default", "tasker", 8, "info")


def test_what_the_program_says_comes_before_the_environment() -> None:
    environment = {"TASKER_SLOTS": "3", "TASKER_NAMESPACE": "n", "TASKER_NATS_URL": "nats://a, nats://b", "TASKER_SUBJECT_PREFIX": "acme.t"}
    settings = Settings.read("shop", slots=5, environment=environment)
    assert (settings.slots, settings.namespace, settings.nats_urls) == (5, "n", ("nats://a", "nats://b"))
    subjects = Subjects(settings, "w")
    assert (subjects.to, subjects.reply(7)) == ("acme.t.v1.n.shop.to.w", "acme.t.v1.n.shop.reply.7")


def test_labels_come_from_the_environment_and_the_program_wins_name_by_name() -> None:
    environment = {"TASKER_LABELS": "region=eu, gpu = none,,note=a=b"}
    settings = Settings.read("shop", labels={"gpu": "two"}, environment=environment)
    assert settings.labels == {"region": "eu", "gpu": "two", "note": "a=b"}


@pytest.mark.parametrize(
    ("system", "environment", "named"),
    [
        ("a.b", {}, "system"),
        ("s", {"TASKER_SLOTS": "many"}, "TASKER_SLOTS"),
        ("s", {"TASKER_SLOTS": "0"}, "slots"),
        ("s", {"TASKER_SLOTS": "10001"}, "slots"),
        ("s", {"TASKER_NAMESPACE": "a b"}, "namespace"),
        ("s", {"TASKER_LABELS": "region"}, "TASKER_LABELS"),
        ("s", {"TASKER_LABELS": "=eu"}, "labels"),
        ("s", {"TASKER_LABELS": "region=" + "ü" * 129}, "labels"),
        ("s", {"TASKER_LABELS": ",".join(f"label{number}=" for number in range(33))}, "labels"),
        ("s", {"TASKER_SUBJECT_PREFIX": "a.*"}, "TASKER_SUBJECT_PREFIX"),
        ("s", {"TASKER_LOG_LEVEL": "loud"}, "TASKER_LOG_LEVEL"),
        ("s", {"TASKER_NATS_URL": " , "}, "TASKER_NATS_URL"),
        ("s", {"TASKER_NATS_URL": "http://host:4222"}, "TASKER_NATS_URL"),
        ("s", {"TASKER_NATS_URL": "nats://host:port"}, "TASKER_NATS_URL"),
        ("s", {"TASKER_NATS_URL": "nats://"}, "TASKER_NATS_URL"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_by_name(system: str, environment: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Settings.read(system, environment=environment)


def test_a_refused_address_does_not_show_its_password() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.read("s", environment={"TASKER_NATS_URL": "http://user:secret@host"})
    assert "secret" not in str(raised.value)


def test_credentials_of_an_address_are_percent_decoded() -> None:
    assert credentials("nats://host:4222") == {}
    assert credentials("nats://t%40ken@host") == {"token": "t@ken"}
    assert credentials("u:p%2Fw@host:1") == {"user": "u", "password": "p/w"}


def test_sessions_are_single_subject_tokens_and_never_the_same() -> None:
    one, two = new_session(), new_session()
    assert is_token(one) and len(one) == 22 and one != two


def test_a_worker_needs_steps_and_one_handler_for_each() -> None:
    @step("a.b")
    def handler() -> None: ...

    for steps in ([], [handler, handler], [lambda: None]):
        with pytest.raises(ConfigurationError, match="steps"):
            Worker("s", steps)  # type: ignore[arg-type]
