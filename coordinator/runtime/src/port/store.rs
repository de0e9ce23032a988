//! The record. Implemented on SQLite and on PostgreSQL; one suite runs on both.

use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::Entry;
use tasker_engine::{CapabilityName, Digest, Namespace, SystemName, TaskId, TaskStatus, Timestamp, WorkflowName, WorkflowVersion};

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
    /// After any error the outcome is unknown or the lease is lost: the caller stops the process and recovers (P3, P11).
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), CommitError>>;

    /// A task's whole history, oldest first. `last` is the place of its newest row, if the caller knows it; otherwise it is taken from the
    /// task's row. `None` if the task is unknown.
    fn history(&self, task: TaskId, last: Option<Sequence>) -> BoxFuture<'_, Result<Option<History>, ReadError>>;

    /// Who used an idempotency key.
    fn find_key<'s>(&'s self, namespace: &'s Namespace, key: &'s str) -> BoxFuture<'s, Result<Option<KeyUse>, ReadError>>;

    /// A page of tasks, newest first. May lag behind commits by the sweep of the projection.
    fn search<'s>(&'s self, search: &'s Search) -> BoxFuture<'s, Result<Vec<TaskRow>, ReadError>>;

    /// One task's row as last projected.
    fn task_row(&self, task: TaskId) -> BoxFuture<'_, Result<Option<TaskRow>, ReadError>>;

    /// Reads the whole journal in order, `limit` rows from after `after`; for checks and exports.
    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>>;

    /// Whether the database answers and can be written; for readiness.
    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>>;

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
    /// Idempotency keys that were used.
    pub keys: Vec<KeyUse>,
    /// Workflows that were applied.
    pub workflows: Vec<WorkflowRow>,
    /// Contracts that something refers to. A contract that is stored already is left as it is.
    pub contracts: Vec<(Digest, Value)>,
    /// Systems whose address changed or that are new.
    pub systems: Vec<SystemRow>,
    /// Capabilities that were declared, replacing earlier declarations.
    pub capabilities: Vec<CapabilityRow>,
    /// Keys used before this instant are forgotten.
    pub forget_keys_before: Option<Timestamp>,
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
            && self.forget_keys_before.is_none()
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
    /// The place of the task's newest journal row that this row reflects.
    pub last: Sequence,
}

/// An idempotency key in use.
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
    /// Tasks that are not over, as projected, corrected by the journal rows after the projection: id and newest journal place.
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
