//! The record. Implemented on SQLite and on PostgreSQL; one suite runs on both.

mod letters;

pub use letters::*;

use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::Entry;
use tasker_engine::task::{StepState, Task, Wait};
use tasker_engine::{CapabilityName, Digest, Namespace, Payload, SystemName, TaskId, TaskStatus, Timestamp, WorkflowName, WorkflowVersion};
use tasker_telemetry::reading::Readings;

/// The place of a row in the journal: grows by one with each row, assigned by the shard's owner. 0 means none.
pub type Sequence = i64;

/// The database behind a coordinator. One process writes; see [`Store::commit`].
pub trait Store: Send + Sync + 'static {
    /// What the coordinator must know before it starts. Called once, after migrations and after the lease was taken.
    fn recover(&self) -> BoxFuture<'_, Result<Recovery, ReadError>>;

    /// Makes a batch durable, all of it or nothing, in one transaction that also checks that this coordinator still holds the lease.
    /// When it returns `Ok`, the batch survives a crash and a power cut.
    ///
    /// # Errors
    /// [`CommitError::Full`] gives the batch back, to be tried again. After any other error the outcome is unknown or the lease is lost: the
    /// caller stops the process and recovers (P3, P11).
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), CommitError>>;

    /// A task's whole history, oldest first. `last` is the place of its newest row, if the caller knows it; otherwise it is taken from the
    /// task's row. `None` if the task is unknown.
    fn history(&self, task: TaskId, last: Option<Sequence>) -> BoxFuture<'_, Result<Option<History>, ReadError>>;

    /// The histories of several tasks, each from the place of its newest row, in the order in which they are asked for: those of the first
    /// ones, as many as fit into one read and at least one. What is missing is asked for again.
    ///
    /// # Errors
    /// Damaged, if one of them is; whoever asks for each by itself learns which.
    fn histories<'s>(&'s self, heads: &'s [(TaskId, Sequence)]) -> BoxFuture<'s, Result<Vec<History>, ReadError>>;

    /// Who used a key. A use whose window is over is found until it is forgotten or replaced: see [`KeyUse::is_over`].
    fn find_key<'s>(&'s self, namespace: &'s Namespace, key: &'s str) -> BoxFuture<'s, Result<Option<KeyUse>, ReadError>>;

    /// A page of tasks, newest first. May lag behind commits by the sweep of the projection.
    fn search<'s>(&'s self, search: &'s Search) -> BoxFuture<'s, Result<Vec<TaskRow>, ReadError>>;

    /// One task's row as last projected.
    fn task_row(&self, task: TaskId) -> BoxFuture<'_, Result<Option<TaskRow>, ReadError>>;

    /// A page of dead letters. Fresh: what was committed before is seen.
    fn letters<'s>(&'s self, search: &'s LetterSearch) -> BoxFuture<'s, Result<Vec<DeadLetter>, ReadError>>;

    /// One task's dead letter; none if it has none, or not any more.
    fn letter(&self, task: TaskId) -> BoxFuture<'_, Result<Option<DeadLetter>, ReadError>>;

    /// Dead letters by their code, the largest group first.
    fn letter_groups<'s>(&'s self, filter: &'s LetterFilter) -> BoxFuture<'s, Result<LetterGroups, ReadError>>;

    /// How many failures of a namespace got no dead letter; none if there was room for all.
    fn letters_missed<'s>(&'s self, namespace: &'s Namespace) -> BoxFuture<'s, Result<Option<MissedLetters>, ReadError>>;

    /// Reads the whole journal in order, `limit` rows from after `after`; for checks and exports.
    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>>;

    /// Whether the database answers and can be written; for readiness.
    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>>;

    /// Adds what the database's side of commits has measured since the start.
    fn measure(&self, _readings: &mut Readings) {}

    /// What it is and how durable its commits are, for people: `sqlite 3.51.3, WAL, synchronous=FULL`.
    fn describe(&self) -> String;

    /// Lets go of the lease and closes, after the last commit.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Everything one commit makes durable.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows for the journal, in order, with consecutive sequences.
    pub journal: Vec<JournalRow>,
    /// Rows of the task projection, new or changed, ordered by task id.
    pub tasks: Vec<TaskRow>,
    /// Every journal row up to here is reflected in the task projection, once this batch is committed; none leaves the mark as it is.
    pub projected_to: Option<Sequence>,
    /// Idempotency and identity keys that were used. A key that is in use already makes the commit fail, unless the window of its
    /// earlier use is over.
    pub keys: Vec<KeyUse>,
    /// Workflows that were applied.
    pub workflows: Vec<WorkflowRow>,
    /// Contracts that something refers to. A contract that is stored already is left as it is.
    pub contracts: Vec<(Digest, Value)>,
    /// Systems whose address changed or that are new.
    pub systems: Vec<SystemRow>,
    /// Capabilities that were declared, replacing earlier declarations.
    pub capabilities: Vec<CapabilityRow>,
    /// Keys that are forgotten, before any of [`Self::keys`] is written.
    pub forget_keys: Option<ForgetKeys>,
    /// Events from outside that are kept until somebody waits for them.
    pub events_kept: Vec<KeptEvent>,
    /// Kept events, by number, that were taken or have expired; one that is kept and taken in the same batch is in both lists. A number
    /// that is not there is no error.
    pub events_gone: Vec<i64>,
    /// Workflows that were paused or resumed, in order.
    pub workflow_pauses: Vec<PauseChange>,
    /// Dead letters that were opened, settled or forgotten.
    pub letters: LetterChanges,
}

impl Batch {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.journal.is_empty()
            && self.tasks.is_empty()
            && self.projected_to.is_none()
            && self.keys.is_empty()
            && self.workflows.is_empty()
            && self.contracts.is_empty()
            && self.systems.is_empty()
            && self.capabilities.is_empty()
            && self.forget_keys.is_none()
            && self.events_kept.is_empty()
            && self.events_gone.is_empty()
            && self.workflow_pauses.is_empty()
            && self.letters.is_empty()
    }
}

/// One row of the journal: what one commit recorded for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Its place.
    pub sequence: Sequence,
    /// The place of the task's previous row; 0 for its first.
    pub previous: Sequence,
    /// The events.
    pub entry: Arc<Entry>,
}

/// A task's history as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Oldest first.
    pub rows: Vec<JournalRow>,
    /// The namespace the task lives in, from its submission.
    pub namespace: Namespace,
}

/// A task as lists and searches see it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// The tenant.
    pub namespace: Namespace,
    /// The workflow.
    pub workflow: WorkflowName,
    /// Its version.
    pub version: WorkflowVersion,
    /// The digest the task is pinned to.
    pub digest: Digest,
    /// Where it stands.
    pub status: TaskStatus,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The code of its failure.
    pub error_code: Option<String>,
    /// The step that failed.
    pub failed_step: Option<String>,
    /// Attempts beyond the first, over all steps.
    pub retries: u32,
    /// For searching.
    pub labels: BTreeMap<String, String>,
    /// The task that it is a child of; never changes.
    pub parent: Option<TaskId>,
    /// What it waits for that no worker brings; empty if nothing, and once it is over.
    pub waiting: BTreeSet<WaitingFor>,
    /// The place of the task's newest journal row that this row reflects.
    pub last: Sequence,
}

/// What a task may wait for that no worker brings. A task may wait for several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitingFor {
    /// A person's decision.
    Approval,
    /// A person who says what becomes of a step that failed for good.
    Held,
    /// A signal.
    Signal,
    /// An event from outside.
    Event,
    /// Time to pass.
    Sleep,
    /// Somebody to resume the task.
    Paused,
}

impl WaitingFor {
    /// Everything there is.
    pub const ALL: [Self; 6] = [Self::Approval, Self::Held, Self::Signal, Self::Event, Self::Sleep, Self::Paused];

    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Held => "held",
            Self::Signal => "signal",
            Self::Event => "event",
            Self::Sleep => "sleep",
            Self::Paused => "paused",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|waiting| waiting.as_str() == word)
    }

    /// All that a task waits for now; nothing once it is over.
    pub fn of(task: &Task) -> BTreeSet<Self> {
        if task.status.is_terminal() {
            return BTreeSet::new();
        }
        let steps = task.steps.iter().filter_map(|progress| Self::of_state(&progress.state));
        steps.chain(task.paused.is_some().then_some(Self::Paused)).collect()
    }

    fn of_state(state: &StepState) -> Option<Self> {
        match state {
            StepState::Waiting(waiting) => Some(match &waiting.wait {
                Wait::Approval { .. } => Self::Approval,
                Wait::Signal { .. } => Self::Signal,
                Wait::Event { .. } => Self::Event,
                Wait::Sleep => Self::Sleep,
            }),
            StepState::Held { .. } => Some(Self::Held),
            StepState::Pending
            | StepState::Standby
            | StepState::Parked
            | StepState::Ready { .. }
            | StepState::Running(_)
            | StepState::BackingOff { .. }
            | StepState::FannedOut
            | StepState::FallingBack { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => None,
        }
    }
}

/// An idempotency or identity key in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The tenant.
    pub namespace: Namespace,
    /// The key.
    pub key: String,
    /// The digest of what was submitted with it.
    pub fingerprint: Digest,
    /// The task it led to.
    pub task: TaskId,
    /// When.
    pub used_at: Timestamp,
    /// Until when the use counts, if it has a window of its own: from this instant on another use may replace it. None: until keys as old
    /// as this one are forgotten.
    pub valid_until: Option<Timestamp>,
}

impl KeyUse {
    /// Whether the use does not count any more because its own window is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }
}

/// Which keys are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgetKeys {
    /// Those without a window of their own that were used before this instant.
    pub used_before: Timestamp,
    /// Those whose own window is over at this instant.
    pub now: Timestamp,
}

/// An event from outside for which nobody waited when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptEvent {
    /// Given by the coordinator, counting up, so that events are kept in the order in which they came; at least 1.
    pub number: i64,
    /// The tenant.
    pub namespace: Namespace,
    /// The event's name.
    pub name: String,
    /// By which it finds who waits for it.
    pub key: String,
    /// What it brings.
    pub payload: Payload,
    /// By which a repeat is recognised.
    pub id: Option<String>,
    /// When it came.
    pub arrived_at: Timestamp,
}

impl KeptEvent {
    /// The most events that are kept of one namespace; a sender past it is told to come back later.
    pub const PER_NAMESPACE_MAX: usize = 10_000;
    /// The most bytes of payload that are kept of one namespace, because all of them are in memory, too.
    pub const BYTES_PER_NAMESPACE_MAX: usize = 64 * 1024 * 1024;
    /// How long one is kept.
    pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
}

/// A workflow whose tasks, now and later, start nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowPause {
    /// The tenant.
    pub namespace: Namespace,
    /// Which workflow, in every version.
    pub name: WorkflowName,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A workflow is paused or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseChange {
    /// Paused; replaces an earlier pause of the same workflow.
    Set(WorkflowPause),
    /// Not paused any more; no error if it was not.
    Cleared {
        /// The tenant.
        namespace: Namespace,
        /// Which workflow.
        name: WorkflowName,
    },
}

/// A workflow as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRow {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: WorkflowName,
    /// Its version.
    pub version: WorkflowVersion,
    /// The digest of the checked definition.
    pub digest: Digest,
    /// The manifest as it was written.
    pub source: String,
    /// When. The newest version of a name is the one that new tasks run.
    pub applied_at: Timestamp,
}

/// Where a system can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemRow {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: SystemName,
    /// Over HTTP.
    pub base_url: Option<String>,
    /// For its health.
    pub health_check_url: Option<String>,
}

/// A capability as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityRow {
    /// The tenant.
    pub namespace: Namespace,
    /// The owner.
    pub system: SystemName,
    /// Its name.
    pub name: CapabilityName,
    /// Its contract.
    pub contract: Digest,
    /// One sentence for people.
    pub description: String,
    /// The running timeout its author asks for.
    pub timeout: Option<Duration>,
    /// `manifest` or `worker`.
    pub source: String,
    /// When.
    pub declared_at: Timestamp,
}

/// What is known at start.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The newest journal place; the next row gets the one after it.
    pub last: Sequence,
    /// The highest task id ever given.
    pub last_task: Option<TaskId>,
    /// Every journal row up to here is reflected in the tasks' rows.
    pub projected_to: Sequence,
    /// Tasks that are not over, as projected, corrected by the journal rows after the projection: id and newest journal place. Those whose row
    /// says that they wait for something no worker brings come last; apart from that, oldest first.
    pub active: Vec<(TaskId, Sequence)>,
    /// Tasks that ended after the projection's mark and are not projected as over yet: id and newest journal place.
    pub finished_unprojected: Vec<(TaskId, Sequence)>,
    /// Every applied workflow, oldest first.
    pub workflows: Vec<WorkflowRow>,
    /// Every stored contract.
    pub contracts: Vec<(Digest, Value)>,
    /// Every known system.
    pub systems: Vec<SystemRow>,
    /// Every declared capability.
    pub capabilities: Vec<CapabilityRow>,
    /// Every kept event, by number; expired ones included.
    pub events: Vec<KeptEvent>,
    /// Every paused workflow.
    pub workflow_pauses: Vec<WorkflowPause>,
    /// Every dead letter about which nobody did anything yet.
    pub open_letters: Vec<OpenLetter>,
}

/// What to look for. Every condition must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The tenant.
    pub namespace: Namespace,
    /// Any of these; empty means all.
    pub statuses: Vec<TaskStatus>,
    /// Tasks of this workflow.
    pub workflow: Option<WorkflowName>,
    /// Tasks that failed with this code.
    pub error_code: Option<String>,
    /// Tasks with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// The children of this task.
    pub parent: Option<TaskId>,
    /// Tasks that wait for any of these; empty means whatever they wait for.
    pub waiting: BTreeSet<WaitingFor>,
    /// Accepted at or after.
    pub accepted_from: Option<Timestamp>,
    /// Accepted before.
    pub accepted_before: Option<Timestamp>,
    /// Only tasks with a smaller id: where the page before ended.
    pub before: Option<TaskId>,
    /// How many rows, 1 to 201: one more than a page, which shows whether another follows.
    pub limit: usize,
}

/// Why a batch was not committed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another coordinator has taken over; nothing of this batch was written.
    #[error("the lease of epoch {epoch} is lost: another coordinator has taken over")]
    Fenced {
        /// The epoch this process held.
        epoch: i64,
    },
    /// There is no space; certainly nothing of this batch was written, and the same batch may be tried again later.
    #[error("the database's disk is full; nothing was written")]
    Full {
        /// What was not written.
        batch: Box<Batch>,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed; whether the batch was written is unknown.
    #[error("the database failed while committing; the outcome is unknown")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why something could not be read. Trying again later may help.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error("the database could not be read")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

#[cfg(test)]
mod tests;
