//! Answers about what comes from people and from outside: approvals, held steps, the items of a fan-out, signals, events, pauses.

use super::Failed;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A decision that somebody is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Approval {
    pub(crate) task: String,
    pub(crate) workflow: String,
    pub(crate) step: String,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) form: Option<Value>,
    pub(crate) assignees: Vec<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) reminded: u64,
    pub(crate) escalated_at: Option<Timestamp>,
    pub(crate) comments: Vec<Comment>,
}

/// What somebody said about an approval.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Comment {
    pub(crate) by: String,
    pub(crate) text: String,
    pub(crate) at: Option<Timestamp>,
}

/// A step that failed for good and waits for a person.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeldStep {
    pub(crate) task: String,
    pub(crate) workflow: String,
    pub(crate) step: String,
    pub(crate) failure: Failed,
    pub(crate) since: Option<Timestamp>,
    pub(crate) attempts: u64,
}

/// What a step waits for that no worker brings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wait {
    #[serde(rename = "for")]
    pub(crate) awaits: String,
    pub(crate) name: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) assignees: Option<Vec<String>>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) reminded: u64,
    pub(crate) escalated_at: Option<Timestamp>,
}

/// The items of a fan-out, counted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Items {
    pub(crate) count: u64,
    pub(crate) working: u64,
    pub(crate) over: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// One item of a fan-out, or a batch of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) value: Option<Box<RawValue>>,
    pub(crate) state: String,
    pub(crate) attempts: u64,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) failure: Option<Failed>,
}

/// What became of a signal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Signalled {
    pub(crate) taken_by: Option<String>,
    pub(crate) repeated: bool,
}

/// What became of an event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventTaken {
    pub(crate) tasks: Vec<String>,
    pub(crate) refused: usize,
    pub(crate) kept: bool,
    pub(crate) repeated: bool,
}

/// What a pause of a workflow, or its end, led to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkflowPause {
    pub(crate) name: String,
    pub(crate) paused: bool,
    pub(crate) tasks: usize,
    pub(crate) changed: bool,
}
