//! The shapes of the server's answers that people are shown. Read leniently: a field that is missing shows as `-`, a field that is new is ignored,
//! and states are words, so that a newer server does not break an older client. Programs get the server's own JSON, not these.

mod letters;
mod people;
pub(crate) mod queues;

pub(crate) use letters::{DeadLetter, DeadLetterGroups, LettersSettled, SettledLetter};
pub(crate) use people::{Approval, EventTaken, HeldStep, Item, Items, Signalled, Wait, WorkflowPause};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tasker_manifest::Diagnostic;

/// A list, or one page of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
    #[serde(default)]
    pub(crate) as_of: Option<String>,
}

/// A manifest was applied, or would be.
#[derive(Debug, Deserialize)]
pub(crate) struct Applied {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) digest: String,
    pub(crate) changed: bool,
    #[serde(default)]
    pub(crate) dry_run: bool,
    #[serde(default)]
    pub(crate) warnings: Vec<Diagnostic>,
    #[serde(default)]
    pub(crate) compatibility: Vec<Compatibility>,
}

/// Where a workflow and what runs now do not, or may not, fit.
#[derive(Debug, Deserialize)]
pub(crate) struct Compatibility {
    #[serde(default)]
    pub(crate) certainty: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WorkflowSummary {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) steps: usize,
    #[serde(default)]
    pub(crate) systems: Vec<String>,
    #[serde(default)]
    pub(crate) applied_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) current: bool,
    #[serde(default)]
    pub(crate) paused: Option<Pause>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WorkflowDetail {
    #[serde(flatten)]
    pub(crate) summary: WorkflowSummary,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) graph: Vec<GraphStep>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GraphStep {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) capability: Option<String>,
    pub(crate) depends_on: Vec<String>,
    pub(crate) join: Option<String>,
    pub(crate) when: Option<String>,
    pub(crate) fans_out: bool,
    pub(crate) compensate: Option<String>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeouts: Option<Timeouts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Retry {
    pub(crate) backoff: String,
    pub(crate) base_ms: Option<i64>,
    pub(crate) cap_ms: Option<i64>,
    pub(crate) attempts_max: Option<u64>,
    pub(crate) non_retryable: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timeouts {
    pub(crate) waiting_ms: Option<i64>,
    pub(crate) running_ms: Option<i64>,
    pub(crate) total_ms: Option<i64>,
}

/// A task exists.
#[derive(Debug, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) created: bool,
    #[serde(default)]
    pub(crate) trace_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TaskSummary {
    pub(crate) id: String,
    pub(crate) workflow: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) accepted_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) duration_ms: Option<i64>,
    #[serde(default)]
    pub(crate) error_code: Option<String>,
    #[serde(default)]
    pub(crate) failed_step: Option<String>,
    #[serde(default)]
    pub(crate) retries: u64,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) waiting: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TaskDetail {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) namespace: String,
    pub(crate) workflow: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) input: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) failure: Option<Failed>,
    #[serde(default)]
    pub(crate) cancel_reason: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) idempotency_key: Option<String>,
    #[serde(default)]
    pub(crate) origin: Option<String>,
    #[serde(default)]
    pub(crate) trace_id: Option<String>,
    #[serde(default)]
    pub(crate) accepted_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) duration_ms: Option<i64>,
    #[serde(default)]
    pub(crate) deadline: Option<Timestamp>,
    #[serde(default)]
    pub(crate) ending: Option<Ending>,
    #[serde(default)]
    pub(crate) paused: Option<Pause>,
    #[serde(default)]
    pub(crate) workflow_paused: Option<Pause>,
    #[serde(default)]
    pub(crate) parent: Option<Parent>,
    #[serde(default)]
    pub(crate) children: Vec<Child>,
    #[serde(default)]
    pub(crate) signals_kept: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) events: u64,
    #[serde(default)]
    pub(crate) steps: Vec<StepDetail>,
}

/// What a task does before it ends otherwise than well.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ending {
    pub(crate) cause: String,
    pub(crate) failure: Option<Failed>,
    pub(crate) reason: Option<String>,
    pub(crate) compensate: bool,
    pub(crate) since: Option<Timestamp>,
}

/// Why and since when nothing new is started.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pause {
    pub(crate) reason: String,
    pub(crate) since: Option<Timestamp>,
}

/// Who started a child task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parent {
    pub(crate) task: String,
    pub(crate) detached: bool,
}

/// A task that a step started.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Child {
    pub(crate) task: String,
    pub(crate) step: String,
    pub(crate) detached: bool,
    pub(crate) status: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepDetail {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) capability: Option<String>,
    pub(crate) depends_on: Vec<String>,
    pub(crate) state: String,
    pub(crate) skipped: Option<String>,
    pub(crate) waiting: Option<Wait>,
    pub(crate) items: Option<Items>,
    pub(crate) fallback: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) attempt: u64,
    pub(crate) attempts_max: u64,
    pub(crate) ready_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) next_attempt_at: Option<Timestamp>,
    pub(crate) worker: Option<String>,
    pub(crate) progress: Option<Value>,
    pub(crate) failure: Option<Failed>,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) attempts: Vec<AttemptDetail>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptDetail {
    pub(crate) failure: Option<Failed>,
}

/// Why an attempt, a step or a task failed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Failed {
    pub(crate) kind: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Option<Box<RawValue>>,
    pub(crate) retry_after_ms: Option<i64>,
    pub(crate) step: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Events {
    pub(crate) items: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) finished: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) step: Option<String>,
    #[serde(default)]
    pub(crate) attempt: Option<u64>,
    #[serde(default)]
    pub(crate) data: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) failure: Option<Failed>,
    #[serde(default)]
    pub(crate) cancel_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Timeline {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) accepted_at: Timestamp,
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) trace_id: Option<String>,
    #[serde(default)]
    pub(crate) rows: Vec<TimelineRow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimelineRow {
    pub(crate) step: String,
    pub(crate) kind: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) state: String,
    pub(crate) waited_ms: Option<i64>,
    /// When it was due, and when it was over. Taken from the task itself where the server's rows do not say it.
    pub(crate) ready_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) attempts: Vec<TimelineAttempt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimelineAttempt {
    pub(crate) attempt: u64,
    pub(crate) worker: Option<String>,
    pub(crate) offset_ms: i64,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) outcome: String,
    pub(crate) code: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reason {
    #[serde(default)]
    pub(crate) step: Option<String>,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) hint: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SystemDetail {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    #[serde(default)]
    pub(crate) health_check_url: Option<String>,
    #[serde(default)]
    pub(crate) capabilities: Vec<SystemCapability>,
    #[serde(default)]
    pub(crate) workers: Vec<WorkerDetail>,
    #[serde(default)]
    pub(crate) canary: Option<Canary>,
    #[serde(default)]
    pub(crate) drained_versions: Vec<String>,
    #[serde(default)]
    pub(crate) transport: Option<String>,
    #[serde(default)]
    pub(crate) health: Option<SystemHealth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SystemHealth {
    pub(crate) state: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Canary {
    pub(crate) version: String,
    pub(crate) share: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DrainedVersion {
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) drained: bool,
    pub(crate) workers: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Breaker {
    pub(crate) state: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) failures: u64,
    pub(crate) next_probe_at: Option<Timestamp>,
    #[serde(rename = "override")]
    pub(crate) operator: String,
    pub(crate) opened: u64,
    pub(crate) policy: Option<BreakerPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BreakerPolicy {
    pub(crate) failures: u64,
    pub(crate) window_ms: i64,
    pub(crate) open_for_ms: i64,
    pub(crate) probes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SystemCapability {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CapabilityDetail {
    pub(crate) system: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) contract: Option<Contract>,
    pub(crate) digest: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) declared_at: Option<Timestamp>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) workers: Option<Value>,
    pub(crate) waiting: u64,
    pub(crate) oldest_waiting: Option<Value>,
    pub(crate) breaker: Option<Breaker>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Contract {
    pub(crate) input: Option<Value>,
    pub(crate) result: Option<Value>,
    pub(crate) errors: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerDetail {
    pub(crate) session: String,
    pub(crate) system: String,
    pub(crate) system_version: Option<String>,
    pub(crate) sdk: Option<Sdk>,
    pub(crate) host: Option<String>,
    pub(crate) process_id: Option<u64>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: String,
    pub(crate) withheld: Option<String>,
    pub(crate) capabilities: Vec<Value>,
    pub(crate) slots: u64,
    pub(crate) running: Option<Value>,
    pub(crate) joined_at: Option<Timestamp>,
    pub(crate) silent_ms: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sdk {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) language: String,
}
