//! What is asked.

use crate::port::store::WaitingFor;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tasker_engine::flow::Priority;
use tasker_engine::{TaskId, TaskStatus, Timestamp, WorkflowName, WorkflowVersion};

/// A task to be run.
#[derive(Debug, Clone)]
pub struct Submit {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// Which version; absent: the one applied last.
    pub version: Option<WorkflowVersion>,
    /// JSON, at most [`tasker_engine::Payload::BYTES_MAX`].
    pub input: Bytes,
    /// For searching.
    pub labels: BTreeMap<String, String>,
    /// A repeat with the same key and content finds the same task (P2). 1 to 255 bytes.
    pub idempotency_key: Option<String>,
    /// How urgent it is; absent: what its workflow says.
    pub priority: Option<Priority>,
    /// W3C `traceparent` of the caller; anything unreadable is ignored, as the standard asks.
    pub traceparent: Option<String>,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct ListTasks {
    /// Any of these; empty means all.
    pub statuses: Vec<TaskStatus>,
    /// Tasks of this workflow.
    pub workflow: Option<WorkflowName>,
    /// Tasks that failed with this code.
    pub error_code: Option<String>,
    /// Tasks with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Children of this task.
    pub parent: Option<TaskId>,
    /// Tasks that wait for any of these; empty means whatever they wait for.
    pub waiting: BTreeSet<WaitingFor>,
    /// Accepted at or after.
    pub accepted_from: Option<Timestamp>,
    /// Accepted before.
    pub accepted_before: Option<Timestamp>,
    /// Where the page before ended: only older tasks.
    pub before: Option<TaskId>,
    /// How many, 1 to 200.
    pub limit: usize,
}
