//! From the store to memory, at start: nothing is remembered but what was committed.
//!
//! What the loop must know before it runs is small: definitions, kept events, pauses, and which tasks are active. The tasks themselves are read
//! while it runs ([`super::loading`]).

use super::absent::Absent;
use super::attempts::Attempts;
use super::catalog::Catalog;
use super::children::Nursery;
use super::counters::Counters;
use super::effects::Effects;
use super::flow::DeclaredFlow;
use super::group::Group;
use super::http::Manners;
use super::letters::Letters;
use super::loading::Loads;
use super::outside::Kept;
use super::pauses::Pauses;
use super::project::Projection;
use super::reach::Reach;
use super::resident::{Keys, Residents};
use super::slots::Slots;
use super::tally::Tally;
use super::timers::Timers;
use super::waits::Waits;
use super::{Internal, Shard};
use crate::operations::Watchers;
use crate::port::bus::Bus;
use crate::port::egress::Egress;
use crate::port::store::{History, ReadError, Recovery, Store};
use crate::port::surroundings::Surroundings;
use crate::settings::Settings;
use crate::trace::SpanSink;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tasker_engine::{CapabilityName, Contract, Digest, Namespace, TaskId};
use tasker_registry::Registry;
use tasker_registry::registry::{Capability, Declared, Source};
use tasker_scheduler::Scheduler;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Why the loop did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("the store could not be read at start")]
    Read(#[from] ReadError),
    /// A stored workflow is no longer understood.
    #[error("workflow `{name}` {version} is stored but no longer passes the checker: {first}")]
    Workflow {
        /// Which.
        name: String,
        /// Which version.
        version: String,
        /// The first thing that is wrong with it.
        first: String,
    },
    /// A stored contract is no longer understood.
    #[error("contract {digest} is stored but cannot be compiled: {reason}")]
    Contract {
        /// Which.
        digest: Digest,
        /// Why.
        reason: String,
    },
}

/// A task's history, read but not yet folded: folding needs the workflow, which the loop knows.
pub(super) struct Loaded {
    pub id: TaskId,
    pub history: History,
}

impl Shard {
    pub(super) async fn recover(
        settings: Settings,
        store: Arc<dyn Store>,
        (bus, egress): (Arc<dyn Bus>, Arc<dyn Egress>),
        Surroundings { clock, chance }: Surroundings,
        spans: SpanSink,
        committed: Watchers,
        internal: mpsc::Sender<Internal>,
    ) -> Result<Self, StartError> {
        let since = Instant::now();
        let recovery = store.recover().await?;
        let mut shard = Self {
            settings,
            store: store.clone(),
            bus,
            egress,
            spans,
            committed,
            internal,
            started: Instant::now(),
            started_at: clock.now(),
            clock,
            chance,
            residents: Residents::default(),
            catalog: Catalog::default(),
            registry: Registry::default(),
            scheduler: Scheduler::default(),
            responders: Reach::doubtful(),
            http: Reach::hopeful(),
            manners: Manners::default(),
            attempts: Attempts::default(),
            permits: HashMap::new(),
            passed: super::limits::Passed::default(),
            turnstile: super::turnstile::Turnstile::default(),
            waiters: HashMap::new(),
            effects: Effects::default(),
            nursery: Nursery::default(),
            waits: Waits::default(),
            kept: Kept::default(),
            pauses: Pauses::default(),
            letters: Letters::default(),
            slots: Slots::default(),
            keys: Keys::default(),
            absent: Absent::default(),
            loads: Loads::default(),
            drowsy: VecDeque::new(),
            dozing: Vec::new(),
            timers: Timers::default(),
            group: Group::default(),
            in_flight: None,
            last: recovery.last,
            last_task: recovery.last_task.unwrap_or_else(|| TaskId::first_at(tasker_engine::Timestamp::from_millis(0))),
            committed_to: recovery.last,
            projection: Projection::default(),
            tally: Tally::default(),
            counters: Counters::default(),
            gate: super::gate::Gate::default(),
            hearing: super::hearing::Hearing::default(),
            full: None,
            draining: None,
        };
        for (namespace, weight) in &*shard.settings.namespace_weights {
            shard.scheduler.set_namespace_weight(namespace, *weight);
        }
        if recovery.last > 0 {
            shard.scheduler.set_cold();
        }
        shard.restore_definitions(&recovery)?;
        recovery.workflow_pauses.into_iter().for_each(|pause| shard.pauses.restore(pause));
        recovery.open_letters.into_iter().for_each(|letter| shard.letters.restore(letter));
        recovery.events.into_iter().for_each(|event| shard.kept.put(event));
        let (active, unprojected) = (recovery.active.len(), recovery.finished_unprojected.len());
        shard.expect(recovery.active, recovery.finished_unprojected, recovery.projected_to);
        shard.tell_spans_again();
        shard.watch_health();
        let elapsed_ms = since.elapsed().as_millis() as u64;
        tracing::info!(active, unprojected, elapsed_ms, "recovered: active tasks are read while the loop runs");
        shard.read_on();
        Ok(shard)
    }

    fn restore_definitions(&mut self, recovery: &Recovery) -> Result<(), StartError> {
        let mut contracts = BTreeMap::new();
        for (digest, stored) in &recovery.contracts {
            let contract =
                Contract::from_json(stored).map_err(|invalid| StartError::Contract { digest: *digest, reason: invalid.to_string() })?;
            self.registry.restore_contract(*digest, contract.clone());
            contracts.insert(*digest, Arc::new(contract));
        }
        for system in &recovery.systems {
            self.registry.locate(&system.namespace, &system.name, system.base_url.clone(), system.health_check_url.clone());
        }
        for row in &recovery.capabilities {
            let capability = Capability {
                contract: contracts.get(&row.contract).cloned().unwrap_or_default(),
                digest: row.contract,
                description: row.description.clone(),
                timeout: row.timeout,
                source: if row.source == Source::Manifest.as_str() { Source::Manifest } else { Source::Worker },
                declared_at: row.declared_at,
            };
            let (namespace, system, name): (Namespace, _, CapabilityName) = (row.namespace.clone(), row.system.clone(), row.name.clone());
            self.registry.restore(Declared { namespace, system, name, capability });
        }
        for row in &recovery.workflows {
            let file = format!("{}.yaml", row.name);
            let checked = tasker_manifest::restore(&row.source, &file, &row.namespace);
            let first = checked.diagnostics.first().map(|found| found.message.clone()).unwrap_or_default();
            let problem = |first: String| StartError::Workflow { name: row.name.to_string(), version: row.version.to_string(), first };
            let manifest = checked.manifest.ok_or_else(|| problem(first))?;
            if manifest.workflow.digest != row.digest {
                return Err(problem(format!("its digest was {}, and is {} now", row.digest, manifest.workflow.digest)));
            }
            for system in &manifest.systems {
                self.manners.learn(&row.namespace, system);
            }
            let flow = DeclaredFlow::of(&row.namespace, &manifest.systems);
            self.catalog.insert(manifest.workflow, manifest.description, flow, row.clone(), &mut self.scheduler);
        }
        let namespaces: BTreeSet<&Namespace> = recovery.workflows.iter().map(|row| &row.namespace).collect();
        namespaces.into_iter().for_each(|namespace| self.declare_flow(namespace));
        Ok(())
    }
}
