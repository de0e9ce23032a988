//! Open attempts by token: who carries each one, and which ones each session carries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tasker_engine::{StepIndex, TaskId};
use tasker_registry::SessionKey;

/// The token as a key of the table; it never leaves it.
pub(super) type TokenKey = [u8; 16];

/// An open attempt, as far as carrying it is concerned.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub task: TaskId,
    pub step: StepIndex,
    pub carrier: Carrier,
    /// When it was sent last, as time since the start.
    pub sent_at: Duration,
}

/// Who has been asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A session, and the sequence of the request.
    Session(SessionKey, u64),
    /// Plain responders, or a system over HTTP: a call is under way.
    Called,
    /// A system over HTTP that has accepted and will call back.
    Accepted,
    /// Plain responders, or a system over HTTP, but nobody was there: a named wait (P12).
    Parked,
}

/// Every open attempt.
#[derive(Default)]
pub(super) struct Attempts {
    open: HashMap<TokenKey, Open>,
    by_session: BTreeMap<SessionKey, BTreeSet<TokenKey>>,
}

impl Attempts {
    /// Whether nobody works on anything that would be lost by a stop: attempts that found nobody wait, and a restart takes them up again; so it
    /// does with those that are finished by a callback, which may take days.
    pub fn is_idle(&self) -> bool {
        self.open.values().all(|open| match open.carrier {
            Carrier::Parked | Carrier::Accepted => true,
            Carrier::Session(..) | Carrier::Called => false,
        })
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn get(&self, token: &TokenKey) -> Option<&Open> {
        self.open.get(token)
    }

    /// Adds an attempt, or gives it to another carrier.
    pub fn put(&mut self, token: TokenKey, open: Open) {
        self.remove(&token);
        if let Carrier::Session(session, _) = &open.carrier {
            self.by_session.entry(session.clone()).or_default().insert(token);
        }
        self.open.insert(token, open);
    }

    pub fn remove(&mut self, token: &TokenKey) -> Option<Open> {
        let open = self.open.remove(token)?;
        if let Carrier::Session(session, _) = &open.carrier
            && let Some(tokens) = self.by_session.get_mut(session)
        {
            tokens.remove(token);
            if tokens.is_empty() {
                self.by_session.remove(session);
            }
        }
        Some(open)
    }

    /// What a session carries, in a stable order.
    pub fn of_session(&self, session: &SessionKey) -> Vec<(TokenKey, Open)> {
        let tokens = self.by_session.get(session).into_iter().flatten();
        tokens.filter_map(|token| Some((*token, self.open.get(token)?.clone()))).collect()
    }

    /// How many of the attempts that a session carries were sent with a higher sequence than this.
    pub fn sent_after(&self, session: &SessionKey, sequence: u64) -> u64 {
        let carried = self.by_session.get(session).into_iter().flatten().filter_map(|token| self.open.get(token));
        carried.filter(|open| matches!(open.carrier, Carrier::Session(_, sent) if sent > sequence)).count() as u64
    }

    pub fn count_of(&self, session: &SessionKey) -> usize {
        self.by_session.get(session).map_or(0, BTreeSet::len)
    }

    /// Sessions that carry something.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionKey> {
        self.by_session.keys()
    }
}
