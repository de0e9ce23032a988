//! Everything a session holds, and the credit that follows from it.
//!
//! Pure: no clock, no network. The session loop owns one of these and is the
//! only one to change it, so there are no locks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tasker_proto::worker::v1::{Credit, HeldAttempt};

use crate::context::{Attempt, StopReason, Token};

/// A reply is never sent again later than this after the previous time (docs/protocol.md).
const RESEND_MAX: Duration = Duration::from_secs(10);
/// Past this many unacknowledged replies the session grants no credit until the
/// coordinator catches up: it bounds memory and keeps a beat below NATS's 1 MiB.
const UNACKNOWLEDGED_MAX: usize = 8_192;

/// A finished attempt's reply as it travels: an encoded `StepReply` and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub shard: u32,
    pub encoded: Bytes,
}

enum Entry {
    /// Slots must come free first; the coordinator sent more than it had credit for.
    Waiting(Arc<Attempt>),
    Running(Arc<Attempt>),
    /// The handler ended; its reply is not acknowledged yet.
    Finished {
        attempt: Arc<Attempt>,
        reply: Bytes,
        due: Instant,
        wait: Duration,
    },
}

/// What to do with a step request.
pub(crate) enum Admission {
    Start(Arc<Attempt>),
    /// It runs when enough slots come free.
    Waits,
    /// A repeat: it runs, or waits to run, already.
    Held,
    /// It ran; here is what it answered.
    Answered(Reply),
    /// More than this worker can remember; the coordinator will ask again.
    Full,
}

/// What a cancellation met.
pub(crate) enum Cancellation {
    /// Nothing to stop: not held, or finished already.
    Nothing,
    /// The handler has been told.
    Told,
    /// It had not started; the caller replies in its place.
    Withdrawn(Arc<Attempt>),
}

pub(crate) struct Held {
    entries: HashMap<Token, Entry>,
    queue: VecDeque<Token>,
    slots: usize,
    /// Slots that running attempts take, and that waiting ones will take.
    running: usize,
    waiting: usize,
    unacknowledged: usize,
    highest_sequence: u64,
    resend: Duration,
}

impl Held {
    pub fn new(slots: usize) -> Self {
        Self {
            entries: HashMap::with_capacity(slots),
            queue: VecDeque::new(),
            slots,
            running: 0,
            waiting: 0,
            unacknowledged: 0,
            highest_sequence: 0,
            resend: Duration::from_secs(1),
        }
    }

    /// A new numbering begins; unacknowledged replies wait this long from now on.
    pub fn welcomed(&mut self, resend: Duration) {
        self.highest_sequence = 0;
        self.resend = resend;
    }

    pub fn credit(&self, draining: bool) -> Credit {
        let free =
            if draining || self.unacknowledged >= UNACKNOWLEDGED_MAX { 0 } else { self.slots.saturating_sub(self.running + self.waiting) };
        Credit { free: u32::try_from(free).unwrap_or(u32::MAX), highest_sequence: self.highest_sequence, expires_in_ms: 0 }
    }

    /// A request with this sequence arrived, whatever becomes of it.
    pub fn received(&mut self, sequence: u64) {
        self.highest_sequence = self.highest_sequence.max(sequence);
    }

    pub fn holds(&self, token: &Token) -> bool {
        self.entries.contains_key(token)
    }

    pub fn admit(&mut self, token: Token, attempt: impl FnOnce() -> Attempt) -> Admission {
        match self.entries.get(&token) {
            Some(Entry::Finished { attempt, reply, .. }) => {
                return Admission::Answered(Reply { shard: attempt.request.shard, encoded: reply.clone() });
            }
            Some(Entry::Running(_) | Entry::Waiting(_)) => return Admission::Held,
            None => {}
        }
        if self.entries.len() >= UNACKNOWLEDGED_MAX + 2 * self.slots {
            return Admission::Full;
        }
        let attempt = Arc::new(attempt());
        let cost = self.cost(&attempt);
        // Whoever waits goes first: a large attempt would wait for ever behind small ones that pass it.
        if self.queue.is_empty() && self.running + cost <= self.slots {
            self.running += cost;
            self.entries.insert(token, Entry::Running(Arc::clone(&attempt)));
            Admission::Start(attempt)
        } else {
            self.waiting += cost;
            self.queue.push_back(token);
            self.entries.insert(token, Entry::Waiting(attempt));
            Admission::Waits
        }
    }

    /// How many slots an attempt takes: as its request says, which old coordinators do not, and never more than there are.
    fn cost(&self, attempt: &Attempt) -> usize {
        usize::try_from(attempt.request.slot_cost).unwrap_or(usize::MAX).clamp(1, self.slots)
    }

    /// Keeps the reply of an attempt until it is acknowledged. Returns what to
    /// start in the slots that came free. False as the first part: the attempt
    /// had been answered in its handler's place, and this reply must not leave.
    pub fn finish(&mut self, token: &Token, reply: Bytes, now: Instant) -> (bool, Vec<Arc<Attempt>>) {
        let slots = self.slots;
        let cost = |attempt: &Attempt| usize::try_from(attempt.request.slot_cost).unwrap_or(usize::MAX).clamp(1, slots);
        let Some(entry) = self.entries.get_mut(token) else { return (false, Vec::new()) };
        let attempt = match entry {
            Entry::Running(attempt) => {
                self.running -= cost(attempt);
                Arc::clone(attempt)
            }
            Entry::Waiting(attempt) => {
                self.waiting -= cost(attempt);
                Arc::clone(attempt)
            }
            Entry::Finished { .. } => return (false, Vec::new()),
        };
        *entry = Entry::Finished { attempt, reply, due: now + self.resend, wait: self.resend };
        self.unacknowledged += 1;
        (true, self.start_next())
    }

    /// Forgets an acknowledged reply. False if there was none.
    pub fn acknowledge(&mut self, token: &Token) -> bool {
        if matches!(self.entries.get(token), Some(Entry::Finished { .. })) {
            self.entries.remove(token);
            self.unacknowledged -= 1;
            return true;
        }
        false
    }

    pub fn cancel(&mut self, token: &Token, reason: StopReason) -> Cancellation {
        match self.entries.get(token) {
            Some(Entry::Running(attempt)) => {
                attempt.stop(reason);
                Cancellation::Told
            }
            Some(Entry::Waiting(attempt)) => Cancellation::Withdrawn(Arc::clone(attempt)),
            Some(Entry::Finished { .. }) | None => Cancellation::Nothing,
        }
    }

    /// Every attempt without a reply.
    pub fn unfinished(&self) -> Vec<Arc<Attempt>> {
        let unfinished = |entry: &Entry| match entry {
            Entry::Waiting(attempt) | Entry::Running(attempt) => Some(Arc::clone(attempt)),
            Entry::Finished { .. } => None,
        };
        self.entries.values().filter_map(unfinished).collect()
    }

    /// Replies whose time has come again; their next wait is doubled.
    pub fn due(&mut self, now: Instant) -> Vec<Reply> {
        let mut replies = Vec::new();
        for entry in self.entries.values_mut() {
            if let Entry::Finished { attempt, reply, due, wait } = entry
                && *due <= now
            {
                *wait = (*wait * 2).min(RESEND_MAX);
                *due = now + *wait;
                replies.push(Reply { shard: attempt.request.shard, encoded: reply.clone() });
            }
        }
        replies
    }

    /// Every unacknowledged reply, now; their waits begin anew.
    pub fn all_replies(&mut self, now: Instant) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(self.unacknowledged);
        for entry in self.entries.values_mut() {
            if let Entry::Finished { attempt, reply, due, wait } = entry {
                *wait = self.resend;
                *due = now + *wait;
                replies.push(Reply { shard: attempt.request.shard, encoded: reply.clone() });
            }
        }
        replies
    }

    pub fn list(&self, with_progress: bool) -> Vec<HeldAttempt> {
        let attempt = |entry: &Entry| match entry {
            Entry::Waiting(attempt) | Entry::Running(attempt) | Entry::Finished { attempt, .. } => attempt.held(with_progress),
        };
        self.entries.values().map(attempt).collect()
    }

    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Starts those that wait and fit, in their order; one that does not fit holds up those behind it.
    fn start_next(&mut self) -> Vec<Arc<Attempt>> {
        let mut started = Vec::new();
        while let Some(token) = self.queue.front().copied() {
            let waiting = match self.entries.get(&token) {
                Some(Entry::Waiting(attempt)) => Some(Arc::clone(attempt)),
                // Withdrawn, and perhaps acknowledged.
                Some(Entry::Running(_) | Entry::Finished { .. }) | None => None,
            };
            if let Some(attempt) = waiting {
                let cost = self.cost(&attempt);
                if self.running + cost > self.slots {
                    break;
                }
                self.waiting -= cost;
                self.running += cost;
                self.entries.insert(token, Entry::Running(Arc::clone(&attempt)));
                started.push(attempt);
            }
            self.queue.pop_front();
        }
        started
    }
}

#[cfg(test)]
mod tests {
    use tasker_proto::worker::v1::StepRequest;

    use super::*;

    fn admit(held: &mut Held, number: u8) -> Admission {
        let token = [number; 16];
        held.received(u64::from(number));
        held.admit(token, || Attempt::new(StepRequest { shard: 3, ..StepRequest::default() }, token, Instant::now()))
    }

    fn admit_large(held: &mut Held, number: u8, slot_cost: u32) -> Admission {
        let token = [number; 16];
        held.received(u64::from(number));
        held.admit(token, || Attempt::new(StepRequest { slot_cost, ..StepRequest::default() }, token, Instant::now()))
    }

    fn finish(held: &mut Held, number: u8) -> (bool, Vec<Arc<Attempt>>) {
        held.finish(&[number; 16], Bytes::copy_from_slice(&[number]), Instant::now())
    }

    #[test]
    fn free_slots_are_those_without_a_running_or_waiting_handler() {
        let mut held = Held::new(2);
        assert_eq!(held.credit(false).free, 2);
        assert!(matches!(admit(&mut held, 1), Admission::Start(_)));
        assert!(matches!(admit(&mut held, 2), Admission::Start(_)));
        assert!(matches!(admit(&mut held, 3), Admission::Waits));
        assert_eq!((held.credit(false).free, held.credit(false).highest_sequence), (0, 3));
        let (kept, next) = finish(&mut held, 1);
        assert!(kept && next.iter().map(|attempt| attempt.token).eq([[3; 16]]));
        assert_eq!(held.credit(false).free, 0);
        finish(&mut held, 2);
        assert_eq!(held.credit(false).free, 1, "an unacknowledged reply occupies no slot");
        assert_eq!(held.credit(true).free, 0, "a draining worker takes nothing");
    }

    #[test]
    fn an_attempt_takes_as_many_slots_as_its_request_says() {
        let mut held = Held::new(4);
        assert!(matches!(admit_large(&mut held, 1, 3), Admission::Start(_)));
        assert_eq!(held.credit(false).free, 1);
        assert!(matches!(admit_large(&mut held, 2, 3), Admission::Waits));
        assert_eq!(held.credit(false).free, 0, "more is asked than fits");
        assert!(matches!(admit(&mut held, 3), Admission::Waits), "nobody passes the one that waits");
        let (_, next) = finish(&mut held, 1);
        assert!(next.iter().map(|attempt| attempt.token).eq([[2; 16], [3; 16]]), "both fit in the slots that came free");
        assert_eq!(held.credit(false).free, 0);
        finish(&mut held, 2);
        assert_eq!(held.credit(false).free, 3);
        assert!(matches!(admit_large(&mut held, 4, 99), Admission::Waits));
        finish(&mut held, 3);
        assert_eq!(held.credit(false).free, 0, "larger than the worker takes all of it");
        finish(&mut held, 4);
        assert_eq!(held.credit(false).free, 4);
    }

    #[test]
    fn a_token_already_held_is_never_run_again() {
        let mut held = Held::new(2);
        admit(&mut held, 1);
        assert!(matches!(admit(&mut held, 1), Admission::Held));
        finish(&mut held, 1);
        assert!(matches!(admit(&mut held, 1), Admission::Answered(reply) if reply.shard == 3 && reply.encoded[..] == [1]));
    }

    #[test]
    fn an_acknowledged_reply_is_forgotten_and_a_running_attempt_is_not() {
        let mut held = Held::new(2);
        admit(&mut held, 1);
        assert!(!held.acknowledge(&[1; 16]));
        finish(&mut held, 1);
        assert_eq!(held.list(true).len(), 1);
        assert!(held.acknowledge(&[1; 16]) && held.is_empty());
    }

    #[test]
    fn the_first_reply_of_an_attempt_is_the_only_one() {
        let mut held = Held::new(1);
        admit(&mut held, 1);
        assert!(finish(&mut held, 1).0);
        assert!(!finish(&mut held, 1).0);
        assert_eq!(held.unacknowledged(), 1);
    }

    #[test]
    fn a_reply_is_sent_again_after_waits_that_double_up_to_ten_seconds() {
        let mut held = Held::new(1);
        held.welcomed(Duration::from_secs(3));
        admit(&mut held, 1);
        finish(&mut held, 1);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let from = now;
            while held.due(now).is_empty() {
                now += Duration::from_millis(500);
            }
            waits.push((now - from).as_secs());
        }
        assert_eq!(waits, [3, 6, 10, 10]);
    }

    #[test]
    fn a_waiting_attempt_is_withdrawn_without_running() {
        let mut held = Held::new(1);
        admit(&mut held, 1);
        admit(&mut held, 2);
        assert!(matches!(held.cancel(&[2; 16], StopReason::Coordinator), Cancellation::Withdrawn(_)));
        finish(&mut held, 2);
        let (_, next) = finish(&mut held, 1);
        assert!(next.is_empty());
        assert_eq!(held.credit(false).free, 1);
        assert!(matches!(held.cancel(&[9; 16], StopReason::Coordinator), Cancellation::Nothing));
    }

    #[test]
    fn a_welcome_starts_the_numbering_anew() {
        let mut held = Held::new(1);
        admit(&mut held, 7);
        held.welcomed(Duration::from_secs(1));
        assert_eq!(held.credit(false).highest_sequence, 0);
    }
}
