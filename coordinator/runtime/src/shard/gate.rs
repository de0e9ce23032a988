//! The deploy gate: a manifest is compared with the live fleet and the other workflows before it is applied, a worker with the workflows
//! before it is admitted.
//!
//! Only what is new is asked about. A contract that a live worker has announced was admitted once, so the thousandth worker of a build
//! costs nothing, and a worker that was admitted, or accepted by `--force`, may come back. Comparisons are kept by the digests of both sides.

use super::Shard;
use super::catalog::Catalog;
use crate::operations::{ApplyError, ComparedWith, Force, GatePolicy, Incompatibility};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tasker_engine::task::StepState;
use tasker_engine::version::Version;
use tasker_engine::workflow::{Step, Workflow};
use tasker_engine::{CapabilityName, Contract, Digest, Namespace, StepIndex, SystemName, TaskId};
use tasker_manifest::DeclaredSystem;
use tasker_registry::SessionKey;
use tasker_registry::gate::{self, Finding};
use tasker_registry::message::Announcement;
use tasker_registry::registry::Source;
use tasker_scheduler::route::{Offer, Rule};

/// Comparisons that are kept: some thousand workflows with a handful of builds. Beyond, all are forgotten, which only costs comparing again.
const KEPT_MAX: usize = 50_000;
/// Incompatibilities of one apply; the ones that break come first.
const REPORTED_MAX: usize = 100;
/// Incompatibilities that a refused worker is told; its message is one line of a log.
const TOLD_MAX: usize = 3;
/// Different contracts of one capability that a manifest is compared with: a fleet has the builds of a rolling deploy, not more.
const CONTRACTS_MAX: usize = 16;

type Target = (Namespace, SystemName, CapabilityName);

/// What was compared already, and who uses what.
#[derive(Default)]
pub(super) struct Gate {
    /// By workflow, owner, capability and contract.
    kept: HashMap<(Digest, SystemName, CapabilityName, Digest), Arc<[Finding]>>,
    /// The applied workflows that call a capability, by their digests.
    users: HashMap<Target, Vec<Digest>>,
    /// How many workflows the line above knows.
    indexed: usize,
    /// What the log was told in passing, so that a thousand workers do not say the same.
    told: HashSet<(Digest, CapabilityName, Digest)>,
}

impl Gate {
    fn compare(
        &mut self,
        workflow: &Workflow,
        system: &SystemName,
        capability: &CapabilityName,
        contract: &Contract,
        digest: Digest,
    ) -> Arc<[Finding]> {
        if self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        let key = (workflow.digest, system.clone(), capability.clone(), digest);
        let compared = || gate::compare(workflow, system, capability, contract).into();
        self.kept.entry(key).or_insert_with(compared).clone()
    }

    /// The workflows that call a capability.
    fn users(&mut self, catalog: &Catalog, target: &Target) -> Vec<Digest> {
        if self.indexed != catalog.len() {
            self.users.clear();
            for workflow in catalog.all() {
                let calls = workflow.steps.iter().filter_map(Step::call).map(|call| (&call.system, &call.capability));
                for (system, capability) in calls.collect::<BTreeSet<_>>() {
                    let target = (workflow.namespace.clone(), system.clone(), capability.clone());
                    self.users.entry(target).or_default().push(workflow.digest);
                }
            }
            // In the order of digests, because the catalog has none.
            self.users.values_mut().for_each(|users| users.sort_unstable());
            self.indexed = catalog.len();
        }
        self.users.get(target).cloned().unwrap_or_default()
    }

    /// Whether the log should be told.
    fn is_news(&mut self, workflow: Digest, capability: &CapabilityName, contract: Digest) -> bool {
        if self.told.len() >= KEPT_MAX {
            self.told.clear();
        }
        self.told.insert((workflow, capability.clone(), contract))
    }
}

/// What a manifest that is about to be applied does not fit.
pub(super) struct Assessment {
    /// What breaks comes first.
    pub found: Vec<Incompatibility>,
}

impl Assessment {
    /// Lets pass what fits, or what somebody takes responsibility for.
    ///
    /// # Errors
    /// Something breaks, and nobody forces it.
    pub fn passed(self, workflow: &Workflow, force: Option<&Force>) -> Result<Self, ApplyError> {
        if self.breaks().next().is_none() || force.is_some() {
            return Ok(self);
        }
        let (name, version) = (workflow.name.clone(), workflow.version.clone());
        Err(ApplyError::Incompatible { name, version, found: self.found })
    }

    fn breaks(&self) -> impl Iterator<Item = &Incompatibility> {
        self.found.iter().filter(|found| found.finding.breaks())
    }

    /// Whether the fleet is known not to keep what the manifest declares: the registry stays with what workers said.
    pub fn contradicts(&self, system: &SystemName, capability: &CapabilityName) -> bool {
        self.breaks()
            .any(|found| found.with != ComparedWith::Manifest && found.finding.system == *system && found.finding.capability == *capability)
    }

    /// Writes down who applied what in spite of the gate; the line carries the instant.
    pub fn audit(&self, workflow: &Workflow, force: Option<&Force>) {
        let Some(force) = force else { return };
        let incompatible = self.breaks().count();
        if incompatible == 0 {
            return;
        }
        let Workflow { namespace, name, version, digest, .. } = workflow;
        tracing::warn!(audit = "workflow.apply_forced", by = force.by, %namespace, workflow = %name, %version, %digest, incompatible, "workflow applied in spite of what does not fit");
        for found in self.breaks().take(gate::FINDINGS_MAX) {
            tracing::warn!(audit = "workflow.apply_forced", workflow = %name, %version, tasks = found.tasks, "{found}");
        }
    }
}

impl Shard {
    /// Compares a manifest with the live fleet and with the other workflows.
    pub(super) fn assess(&mut self, workflow: &Workflow, systems: &[DeclaredSystem]) -> Assessment {
        let mut found = self.against_fleet(workflow);
        found.extend(self.against_others(workflow, systems));
        found.sort_by_key(|found| std::cmp::Reverse(found.finding.certainty));
        found.truncate(REPORTED_MAX);
        Assessment { found }
    }

    /// What the manifest's steps send and expect, against what live workers announced, or, if none lives, what the last one did.
    fn against_fleet(&mut self, workflow: &Workflow) -> Vec<Incompatibility> {
        let mut found = Vec::new();
        let calls = workflow.steps.iter().filter_map(Step::call).map(|call| (&call.system, &call.capability));
        for (system, capability) in calls.collect::<BTreeSet<_>>() {
            for announced in self.announced(&workflow.namespace, system, capability) {
                let findings = self.gate.compare(workflow, system, capability, &announced.contract, announced.digest);
                let meant =
                    findings.iter().filter(|finding| announced.of.iter().any(|worker| worker.may_take(workflow.step(finding.index))));
                found.extend(meant.map(|finding| Incompatibility {
                    finding: finding.clone(),
                    with: announced.with.clone(),
                    tasks: 0,
                    shown: Vec::new(),
                }));
            }
        }
        found
    }

    fn announced(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> Vec<Announced> {
        let mut by_digest: BTreeMap<Digest, Announced> = BTreeMap::new();
        let mut living = false;
        for session in self.registry.offering(namespace, system, capability) {
            living = true;
            let Some((digest, contract)) = self.registry.contract_of(session, capability) else { continue };
            if by_digest.len() >= CONTRACTS_MAX && !by_digest.contains_key(&digest) {
                continue;
            }
            let announced = by_digest.entry(digest).or_insert_with(|| Announced {
                digest,
                contract: contract.clone(),
                with: ComparedWith::Workers { build: session.announcement.system_version.clone() },
                of: Vec::new(),
            });
            // Workers of one build and with the same labels take the same steps.
            let worker = Worker::of(&session.announcement);
            if announced.of.len() < CONTRACTS_MAX && !announced.of.contains(&worker) {
                announced.of.push(worker);
            }
        }
        let known = self.registry.system(namespace, system).and_then(|system| system.capabilities.get(capability));
        if let Some(last) = known.filter(|last| !living && last.source == Source::Worker && !last.contract.is_empty()) {
            let contract = last.contract.clone();
            let of = vec![Worker::Any];
            by_digest.insert(last.digest, Announced { digest: last.digest, contract, with: ComparedWith::LastWorker, of });
        }
        by_digest.into_values().collect()
    }

    /// What the manifest declares, against the current versions of the other workflows that call the same capability.
    fn against_others(&mut self, workflow: &Workflow, systems: &[DeclaredSystem]) -> Vec<Incompatibility> {
        let mut found = Vec::new();
        let declared = systems.iter().flat_map(|system| system.capabilities.iter().map(move |capability| (&system.name, capability)));
        for (system, capability) in declared.filter(|(_, capability)| !capability.contract.is_empty()) {
            let target = (workflow.namespace.clone(), system.clone(), capability.name.clone());
            let digest = capability.contract.digest();
            for user in self.gate.users(&self.catalog, &target) {
                let Some(other) = self.current(&workflow.namespace, user).filter(|other| other.name != workflow.name) else { continue };
                let findings = self.gate.compare(&other, system, &capability.name, &capability.contract, digest);
                found.extend(self.with_tasks(&other, &findings, &ComparedWith::Manifest));
            }
        }
        found
    }

    /// The workflow with this digest, if new tasks run it.
    fn current(&self, namespace: &Namespace, digest: Digest) -> Option<Arc<Workflow>> {
        let entry = self.catalog.pinned(namespace, digest)?;
        let current = self.catalog.current(namespace, &entry.workflow.name)?;
        (current.workflow.digest == digest).then(|| entry.workflow.clone())
    }

    /// What a worker that says hello does not fit; none if it may come in. With [`GatePolicy::Warn`] the log is told instead.
    pub(super) fn stop_at_gate(&mut self, key: &SessionKey, announcement: &Announcement) -> Option<String> {
        let worker = Worker::of(announcement);
        let mut found = Vec::new();
        let mut news = false;
        for capability in announcement.capabilities.iter().filter(|capability| !capability.contract.is_empty()) {
            let digest = capability.contract.digest();
            if self.was_admitted(key, &capability.name, digest) {
                continue;
            }
            let target = (key.namespace.clone(), key.system.clone(), capability.name.clone());
            for user in self.gate.users(&self.catalog, &target) {
                let Some(entry) = self.catalog.pinned(&key.namespace, user) else { continue };
                let workflow = entry.workflow.clone();
                let findings = self.gate.compare(&workflow, &key.system, &capability.name, &capability.contract, digest);
                let broken: Vec<Finding> =
                    findings.iter().filter(|finding| finding.breaks() && worker.may_take(workflow.step(finding.index))).cloned().collect();
                if broken.is_empty() {
                    continue;
                }
                let is_current = self.current(&key.namespace, user).is_some();
                let with = ComparedWith::Workers { build: announcement.system_version.clone() };
                let counted = self.with_tasks(&workflow, &broken, &with);
                let before = found.len();
                found.extend(counted.into_iter().filter(|found| is_current || found.tasks > 0));
                news |= found.len() > before && self.gate.is_news(user, &capability.name, digest);
            }
        }
        let message = message(&found)?;
        match self.settings.gate {
            GatePolicy::Refuse => Some(message),
            GatePolicy::Warn => {
                if news {
                    tracing::warn!(system = %key.system, session = %key.session, code = CODE, "worker admitted in spite of what does not fit: {message}");
                }
                None
            }
        }
    }

    /// Whether a worker with this contract lives, or was the last to announce one.
    fn was_admitted(&self, key: &SessionKey, capability: &CapabilityName, digest: Digest) -> bool {
        let last = self.registry.system(&key.namespace, &key.system).and_then(|system| system.capabilities.get(capability));
        last.is_some_and(|last| last.source == Source::Worker && last.digest == digest)
            || self
                .registry
                .offering(&key.namespace, &key.system, capability)
                .any(|session| session.capabilities.get(capability) == Some(&Some(digest)))
    }

    /// The findings with the tasks in flight that still have the step before them.
    fn with_tasks(&self, workflow: &Workflow, findings: &[Finding], with: &ComparedWith) -> Vec<Incompatibility> {
        let found = |finding: &Finding| Incompatibility { finding: finding.clone(), with: with.clone(), tasks: 0, shown: Vec::new() };
        let mut found: Vec<Incompatibility> = findings.iter().map(found).collect();
        if found.is_empty() {
            return found;
        }
        let mut affected: BTreeMap<StepIndex, BTreeSet<TaskId>> = BTreeMap::new();
        let mut counts: BTreeMap<StepIndex, usize> = BTreeMap::new();
        let steps: BTreeSet<StepIndex> = findings.iter().map(|finding| finding.index).collect();
        for resident in self.residents.iter() {
            let task = &resident.task;
            let pinned = task.workflow.digest == workflow.digest && task.workflow.namespace == workflow.namespace;
            if !pinned || task.status.is_terminal() {
                continue;
            }
            for step in steps.iter().copied().filter(|step| is_ahead(&task.progress(*step).state)) {
                *counts.entry(step).or_default() += 1;
                let first = affected.entry(step).or_default();
                first.insert(task.id);
                if first.len() > Incompatibility::TASKS_SHOWN {
                    first.pop_last();
                }
            }
        }
        for step in &steps {
            for task in self.absent.ahead_of(workflow, *step) {
                *counts.entry(*step).or_default() += 1;
                let first = affected.entry(*step).or_default();
                first.insert(task);
                if first.len() > Incompatibility::TASKS_SHOWN {
                    first.pop_last();
                }
            }
        }
        for one in &mut found {
            one.tasks = counts.get(&one.finding.index).copied().unwrap_or_default();
            one.shown = affected.get(&one.finding.index).into_iter().flatten().copied().collect();
        }
        found
    }
}

/// The code of a refused hello.
pub(super) const CODE: &str = "contract.incompatible";

/// What a refused worker is told; none if nothing was found.
fn message(found: &[Incompatibility]) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let shown: Vec<String> = found.iter().take(TOLD_MAX).map(Incompatibility::to_string).collect();
    let more = match found.len().saturating_sub(TOLD_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!("the contract does not fit what is applied: {}{more}", shown.join("; ")))
}

/// Whether a step may still ask a worker. A handler on standby may be called for.
pub(super) fn is_ahead(state: &StepState) -> bool {
    !state.is_terminal() || matches!(state, StepState::Standby)
}

/// A contract that workers have announced.
struct Announced {
    digest: Digest,
    contract: Arc<Contract>,
    with: ComparedWith,
    of: Vec<Worker>,
}

/// What routes look at.
#[derive(PartialEq)]
enum Worker {
    /// Nothing is known of its build and labels.
    Any,
    Some {
        build: String,
        labels: BTreeMap<String, String>,
    },
}

impl Worker {
    fn of(announcement: &Announcement) -> Self {
        Self::Some { build: announcement.system_version.clone(), labels: announcement.labels.clone() }
    }

    /// Whether the step's route lets such a worker take it.
    fn may_take(&self, step: &Step) -> bool {
        let Some(route) = step.call().and_then(|call| call.route.as_ref()) else { return true };
        let rule = Rule::new(route.version.clone(), route.labels.clone());
        match self {
            Self::Any => true,
            Self::Some { build, labels } => {
                let version = Version::parse(build);
                rule.is_none_or(|rule| rule.admits(&Offer { session: "", version: version.as_ref(), labels }))
            }
        }
    }
}
