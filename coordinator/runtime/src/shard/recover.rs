//! From the store to memory, at start: nothing is remembered but what was committed.

use super::attempts::{Attempts, Carrier, Open};
use super::catalog::Catalog;
use super::children::Nursery;
use super::counters::Counters;
use super::effects::Effects;
use super::flow::DeclaredFlow;
use super::group::Group;
use super::http::Manners;
use super::outside::Kept;
use super::pauses::Pauses;
use super::project::Projection;
use super::reach::Reach;
use super::resident::{Keys, Resident, Residents};
use super::waits::Waits;
use super::{Internal, Shard};
use crate::operations::Committed;
use crate::port::bus::Bus;
use crate::port::egress::Egress;
use crate::port::store::{History, ReadError, Recovery, Sequence, Store};
use crate::port::surroundings::Surroundings;
use crate::settings::Settings;
use crate::trace::SpanSink;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::{Effect, resume};
use tasker_engine::event::{Event, Target};
use tasker_engine::fold::BrokenHistory;
use tasker_engine::task::StepState;
use tasker_engine::{CapabilityName, Contract, Digest, Namespace, Task, TaskId};
use tasker_registry::registry::{Capability, Declared, Source};
use tasker_registry::{Registry, SessionKey};
use tasker_scheduler::Scheduler;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

/// Histories read at once.
const READ_AHEAD: usize = 16;

/// How far back spans are sent again after a restart: longer than the exporter lets them wait.
const SPANS_WINDOW: Duration = Duration::from_secs(3);
/// The most journal rows looked at for that.
const SPANS_ROWS: Sequence = 5_000;

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
    /// A task's history is damaged.
    #[error(transparent)]
    History(#[from] BrokenHistory),
}

/// A task's history, read but not yet folded: folding needs the workflow, which the loop knows.
pub(super) struct Loaded {
    id: TaskId,
    history: History,
}

/// Reads one task.
pub(super) async fn load_task(store: &dyn Store, id: TaskId) -> Result<Option<Loaded>, ReadError> {
    Ok(store.history(id, None).await?.map(|history| Loaded { id, history }))
}

impl Shard {
    pub(super) async fn recover(
        settings: Settings,
        store: Arc<dyn Store>,
        (bus, egress): (Arc<dyn Bus>, Arc<dyn Egress>),
        Surroundings { clock, chance }: Surroundings,
        spans: SpanSink,
        committed: broadcast::Sender<Committed>,
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
            waiters: HashMap::new(),
            effects: Effects::default(),
            nursery: Nursery::default(),
            waits: Waits::default(),
            kept: Kept::default(),
            pauses: Pauses::default(),
            keys: Keys::default(),
            timers: BinaryHeap::new(),
            group: Group::default(),
            in_flight: None,
            last: recovery.last,
            last_task: recovery.last_task.unwrap_or_else(|| TaskId::first_at(tasker_engine::Timestamp::from_millis(0))),
            projection: Projection::default(),
            counters: Counters::default(),
            gate: super::gate::Gate::default(),
            hearing: super::hearing::Hearing::default(),
            full: None,
            draining: None,
        };
        shard.restore_definitions(&recovery)?;
        recovery.workflow_pauses.into_iter().for_each(|pause| shard.pauses.restore(pause));
        recovery.events.into_iter().for_each(|event| shard.kept.put(event));
        let (active, unprojected) = (recovery.active.len(), recovery.finished_unprojected.len());
        shard.take_in_all(&store, recovery.active.into_iter().chain(recovery.finished_unprojected)).await?;
        shard.settle_children(&store).await?;
        shard.sweep_all_pauses();
        shard.tell_spans_again(&store).await?;
        shard.watch_health();
        let elapsed_ms = since.elapsed().as_millis() as u64;
        tracing::info!(
            active,
            unprojected,
            attempts_open = shard.attempts.len(),
            steps_waiting = shard.scheduler.waiting(),
            elapsed_ms,
            "recovered"
        );
        Ok(shard)
    }

    /// Reads tasks and does what their states imply. That may concern other tasks (parents, children), so all of them are there first.
    async fn take_in_all(&mut self, store: &Arc<dyn Store>, heads: impl Iterator<Item = (TaskId, Sequence)>) -> Result<(), StartError> {
        let mut histories = futures::stream::iter(heads.map(|(id, last)| read(store.clone(), id, last))).buffered(READ_AHEAD);
        let mut implied = Vec::new();
        while let Some(loaded) = histories.try_next().await? {
            let id = loaded.id;
            implied.push((id, self.take_in(loaded).map_err(ReadError::Damaged)?));
            self.projection.touch(id);
        }
        for (id, effects) in implied {
            self.follow(id, effects, None);
        }
        Ok(())
    }

    /// Sends the spans of the last moments before the stop once more: they may have waited in the exporter when the process was killed. Their
    /// ids are derived, so a receiver that has them already sees the same spans again.
    async fn tell_spans_again(&mut self, store: &Arc<dyn Store>) -> Result<(), StartError> {
        if !self.spans.is_on() {
            return Ok(());
        }
        let rows = store.journal((self.last - SPANS_ROWS).max(0), SPANS_ROWS as usize).await?;
        let Some(newest) = rows.last().map(|row| row.entry.at) else { return Ok(()) };
        for row in rows.into_iter().filter(|row| newest.since(row.entry.at) <= SPANS_WINDOW) {
            let id = row.entry.task;
            if self.residents.get(id).is_none()
                && let Some(loaded) = load_task(&**store, id).await?
            {
                self.take_in(loaded).map_err(ReadError::Damaged)?;
            }
            self.spans_of(&Committed { task: id, entry: row.entry });
        }
        Ok(())
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
            let flow = DeclaredFlow::of(&manifest.systems);
            self.catalog.insert(manifest.workflow, manifest.description, flow, row.clone(), &mut self.scheduler);
        }
        let namespaces: BTreeSet<&Namespace> = recovery.workflows.iter().map(|row| &row.namespace).collect();
        namespaces.into_iter().for_each(|namespace| self.declare_flow(namespace));
        Ok(())
    }

    /// Puts parents and children right that do not agree; reads the children that are over and no longer in memory.
    async fn settle_children(&mut self, store: &Arc<dyn Store>) -> Result<(), StartError> {
        let unknown = self.reconcile_children();
        for child in &unknown {
            if let Some(loaded) = load_task(&**store, *child).await? {
                self.take_in(loaded).map_err(ReadError::Damaged)?;
            }
        }
        if !unknown.is_empty() {
            self.reconcile_children();
        }
        Ok(())
    }

    /// Folds a task's history; answers with what its state implies and has still to be done.
    pub(super) fn take_in(&mut self, loaded: Loaded) -> Result<Vec<Effect>, String> {
        let Loaded { id, history } = loaded;
        let rows = history.rows;
        let entries = || rows.iter().map(|row| &*row.entry);
        let digest = match entries().next().and_then(|entry| entry.events.first()) {
            Some(Event::TaskAccepted(submission)) => submission.workflow,
            _ => return Err(BrokenHistory::NoBeginning(id).to_string()),
        };
        let pinned = self.catalog.pinned(&history.namespace, digest);
        let entry = pinned.ok_or_else(|| format!("task {id} is pinned to workflow digest {digest}, which is not stored"))?.clone();
        let task = Task::fold(entry.workflow.clone(), entries()).map_err(|broken| broken.to_string())?;
        let last = rows.last().map_or(0, |row| row.sequence);
        self.last_task = self.last_task.max(id);
        self.reopen(&task);
        let effects = resume(&task);
        self.waits.restore(&task);
        let mut resident = Resident::new(task, last, entry.lanes);
        rows.iter().for_each(|row| resident.note(&row.entry));
        self.residents.insert(resident);
        Ok(effects)
    }

    /// Open attempts get a fresh lease: whoever carries them says so within it, or they go to others.
    fn reopen(&mut self, task: &Task) {
        for step in task.indexes() {
            let StepState::Running(open) = &task.progress(step).state else { continue };
            // A child task carries itself and says when it is over.
            let Some(system) = task.definition(step).system() else { continue };
            let carrier = match &open.target {
                Target::Session(session) => {
                    let key = SessionKey { namespace: task.workflow.namespace.clone(), system: system.clone(), session: session.clone() };
                    Carrier::Session(key, 0)
                }
                Target::Responders | Target::Http => Carrier::Parked,
                Target::Child(_) => continue,
            };
            if carrier == Carrier::Parked {
                let entry = self.catalog.pinned(&task.workflow.namespace, task.workflow.digest);
                if let Some(lane) = entry.and_then(|entry| entry.lanes[task.node(step).at()]) {
                    // Whether a system over HTTP had accepted is not recorded: it is asked again, and its callback counts either way.
                    let whom = if open.target == Target::Http { &mut self.http } else { &mut self.responders };
                    whom.park(lane, open.token.0, Duration::ZERO);
                }
            }
            self.attempts.put(open.token.0, Open { task: task.id, step, carrier, sent_at: Duration::ZERO });
        }
    }
}

async fn read(store: Arc<dyn Store>, id: TaskId, last: Sequence) -> Result<Loaded, ReadError> {
    let history = store.history(id, Some(last)).await?;
    let missing = || ReadError::Damaged(format!("task {id} is active, but has no history"));
    Ok(Loaded { id, history: history.ok_or_else(missing)? })
}
