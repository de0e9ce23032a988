//! Answers about dead letters.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A task that failed for good.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetter {
    pub(crate) task: String,
    pub(crate) state: String,
    pub(crate) workflow: String,
    pub(crate) version: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) step: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) capability: Option<String>,
    pub(crate) failed_at: Option<Timestamp>,
    pub(crate) requeued_to: Option<String>,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) settled_by: Option<String>,
    pub(crate) settled_reason: Option<String>,
}

/// Dead letters by their code.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetterGroups {
    pub(crate) items: Vec<DeadLetterGroup>,
    pub(crate) codes: u64,
    pub(crate) letters: u64,
    pub(crate) missed: Option<Missed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetterGroup {
    pub(crate) code: String,
    pub(crate) count: u64,
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) newest: Option<Timestamp>,
    pub(crate) example: String,
    pub(crate) message: String,
}

/// Failures that got no dead letter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Missed {
    pub(crate) count: u64,
    pub(crate) last_at: Option<Timestamp>,
}

/// What an order did, or would do. Several answers become one, which is printed in the server's shape.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LettersSettled {
    pub(crate) dry_run: bool,
    pub(crate) matched: u64,
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) items: Vec<SettledLetter>,
    pub(crate) sample: Vec<Box<RawValue>>,
    pub(crate) next_after: Option<String>,
}

impl LettersSettled {
    /// Adds what a further request did.
    pub(crate) fn add(&mut self, more: Self) {
        self.matched += more.matched;
        self.done += more.done;
        self.refused += more.refused;
        self.items.extend(more.items);
        self.next_after = more.next_after;
    }
}

/// What became of one letter.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SettledLetter {
    pub(crate) task: String,
    pub(crate) outcome: String,
    pub(crate) before: bool,
    pub(crate) requeued_to: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) detail: Option<String>,
}
