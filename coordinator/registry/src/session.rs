//! One worker process, as far as the coordinator knows it.

use crate::message::{Announcement, Credit, SessionState};
use std::collections::BTreeMap;
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
    /// Slots it said were free, as of the highest sequence it had received then.
    credit: Credit,
    /// When that credit was given.
    credited_at: Duration,
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
            version: Version::parse(&announcement.system_version),
            announcement,
            state: SessionState::Active,
            withheld: None,
            joined_at: now,
            heard_at: now,
            last_sequence: 0,
            credit: Credit { free: 0, highest_sequence: 0, expires_in: Duration::ZERO },
            credited_at: now,
        }
    }

    /// Takes a grant of credit. A grant that claims requests which were never sent is not believed.
    pub fn grant(&mut self, credit: Credit, now: Duration) {
        if credit.highest_sequence > self.last_sequence {
            return;
        }
        self.credit = Credit { free: credit.free.min(self.announcement.slots), ..credit };
        self.credited_at = now;
    }

    /// Whether it may be given work, as far as it and the operators say; credit is another matter.
    pub fn takes_work(&self) -> bool {
        self.state == SessionState::Active && self.withheld.is_none()
    }

    /// How many requests may be sent now: what was free, less what has been sent since the worker counted.
    pub fn available(&self, now: Duration, lease: Duration) -> u32 {
        if !self.takes_work() {
            return 0;
        }
        let life = if self.credit.expires_in.is_zero() { lease } else { self.credit.expires_in };
        if now.saturating_sub(self.credited_at.max(self.heard_at)) > life {
            return 0;
        }
        let sent = self.last_sequence.saturating_sub(self.credit.highest_sequence);
        self.credit.free.saturating_sub(u32::try_from(sent).unwrap_or(u32::MAX))
    }

    /// The sequence of the next request.
    pub fn next_sequence(&mut self) -> u64 {
        self.last_sequence += 1;
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
        session.next_sequence();
        session.next_sequence();
        assert_eq!(session.available(Duration::ZERO, LEASE), 1);
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1, "the repeat of an old grant");
        session.grant(credit(2, 2), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 2, "one of the two is done");
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::ZERO, LEASE), 1, "an old grant can only say less than the truth");
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
    fn credit_is_void_once_it_expired_or_the_session_drains() {
        let mut session = session();
        session.grant(credit(3, 0), Duration::ZERO);
        assert_eq!(session.available(Duration::from_secs(6), LEASE), 0);
        session.state = SessionState::Draining;
        assert_eq!(session.available(Duration::ZERO, LEASE), 0);
    }
}
