//! The door from any bus to the runtime: bytes in, inputs out, and a count of what was refused.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tasker_runtime::port::bus::{FromWorker, Inbound, Inbox, SessionKey};
use tasker_wire::worker::{Arrival, Kind, Subjects, decode};

/// What is refused, by reason.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<BTreeMap<&'static str, u64>>);

impl Refused {
    pub(crate) fn count(&self, reason: &'static str) {
        self.add(reason, 1);
    }

    fn add(&self, reason: &'static str, more: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += more;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads what arrives and hands it on.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) subjects: Arc<Subjects>,
    pub(crate) inbox: Inbox,
    pub(crate) refused: Arc<Refused>,
}

impl Door {
    /// Takes one message. Waits while the shard it is for is behind, so that the bus is slowed and nothing is lost (P22).
    pub(crate) async fn take(&self, subject: &str, body: Bytes) {
        let Some(arrival) = self.subjects.read(subject) else {
            self.refused.count("subject");
            return;
        };
        if !self.inbox.is_here(&arrival.namespace) {
            return self.overhear(arrival, body);
        }
        match decode(arrival, body) {
            Ok(heard) => {
                if heard.attempts_dropped > 0 {
                    tracing::warn!(subject, attempts = heard.attempts_dropped, "attempts dropped: nobody was given one of that name");
                    self.refused.add("attempt", heard.attempts_dropped);
                }
                let namespace = heard.message.namespace.clone();
                self.inbox.deliver(&namespace, Inbound::Worker(heard.message)).await;
            }
            Err(unreadable) => {
                tracing::warn!(subject, reason = unreadable.reason, "message refused: unreadable");
                self.refused.count(unreadable.reason);
            }
        }
    }

    /// A worker of a namespace that another coordinator runs: remembered, in case that one goes away.
    fn overhear(&self, arrival: Arrival, body: Bytes) {
        if matches!(arrival.kind, Kind::Hello | Kind::Beat)
            && let Ok(heard) = decode(arrival, body)
        {
            let FromWorker { namespace, system, session, .. } = heard.message;
            self.inbox.overhear(SessionKey { namespace, system, session });
        }
    }
}
