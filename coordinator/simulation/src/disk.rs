//! The database: what is durable, who holds the lease, and the answers to what is asked. Rows are kept as bytes, in the real encoding.
//!
//! It is one database for all coordinators, as PostgreSQL is. What it answers at recovery is worked out from the whole journal, not from a mark,
//! so it is a second opinion on what the real stores do.

use crate::judge::Judge;
use crate::letters::Letters;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tasker_engine::event::Event;
use tasker_engine::{Digest, Namespace, TaskId};
use tasker_runtime::port::store::{
    Batch, CapabilityRow, History, JournalRow, KeptEvent, KeyUse, PauseChange, ReadError, Recovery, Search, Sequence, SystemRow, TaskRow,
    WorkflowPause, WorkflowRow,
};
use tokio::time::Instant;

/// How long an owner may be silent before another takes over.
pub const LEASE: Duration = Duration::from_secs(3);

struct StoredRow {
    previous: Sequence,
    entry: Bytes,
}

/// Where a task's history ends.
#[derive(Clone, Copy, Default)]
struct Head {
    last: Sequence,
    over: bool,
}

#[derive(Default)]
struct Tables {
    epoch: i64,
    renewed_at: Option<Instant>,
    journal: Vec<StoredRow>,
    heads: BTreeMap<TaskId, Head>,
    tasks: BTreeMap<TaskId, TaskRow>,
    projected_to: Sequence,
    keys: HashMap<(Namespace, String), KeyUse>,
    workflows: Vec<WorkflowRow>,
    contracts: BTreeMap<Digest, serde_json::Value>,
    systems: BTreeMap<(Namespace, String), SystemRow>,
    capabilities: BTreeMap<(Namespace, String, String), CapabilityRow>,
    events: BTreeMap<i64, KeptEvent>,
    pauses: BTreeMap<(Namespace, String), WorkflowPause>,
    letters: Letters,
}

/// Why a batch was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Another epoch holds the lease.
    Fenced,
    /// It contradicts what is there.
    Contradiction(String),
}

/// One database.
pub struct Disk {
    tables: Mutex<Tables>,
    judge: Arc<Mutex<Judge>>,
}

impl Disk {
    pub(crate) fn new(judge: Arc<Mutex<Judge>>) -> Self {
        Self { tables: Mutex::default(), judge }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lease if nobody has renewed it for long enough; answers with the new epoch.
    pub fn take_lease(&self) -> Option<i64> {
        let mut tables = self.lock();
        if tables.renewed_at.is_some_and(|at| at.elapsed() < LEASE) {
            return None;
        }
        tables.epoch += 1;
        tables.renewed_at = Some(Instant::now());
        Some(tables.epoch)
    }

    /// False if another has it.
    pub fn renew_lease(&self, epoch: i64) -> bool {
        let mut tables = self.lock();
        if tables.epoch == epoch {
            tables.renewed_at = Some(Instant::now());
        }
        tables.epoch == epoch
    }

    pub fn give_lease_back(&self, epoch: i64) {
        let mut tables = self.lock();
        if tables.epoch == epoch {
            tables.renewed_at = None;
        }
    }

    pub fn epoch(&self) -> i64 {
        self.lock().epoch
    }

    /// All of a batch, or nothing, if the epoch still holds the lease.
    pub fn write(&self, epoch: i64, batch: &Batch) -> Result<(), Refused> {
        let mut tables = self.lock();
        if tables.epoch != epoch {
            return Err(Refused::Fenced);
        }
        tables.check(batch).map_err(Refused::Contradiction)?;
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.committed(epoch, &batch.journal, &batch.workflows);
        drop(judge);
        tables.apply(batch);
        Ok(())
    }

    pub fn recovery(&self) -> Recovery {
        let tables = self.lock();
        let mut active: Vec<_> = tables.heads.iter().filter(|(_, head)| !head.over).map(|(id, head)| (*id, head.last)).collect();
        active.sort_by_key(|(id, _)| tables.tasks.get(id).is_some_and(|row| !row.waiting.is_empty()));
        let unprojected =
            |id: &TaskId, head: &Head| tables.tasks.get(id).is_none_or(|row| !row.status.is_terminal() || row.last < head.last);
        let finished = tables.heads.iter().filter(|(id, head)| head.over && unprojected(id, head));
        let mut workflows = tables.workflows.clone();
        workflows.sort_by(|a, b| (a.applied_at, &a.name, &a.version).cmp(&(b.applied_at, &b.name, &b.version)));
        Recovery {
            last: tables.journal.len() as Sequence,
            projected_to: tables.projected_to,
            last_task: tables.heads.keys().next_back().copied(),
            active,
            finished_unprojected: finished.map(|(id, head)| (*id, head.last)).collect(),
            workflows,
            contracts: tables.contracts.iter().map(|(digest, body)| (*digest, body.clone())).collect(),
            systems: tables.systems.values().cloned().collect(),
            capabilities: tables.capabilities.values().cloned().collect(),
            events: tables.events.values().cloned().collect(),
            open_letters: tables.letters.open(),
            workflow_pauses: tables.pauses.values().cloned().collect(),
        }
    }

    pub fn history(&self, task: TaskId, last: Option<Sequence>) -> Result<Option<History>, ReadError> {
        let tables = self.lock();
        let Some(mut next) = last.or_else(|| tables.heads.get(&task).map(|head| head.last)) else { return Ok(None) };
        let mut rows = Vec::new();
        while next > 0 {
            let row = tables.row(next)?;
            if row.entry.task != task {
                return Err(ReadError::Damaged(format!("journal row {next} belongs to {}", row.entry.task)));
            }
            next = row.previous;
            rows.push(row);
        }
        rows.reverse();
        let Some(Event::TaskAccepted(submission)) = rows.first().and_then(|row| row.entry.events.first()) else {
            return Err(ReadError::Damaged(format!("the history of {task} has no beginning")));
        };
        Ok(Some(History { namespace: submission.namespace.clone(), rows }))
    }

    pub fn journal(&self, after: Sequence, limit: usize) -> Result<Vec<JournalRow>, ReadError> {
        let tables = self.lock();
        let end = tables.journal.len().min(after as usize + limit) as Sequence;
        (after + 1..=end).map(|sequence| tables.row(sequence)).collect()
    }

    pub fn find_key(&self, namespace: &Namespace, key: &str) -> Option<KeyUse> {
        self.lock().keys.get(&(namespace.clone(), key.to_owned())).cloned()
    }

    pub fn task_row(&self, task: TaskId) -> Option<TaskRow> {
        self.lock().tasks.get(&task).cloned()
    }

    /// Asks the dead letters.
    pub(crate) fn letters<T>(&self, ask: impl FnOnce(&Letters) -> T) -> T {
        ask(&self.lock().letters)
    }

    pub fn search(&self, search: &Search) -> Vec<TaskRow> {
        let tables = self.lock();
        let fits = |row: &&TaskRow| {
            row.namespace == search.namespace
                && (search.statuses.is_empty() || search.statuses.contains(&row.status))
                && search.workflow.as_ref().is_none_or(|workflow| *workflow == row.workflow)
                && search.error_code.as_ref().is_none_or(|code| row.error_code.as_ref() == Some(code))
                && search.labels.iter().all(|(name, value)| row.labels.get(name) == Some(value))
                && search.parent.is_none_or(|parent| row.parent == Some(parent))
                && (search.waiting.is_empty() || !search.waiting.is_disjoint(&row.waiting))
                && search.accepted_from.is_none_or(|from| row.accepted_at >= from)
                && search.accepted_before.is_none_or(|before| row.accepted_at < before)
                && search.before.is_none_or(|before| row.id < before)
        };
        tables.tasks.values().rev().filter(fits).take(search.limit).cloned().collect()
    }
}

impl Tables {
    fn row(&self, sequence: Sequence) -> Result<JournalRow, ReadError> {
        let damaged = |what: String| ReadError::Damaged(format!("journal row {sequence}: {what}"));
        let row = self.journal.get(sequence as usize - 1).ok_or_else(|| damaged("missing".into()))?;
        let entry = tasker_wire::journal::decode(row.entry.clone()).map_err(|error| damaged(error.to_string()))?;
        Ok(JournalRow { sequence, previous: row.previous, entry: Arc::new(entry) })
    }

    /// Whether all of a batch can be written.
    fn check(&self, batch: &Batch) -> Result<(), String> {
        let mut last = self.journal.len() as Sequence;
        for row in &batch.journal {
            if row.sequence != last + 1 {
                return Err(format!("the batch has journal place {}, but {} is next", row.sequence, last + 1));
            }
            if row.previous < 0 || row.previous >= row.sequence {
                return Err(format!("journal row {} claims to follow row {}", row.sequence, row.previous));
            }
            last = row.sequence;
        }
        if batch.projected_to.is_some_and(|mark| mark > last) {
            return Err("the projection's mark is beyond the journal's end".into());
        }
        let mut used: HashMap<(Namespace, String), KeyUse> = HashMap::new();
        for key in &batch.keys {
            let name = (key.namespace.clone(), key.key.clone());
            let known = used.get(&name).or_else(|| self.keys.get(&name).filter(|known| !forgotten(known, batch)));
            if known.is_some_and(|known| !known.is_over(key.used_at)) {
                return Err(format!("key `{}` is in use", key.key));
            }
            used.insert(name, key.clone());
        }
        self.letters.check(&batch.letters)
    }

    fn apply(&mut self, batch: &Batch) {
        for row in &batch.journal {
            let events = &row.entry.events;
            let ends = events
                .iter()
                .any(|event| matches!(event, Event::TaskSucceeded { .. } | Event::TaskFailed { .. } | Event::TaskCancelled { .. }));
            let head = self.heads.entry(row.entry.task).or_default();
            *head = Head { last: row.sequence, over: head.over || ends };
            let entry = tasker_wire::journal::encode(&row.entry).into();
            self.journal.push(StoredRow { previous: row.previous, entry });
        }
        for row in &batch.tasks {
            self.tasks.insert(row.id, row.clone());
        }
        self.projected_to = batch.projected_to.unwrap_or(self.projected_to);
        self.keys.retain(|_, known| !forgotten(known, batch));
        self.keys.extend(batch.keys.iter().map(|key| ((key.namespace.clone(), key.key.clone()), key.clone())));
        for row in &batch.workflows {
            let same = |known: &&mut WorkflowRow| {
                known.namespace == row.namespace && known.name == row.name && known.version == row.version && known.digest == row.digest
            };
            match self.workflows.iter_mut().find(same) {
                Some(known) => *known = row.clone(),
                None => self.workflows.push(row.clone()),
            }
        }
        for (digest, body) in &batch.contracts {
            self.contracts.entry(*digest).or_insert_with(|| body.clone());
        }
        self.systems.extend(batch.systems.iter().map(|row| ((row.namespace.clone(), row.name.to_string()), row.clone())));
        let capability = |row: &CapabilityRow| (row.namespace.clone(), row.system.to_string(), row.name.to_string());
        self.capabilities.extend(batch.capabilities.iter().map(|row| (capability(row), row.clone())));
        self.events.extend(batch.events_kept.iter().map(|event| (event.number, event.clone())));
        self.letters.apply(&batch.letters);
        for number in &batch.events_gone {
            self.events.remove(number);
        }
        for change in &batch.workflow_pauses {
            match change {
                PauseChange::Set(pause) => drop(self.pauses.insert((pause.namespace.clone(), pause.name.to_string()), pause.clone())),
                PauseChange::Cleared { namespace, name } => drop(self.pauses.remove(&(namespace.clone(), name.to_string()))),
            }
        }
    }
}

fn forgotten(known: &KeyUse, batch: &Batch) -> bool {
    batch.forget_keys.is_some_and(|forget| match known.valid_until {
        None => known.used_at < forget.used_before,
        Some(until) => until <= forget.now,
    })
}
