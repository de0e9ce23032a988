"""Everything a session holds, and the credit that follows from it.

Pure: no clock, no network. The session is the only one to change it, on the
event loop, so there are no locks.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator

from ._proto import worker_pb2 as pb
from .attempt import Attempt
from .limits import RESEND_MAX, UNACKNOWLEDGED_MAX


class Entry:
    """One attempt and, once its handler ended, the reply that is kept for it."""

    __slots__ = ("attempt", "cost", "due", "queued", "reply", "running", "wait")

    def __init__(self, attempt: Attempt, cost: int) -> None:
        self.attempt = attempt
        #: How many slots it takes while it runs.
        self.cost = cost
        self.running = False
        self.reply: pb.StepReply | None = None
        #: When the reply is sent again, and the wait that led there.
        self.due = 0.0
        self.wait = 0.0
        #: True while the reply waits to be published, so that it is not put there twice.
        self.queued = False


class Admission(enum.Enum):
    """What to do with a step request."""

    START = "the slots it takes are free: run it"
    WAIT = "more was sent than credit was given: it runs when enough slots come free"
    HELD = "it runs or waits already"
    ANSWERED = "it ran: send the kept reply again"
    FULL = "more than this worker can remember; the coordinator will ask again"


class Held:
    """Attempts by token. ``slots`` are occupied by handlers only, never by unacknowledged replies."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.highest_sequence = 0
        self.entries: dict[bytes, Entry] = {}
        #: Slots that running attempts take.
        self.running = 0
        self.unacknowledged = 0
        self._waiting: deque[Entry] = deque()
        #: Slots that waiting attempts will take.
        self._wanted = 0

    def received(self, sequence: int) -> None:
        """Counts a step request, whatever becomes of it."""
        if sequence > self.highest_sequence:
            self.highest_sequence = sequence

    def welcomed(self) -> None:
        """The coordinator counts its step requests from 1 again."""
        self.highest_sequence = 0

    @property
    def unfinished(self) -> int:
        """Attempts without a reply."""
        return len(self.entries) - self.unacknowledged

    @property
    def is_full_of_replies(self) -> bool:
        """True when no credit is granted until the coordinator acknowledges."""
        return self.unacknowledged >= UNACKNOWLEDGED_MAX

    def credit(self, draining: bool) -> pb.Credit:
        """Absolute: what is free now, and the last request that this knows of."""
        if draining:
            free = 0
        else:
            free = min(self.slots - self.running - self._wanted, UNACKNOWLEDGED_MAX - self.unacknowledged)
        return pb.Credit(free=max(0, free), highest_sequence=self.highest_sequence)

    def admit(self, attempt: Attempt) -> tuple[Admission, Entry | None]:
        """Takes an attempt, or finds what is known of its token. START counts it as running."""
        token = attempt.request.token
        entry = self.entries.get(token)
        if entry is not None:
            return (Admission.HELD if entry.reply is None else Admission.ANSWERED), entry
        if len(self.entries) >= self.slots + UNACKNOWLEDGED_MAX:
            return Admission.FULL, None
        # Coordinators without costs say nothing, which means one; nothing takes more than there is.
        entry = self.entries[token] = Entry(attempt, min(max(1, attempt.request.slot_cost), self.slots))
        # Whoever waits goes first: a large attempt would wait for ever behind small ones that pass it.
        if not self._waiting and self.running + entry.cost <= self.slots:
            entry.running = True
            self.running += entry.cost
            return Admission.START, entry
        self._waiting.append(entry)
        self._wanted += entry.cost
        return Admission.WAIT, entry

    def answer(self, entry: Entry, reply: pb.StepReply, now: float, resend: float) -> bool:
        """Keeps the first reply of an attempt; False if it has one, or was forgotten."""
        if entry.reply is not None or self.entries.get(entry.attempt.request.token) is not entry:
            return False
        entry.reply = reply
        entry.wait = resend
        entry.due = now + resend
        self.unacknowledged += 1
        if not entry.running and entry.attempt.started is None:
            # Answered before it had a slot: cancelled, timed out, or unknown.
            try:
                self._waiting.remove(entry)
                self._wanted -= entry.cost
            except ValueError:
                pass
        return True

    def release(self, entry: Entry) -> None:
        """A handler ended: frees its slots."""
        if entry.running:
            entry.running = False
            self.running -= entry.cost

    def following(self) -> Iterator[Entry]:
        """Attempts that waited and fit now, in their order, counted as running. One that does not fit holds up those behind it."""
        while self._waiting and self.running + self._waiting[0].cost <= self.slots:
            entry = self._waiting.popleft()
            self._wanted -= entry.cost
            entry.running = True
            self.running += entry.cost
            yield entry

    def acknowledge(self, token: bytes) -> Entry | None:
        """Forgets a reply; None if there is none for the token."""
        entry = self.entries.get(token)
        if entry is None or entry.reply is None:
            return None
        del self.entries[token]
        self.unacknowledged -= 1
        return entry

    def replies(self) -> Iterator[Entry]:
        """Every reply that is not acknowledged, oldest first."""
        return (entry for entry in self.entries.values() if entry.reply is not None)

    def due(self, now: float) -> list[Entry]:
        """Replies to send again now; the wait of each doubles."""
        found = []
        for entry in self.replies():
            if entry.due <= now:
                entry.wait = min(entry.wait * 2, RESEND_MAX)
                entry.due = now + entry.wait
                found.append(entry)
        return found

    def list(self, with_progress: bool) -> list[pb.HeldAttempt]:
        """What beat and hello say is held."""
        return [
            pb.HeldAttempt(
                task_id=entry.attempt.request.task_id,
                step_name=entry.attempt.request.step_name,
                attempt=entry.attempt.request.attempt,
                token=token,
                progress=entry.attempt.progress if with_progress else b"",
            )
            for token, entry in self.entries.items()
        ]
