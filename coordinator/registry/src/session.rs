//! One worker process, as far as the coordinator knows it.

use crate::message::{Announcement, Credit, SessionState};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tasker_engine::version::Version;
use tasker_engine::{CapabilityName, Digest, Namespace, SessionId, SystemName};

/// A session's full name: ids chosen by workers mean something only within their system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The tenant.
    pub namespace: Namespace,
    /// The owner.
    pub system: SystemName,
    /// The process.
    pub session: SessionId,
}

/// Why a session that wants work is given none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// An operator asked this worker to finish and leave.
    Worker,
    /// An operator asked that workers of this build get nothing new.
    Version,
}

impl Withheld {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Version => "version",
        }
    }
}

/// One running worker.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its full name.
    pub key: SessionKey,
    /// How it introduced itself.
    pub announcement: Announcement,
    /// What it can do, with the digest of the contract that its build announced, if it announced one.
    pub capabilities: BTreeMap<CapabilityName, Option<Digest>>,
    /// Its build as far as it can be compared; none if its text is no version.
    pub version: Option<Version>,
    /// Whether it takes work.
    pub state: SessionState,
    /// Why it is given no work although it would take some.
    pub withheld: Option<Withheld>,
    /// When it said hello, as time since the coordinator started.
    pub joined_at: Duration,
    /// When it was last heard.
    pub heard_at: Duration,
    /// The sequence of the last step request sent to it.
    pub last_sequence: u64,
    /// What its handlers say that they cost, in slots; of the capabilities whose handler says so.
    costs: BTreeMap<CapabilityName, u32>,
    /// Sequence and cost of each request that the credit does not know of yet, in order; and their cost together.
    unseen: VecDeque<(u64, u32)>,
    unseen_cost: u64,
    /// Slots it said were free, as of the highest sequence it had received then.
    credit: Credit,
    /// When that credit was given.
    credited_at: Duration,
    /// When a request was last sent to it.
    pub sent_at: Duration,
}

impl Session {
    /// A session that has just said hello: it has no credit until it polls.
    pub fn new(key: SessionKey, announcement: Announcement, now: Duration) -> Self {
        Self {
            key,
            capabilities: announcement
                .capabilities
                .iter()
                .map(|announced| {
                    let digest = (!announced.contract.is_empty()).then(|| announced.contract.digest());
                    (announced.name.clone(), digest)
                })
                .collect(),
            costs: announcement.capabilities.iter().filter_map(|announced| Some((announced.name.clone(), announced.slot_cost?))).collect(),
            unseen: VecDeque::new(),
            unseen_cost: 0,
            version: Version::parse(&announcement.system_version),
            announcement,
            state: SessionState::Active,
            withheld: None,
            joined_at: now,
            heard_at: now,
            last_sequence: 0,
            credit: Credit { free: 0, highest_sequence: 0, expires_in: Duration::ZERO },
            credited_at: now,
            sent_at: now,
        }
    }

    /// The credit as it is to be understood now. Whatever was sent longer ago than `patience` has arrived or is lost; a worker that counts
    /// otherwise, because the last requests were lost and nobody asks for them any more, or because a welcome came late or twice, would starve.
    /// `open_after` says how many attempts that were sent with a higher sequence are still open: they may have waited for their commit.
    pub fn counted(&self, credit: Credit, now: Duration, patience: Duration, open_after: impl FnOnce(u64) -> u64) -> Credit {
        let said = credit.highest_sequence;
        if said == self.last_sequence || now.saturating_sub(self.sent_at) <= patience {
            return credit;
        }
        // A count from an earlier life of the session says nothing about this one.
        let open = open_after(if said > self.last_sequence { 0 } else { said });
        Credit { highest_sequence: self.last_sequence.saturating_sub(open), ..credit }
    }

    /// Takes a grant of credit. A grant that claims requests which were never sent is not believed, and one that knows of fewer requests than
    /// the last is older than that and says nothing new.
    pub fn grant(&mut self, credit: Credit, now: Duration) {
        if credit.highest_sequence > self.last_sequence || credit.highest_sequence < self.credit.highest_sequence {
            return;
        }
        while let Some((sequence, cost)) = self.unseen.front().copied() {
            if sequence > credit.highest_sequence {
                break;
            }
            self.unseen_cost -= u64::from(cost);
            self.unseen.pop_front();
        }
        self.credit = Credit { free: credit.free.min(self.announcement.slots), ..credit };
        self.credited_at = now;
    }

    /// Whether it may be given work, as far as it and the operators say; credit is another matter.
    pub fn takes_work(&self) -> bool {
        self.state == SessionState::Active && self.withheld.is_none()
    }

    /// How many slots an attempt at a capability takes here. What the handler says counts; if it says nothing, what is `declared` of the
    /// capability. Never more than the worker has: an attempt that is declared larger takes the whole worker. A worker that counts no costs
    /// counts each attempt as one.
    pub fn cost(&self, capability: &CapabilityName, declared: u32) -> u32 {
        if !self.announcement.counts_costs {
            return 1;
        }
        self.costs.get(capability).copied().unwrap_or(declared).clamp(1, self.announcement.slots.max(1))
    }

    /// How many slots may be filled now: what was free, less what the requests take that were sent since the worker counted.
    pub fn available(&self, now: Duration, lease: Duration) -> u32 {
        if !self.takes_work() {
            return 0;
        }
        let life = if self.credit.expires_in.is_zero() { lease } else { self.credit.expires_in };
        if now.saturating_sub(self.credited_at.max(self.heard_at)) > life {
            return 0;
        }
        self.credit.free.saturating_sub(u32::try_from(self.unseen_cost).unwrap_or(u32::MAX))
    }

    /// The sequence of the next request, which takes so many slots.
    pub fn next_sequence(&mut self, cost: u32) -> u64 {
        self.last_sequence += 1;
        self.unseen.push_back((self.last_sequence, cost));
        self.unseen_cost += u64::from(cost);
        self.last_sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Sdk;

    fn session() -> Session {
        let key = SessionKey {
            namespace: Namespace::new("default").expect("valid"),
            system: SystemName::new("payments").expect("valid"),
            session: SessionId::new("session-1").expect("valid"),
        };
        let announcement = Announcement {
            system_version: String::new(),
            capabilities: Vec::new(),
            slots: 8,
            counts_costs: true,
            sdk: Sdk::default(),
            host: String::new(),
            process_id: 0,
            held: Vec::new(),
            labels: BTreeMap::new(),
        };
        Session::new(key, announcement, Duration::ZERO)
    }

    fn credit(free: u32, highest_sequence: u64) -> Credit {
        Credit { free, highest_sequence, expires_in: Duration::ZERO }
    }

    const LEASE: Duration = Duration::from_secs(5);

    #[test]
    fn repeated_and_reordered_credit_never_hands_out_a_slot_twice() {
        let mut session = session();
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 3);
        session.next_sequence(1);
        session.next_sequence(1);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1);
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1, "the repeat of an old grant");
        session.grant(credit(2, 2), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 2, "one of the two is done");
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 2, "a grant that was overtaken says nothing new");
    }

    #[test]
    fn what_was_sent_counts_by_its_cost_until_the_worker_has_counted_it() {
        let mut session = session();
        session.grant(credit(8, 0), Duration::ZERO);
        session.next_sequence(5);
        session.next_sequence(2);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1);
        session.grant(credit(3, 1), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1, "the worker knows of the first only");
        session.grant(credit(6, 2), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 6, "the larger one is done");
        session.next_sequence(8);
        assert_eq!(session.available(Duration::ZERO, LEASE), 0, "never below nothing");
    }

    #[test]
    fn the_handlers_word_counts_then_the_manifests_and_never_more_than_there_is() {
        let capability = |name: &str| CapabilityName::new(name).expect("valid");
        let mut session = session();
        session.costs = BTreeMap::from([(capability("render"), 6)]);
        assert_eq!(session.cost(&capability("render"), 2), 6);
        assert_eq!(session.cost(&capability("scale"), 2), 2);
        assert_eq!(session.cost(&capability("scale"), 1), 1);
        assert_eq!(session.cost(&capability("scale"), 100), 8, "it takes the whole worker");
        session.announcement.counts_costs = false;
        assert_eq!(session.cost(&capability("render"), 2), 1, "an old worker counts attempts");
    }

    /// A worker as an SDK is: it takes what it is sent, counts by cost, and says how much is free.
    struct Worker {
        slots: u32,
        held: Vec<u32>,
        highest: u64,
    }

    impl Worker {
        fn credit(&self) -> Credit {
            credit(self.slots - self.held.iter().sum::<u32>(), self.highest)
        }
    }

    proptest::proptest! {
        /// Whatever of the grants is lost, repeated or overtaken: the worker is never sent more than fits, and once a grant arrives that knows of
        /// everything, all of its free slots are known.
        #[test]
        fn no_loss_repeat_or_reordering_overfills_a_worker(moves in proptest::collection::vec((0u8..5, 0usize..64, 1u32..=8), 0..200)) {
            let mut session = session();
            let mut worker = Worker { slots: 8, held: Vec::new(), highest: 0 };
            let mut said: Vec<Credit> = vec![worker.credit()];
            let mut sent: Vec<(u64, u32)> = Vec::new();
            for (what, place, cost) in moves {
                match what {
                    // The coordinator sends what fits.
                    0 | 1 if session.available(Duration::ZERO, LEASE) >= cost => sent.push((session.next_sequence(cost), cost)),
                    // The worker receives the next request; requests are not reordered within a session.
                    2 if !sent.is_empty() => {
                        let (sequence, cost) = sent.remove(0);
                        worker.held.push(cost);
                        worker.highest = sequence;
                        proptest::prop_assert!(worker.held.iter().sum::<u32>() <= worker.slots, "overfilled");
                        said.push(worker.credit());
                    }
                    // A handler ends.
                    3 if !worker.held.is_empty() => {
                        worker.held.swap_remove(place % worker.held.len());
                        said.push(worker.credit());
                    }
                    // Any grant that was ever made arrives, perhaps again: those in between may be lost.
                    _ => session.grant(said[place % said.len()], Duration::ZERO),
                }
            }
            for (sequence, cost) in sent {
                worker.held.push(cost);
                worker.highest = sequence;
            }
            session.grant(worker.credit(), Duration::ZERO);
            proptest::prop_assert_eq!(session.available(Duration::ZERO, LEASE), worker.credit().free);
            proptest::prop_assert!(session.unseen.is_empty());
        }
    }

    #[test]
    fn credit_beyond_what_was_sent_or_announced_is_not_believed() {
        let mut session = session();
        session.grant(credit(4, 7), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 0);
        session.grant(credit(1_000_000, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 8);
    }

    #[test]
    fn requests_that_were_lost_and_closed_do_not_cost_their_slots_for_ever() {
        let (mut session, patience) = (session(), Duration::from_millis(1_500));
        session.grant(credit(2, 0), Duration::ZERO);
        session.next_sequence(1);
        session.next_sequence(1);
        session.sent_at = Duration::from_secs(1);
        let mut takes = |said: Credit, second: u64, open: u64| {
            let now = Duration::from_secs(second);
            session.grant(session.counted(said, now, patience, |_| open), now);
            session.available(now, LEASE)
        };
        assert_eq!(takes(credit(2, 0), 2, 0), 0, "they may still be on their way");
        assert_eq!(takes(credit(2, 0), 3, 2), 0, "they are still to be sent again");
        assert_eq!(takes(credit(2, 0), 4, 0), 2);
        assert_eq!(takes(credit(1, 9), 5, 0), 1, "a request of the session's earlier life came late");
    }

    #[test]
    fn credit_is_void_once_it_expired_or_the_session_drains() {
        let mut session = session();
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::from_secs(6), LEASE), 0);
        session.state = SessionState::Draining;
        assert_eq!(session.available(Duration::ZERO, LEASE), 0);
    }
}
