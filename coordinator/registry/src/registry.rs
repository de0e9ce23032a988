//! Systems, capabilities and live sessions.

use crate::message::{AnnouncedCapability, Announcement};
use crate::session::{Session, SessionKey, Withheld};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{CapabilityName, Contract, Digest, Namespace, SystemName, Timestamp};

/// An owner of capabilities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct System {
    /// Where it can be reached over HTTP, if a manifest says so.
    pub base_url: Option<String>,
    /// Where its health can be asked, if a manifest says so.
    pub health_check_url: Option<String>,
    /// What it can do, by name.
    pub capabilities: BTreeMap<CapabilityName, Capability>,
}

/// A thing a system can do, as it was last declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// What goes in and out.
    pub contract: Arc<Contract>,
    /// Its digest.
    pub digest: Digest,
    /// One sentence for people.
    pub description: String,
    /// The running timeout its author asks for.
    pub timeout: Option<Duration>,
    /// Who declared it last.
    pub source: Source,
    /// When.
    pub declared_at: Timestamp,
}

/// Who declared a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A manifest's `systems`.
    Manifest,
    /// A worker's hello.
    Worker,
}

impl Source {
    /// The word used in the API and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Worker => "worker",
        }
    }
}

/// A capability's declaration that must be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// The tenant.
    pub namespace: Namespace,
    /// The owner.
    pub system: SystemName,
    /// Its name.
    pub name: CapabilityName,
    /// What is declared.
    pub capability: Capability,
}

/// Why a hello is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No more sessions are accepted.
    #[error("{max} workers are connected, the most that are accepted; stop some, or add a coordinator", max = Registry::SESSIONS_MAX)]
    TooManySessions,
    /// Out of range.
    #[error("`slots` is {0}; give 1 to {max}", max = Registry::SLOTS_MAX)]
    Slots(u32),
    /// A handler that would never fit.
    #[error("capability `{capability}` takes {cost} slots, and the worker has {slots}; give 1 to {slots}")]
    SlotCost {
        /// Whose.
        capability: CapabilityName,
        /// What it takes.
        cost: u32,
        /// What there is.
        slots: u32,
    },
    /// A worker that can do nothing.
    #[error("the worker announces no capability; register at least one handler")]
    NoCapability,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManySessions => "worker.too_many",
            Self::Slots(_) => "worker.slots_out_of_range",
            Self::SlotCost { .. } => "worker.slot_cost_out_of_range",
            Self::NoCapability => "worker.no_capability",
        }
    }

    /// Whether saying hello again can help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::TooManySessions)
    }
}

/// Who can do what, now.
#[derive(Debug, Default)]
pub struct Registry {
    systems: BTreeMap<(Namespace, SystemName), System>,
    sessions: BTreeMap<SessionKey, Session>,
    offers: BTreeMap<(Namespace, SystemName, CapabilityName), BTreeSet<SessionKey>>,
    contracts: BTreeMap<Digest, Arc<Contract>>,
    /// Builds that get nothing new, as their workers announce them.
    drained: BTreeMap<(Namespace, SystemName), BTreeSet<String>>,
    /// Whether any worker ever said that a capability of its takes more than one slot.
    costs_announced: bool,
}

/// Why an operator's order to drain is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrainRefusal {
    /// No live worker has this session.
    #[error("no live worker has the session `{0}`")]
    UnknownWorker(String),
    /// Sessions are chosen by workers, so two systems may have the same; these do.
    #[error("workers of {0} have this session; name the system")]
    AmbiguousWorker(String),
    /// Nobody ever spoke of the system.
    #[error("nobody ever spoke of a system `{0}`")]
    UnknownSystem(SystemName),
    /// One more build than is remembered.
    #[error("{max} builds of system `{0}` are drained, the most that are remembered; undo some", max = Registry::DRAINED_MAX)]
    TooManyVersions(SystemName),
}

impl Registry {
    /// The most drained builds of one system: it grows by operators' orders only, and old builds are undone or gone.
    pub const DRAINED_MAX: usize = 100;
    /// The most sessions of one coordinator.
    pub const SESSIONS_MAX: usize = 20_000;
    /// The most attempts one session may run at once.
    pub const SLOTS_MAX: u32 = 10_000;

    /// Takes in what was stored; used once, at start.
    pub fn restore(&mut self, declared: Declared) {
        self.contracts.insert(declared.capability.digest, declared.capability.contract.clone());
        let system = self.systems.entry((declared.namespace, declared.system)).or_default();
        system.capabilities.insert(declared.name, declared.capability);
    }

    /// Takes in a stored contract that an open attempt may still refer to.
    pub fn restore_contract(&mut self, digest: Digest, contract: Contract) {
        self.contracts.insert(digest, Arc::new(contract));
    }

    /// Whether any attempt may take more than one slot because its handler says so.
    pub fn has_costs(&self) -> bool {
        self.costs_announced
    }

    /// Sets where a system can be reached.
    pub fn locate(&mut self, namespace: &Namespace, name: &SystemName, base_url: Option<String>, health: Option<String>) {
        let system = self.systems.entry((namespace.clone(), name.clone())).or_default();
        if base_url.is_some() {
            system.base_url = base_url;
        }
        if health.is_some() {
            system.health_check_url = health;
        }
    }

    /// Declares a capability. Returns what must be stored; none if nothing changed. A manifest that says nothing about the contract does
    /// not wipe out what a worker said.
    pub fn declare(
        &mut self,
        namespace: &Namespace,
        system: &SystemName,
        announced: &AnnouncedCapability,
        source: Source,
        now: Timestamp,
    ) -> Option<Declared> {
        let known = self.systems.entry((namespace.clone(), system.clone())).or_default();
        let digest = announced.contract.digest();
        if let Some(existing) = known.capabilities.get(&announced.name) {
            let same = existing.digest == digest && existing.description == announced.description && existing.timeout == announced.timeout;
            let says_nothing = announced.contract.is_empty() && announced.description.is_empty();
            if same || (source == Source::Manifest && says_nothing) {
                return None;
            }
        }
        let contract = self.contracts.entry(digest).or_insert_with(|| Arc::new(announced.contract.clone())).clone();
        let capability = Capability {
            contract,
            digest,
            description: announced.description.clone(),
            timeout: announced.timeout,
            source,
            declared_at: now,
        };
        known.capabilities.insert(announced.name.clone(), capability.clone());
        Some(Declared { namespace: namespace.clone(), system: system.clone(), name: announced.name.clone(), capability })
    }

    /// A worker introduces itself, for the first time or again. Returns the declarations that must be stored.
    ///
    /// # Errors
    /// Refuses a worker without capabilities, with impossible slots, or one too many.
    pub fn announce(
        &mut self,
        key: SessionKey,
        announcement: Announcement,
        uptime: Duration,
        now: Timestamp,
    ) -> Result<Vec<Declared>, Refusal> {
        if announcement.capabilities.is_empty() {
            return Err(Refusal::NoCapability);
        }
        if announcement.slots == 0 || announcement.slots > Self::SLOTS_MAX {
            return Err(Refusal::Slots(announcement.slots));
        }
        let too_large =
            announcement.capabilities.iter().find(|announced| announced.slot_cost.is_some_and(|cost| cost > announcement.slots));
        if let Some((announced, cost)) = too_large.and_then(|announced| Some((announced, announced.slot_cost?))) {
            return Err(Refusal::SlotCost { capability: announced.name.clone(), cost, slots: announcement.slots });
        }
        if self.sessions.len() >= Self::SESSIONS_MAX && !self.sessions.contains_key(&key) {
            return Err(Refusal::TooManySessions);
        }
        self.costs_announced |= announcement.capabilities.iter().any(|announced| announced.slot_cost.is_some_and(|cost| cost > 1));
        let replaced = self.remove(&key);
        let declared = announcement
            .capabilities
            .iter()
            .filter_map(|capability| self.declare(&key.namespace, &key.system, capability, Source::Worker, now))
            .collect();
        let mut session = Session::new(key.clone(), announcement, uptime);
        // The order to leave may be on its way while the worker says hello again.
        session.withheld = match replaced.and_then(|replaced| replaced.withheld) {
            Some(Withheld::Worker) => Some(Withheld::Worker),
            Some(Withheld::Version) | None => self.withheld_by_version(&session),
        };
        for capability in session.capabilities.keys() {
            let offer = (key.namespace.clone(), key.system.clone(), capability.clone());
            self.offers.entry(offer).or_default().insert(key.clone());
        }
        self.sessions.insert(key, session);
        Ok(declared)
    }

    /// Forgets a session. Returns it if it was known.
    pub fn remove(&mut self, key: &SessionKey) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        for capability in session.capabilities.keys() {
            let offer = (key.namespace.clone(), key.system.clone(), capability.clone());
            if let Some(keys) = self.offers.get_mut(&offer) {
                keys.remove(key);
                if keys.is_empty() {
                    self.offers.remove(&offer);
                }
            }
        }
        Some(session)
    }

    fn withheld_by_version(&self, session: &Session) -> Option<Withheld> {
        let drained = self.drained.get(&(session.key.namespace.clone(), session.key.system.clone()))?;
        drained.contains(&session.announcement.system_version).then_some(Withheld::Version)
    }

    /// Gives a worker nothing new from now on. Returns whom to tell to finish and leave. Asked again, it answers the same.
    ///
    /// # Errors
    /// No live worker has the session, or those of several systems do and none is named.
    pub fn drain_worker(&mut self, namespace: &Namespace, session: &str, system: Option<&SystemName>) -> Result<SessionKey, DrainRefusal> {
        let named = |key: &&SessionKey| {
            key.namespace == *namespace && key.session.as_str() == session && system.is_none_or(|system| key.system == *system)
        };
        let found: Vec<SessionKey> = self.sessions.keys().filter(named).cloned().collect();
        match found.as_slice() {
            [] => Err(DrainRefusal::UnknownWorker(session.chars().take(80).collect())),
            [key] => {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.withheld = Some(Withheld::Worker);
                }
                Ok(key.clone())
            }
            several => {
                let systems: Vec<String> = several.iter().map(|key| format!("`{}`", key.system)).collect();
                Err(DrainRefusal::AmbiguousWorker(systems.join(", ")))
            }
        }
    }

    /// Gives workers of a build nothing new from now on, those that join later included; or takes that back. The build is compared as the text
    /// that its workers announce. Returns how many live workers it is about.
    ///
    /// # Errors
    /// The system is unknown, or too many of its builds are drained.
    pub fn drain_version(&mut self, namespace: &Namespace, system: &SystemName, version: &str, undo: bool) -> Result<usize, DrainRefusal> {
        let owner = (namespace.clone(), system.clone());
        let is_of_system = |key: &SessionKey| key.namespace == *namespace && key.system == *system;
        if !self.systems.contains_key(&owner) && !self.sessions.keys().any(is_of_system) {
            return Err(DrainRefusal::UnknownSystem(system.clone()));
        }
        let drained = self.drained.entry(owner.clone()).or_default();
        if undo {
            drained.remove(version);
        } else if drained.len() >= Self::DRAINED_MAX && !drained.contains(version) {
            return Err(DrainRefusal::TooManyVersions(system.clone()));
        } else {
            drained.insert(version.to_owned());
        }
        if drained.is_empty() {
            self.drained.remove(&owner);
        }
        let concerned = |session: &&mut Session| is_of_system(&session.key) && session.announcement.system_version == version;
        let mut workers = 0;
        for session in self.sessions.values_mut().filter(concerned) {
            workers += 1;
            session.withheld = match session.withheld {
                Some(Withheld::Worker) => Some(Withheld::Worker),
                Some(Withheld::Version) | None => (!undo).then_some(Withheld::Version),
            };
        }
        Ok(workers)
    }

    /// The builds of a system that get nothing new, in a stable order.
    pub fn drained_versions(&self, namespace: &Namespace, system: &SystemName) -> impl Iterator<Item = &str> {
        self.drained.get(&(namespace.clone(), system.clone())).into_iter().flatten().map(String::as_str)
    }

    /// The session, to be changed.
    pub fn session_mut(&mut self, key: &SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(key)
    }

    /// The session.
    pub fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.sessions.get(key)
    }

    /// Every live session, in a stable order.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// Sessions that have been silent for longer than the lease.
    pub fn expired(&self, uptime: Duration, lease: Duration) -> Vec<SessionKey> {
        let silent = |session: &&Session| uptime.saturating_sub(session.heard_at) > lease;
        self.sessions.values().filter(silent).map(|session| session.key.clone()).collect()
    }

    /// The sessions that offer a capability, draining ones included.
    pub fn offering(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> impl Iterator<Item = &Session> {
        let offer = (namespace.clone(), system.clone(), capability.clone());
        self.offers.get(&offer).into_iter().flatten().filter_map(|key| self.sessions.get(key))
    }

    /// Whether any session that may be given work offers the capability.
    pub fn is_offered(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> bool {
        self.offering(namespace, system, capability).any(Session::takes_work)
    }

    /// The system, if anybody ever spoke of it.
    pub fn system(&self, namespace: &Namespace, name: &SystemName) -> Option<&System> {
        self.systems.get(&(namespace.clone(), name.clone()))
    }

    /// Every known system, in a stable order.
    pub fn systems(&self) -> impl Iterator<Item = (&Namespace, &SystemName, &System)> {
        self.systems.iter().map(|((namespace, name), system)| (namespace, name, system))
    }

    /// The contract with a digest.
    pub fn contract(&self, digest: &Digest) -> Option<&Arc<Contract>> {
        self.contracts.get(digest)
    }

    /// The contract that a session's build announced for a capability, with its digest.
    pub fn contract_of(&self, session: &Session, capability: &CapabilityName) -> Option<(Digest, &Arc<Contract>)> {
        let digest = (*session.capabilities.get(capability)?)?;
        self.contracts.get(&digest).map(|contract| (digest, contract))
    }
}

#[cfg(test)]
mod tests;
