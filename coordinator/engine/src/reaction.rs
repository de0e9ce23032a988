//! What follows from a failure: chosen by its code, declared in the manifest.

use crate::ids::{ErrorCode, StepIndex};
use crate::retry::RetryPolicy;
use std::collections::BTreeMap;

/// What follows from a step's failures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OnError {
    /// By code.
    pub arms: BTreeMap<ErrorCode, Reaction>,
    /// For every other code, once no attempt follows.
    pub otherwise: Reaction,
}

/// What follows from a failure with a certain code.
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    /// Another attempt, whatever the worker said about trying again.
    Retry {
        /// How long to wait and how often; none: the step's own policy.
        policy: Option<Box<RetryPolicy>>,
        /// What follows when no attempt is left.
        then: Exhausted,
    },
    /// No further attempt.
    Give(Exhausted),
}

/// What follows when no further attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exhausted {
    /// What was done is undone, then the task ends as failed.
    #[default]
    Compensate,
    /// The task ends as failed.
    Fail,
    /// The step has failed, the task goes on.
    Continue,
    /// A person decides.
    Wait,
    /// Another step takes its place.
    Fallback(StepIndex),
}

impl Default for Reaction {
    fn default() -> Self {
        Self::Give(Exhausted::default())
    }
}

impl Reaction {
    /// What follows when no further attempt is made.
    pub fn exhausted(&self) -> Exhausted {
        match self {
            Self::Retry { then, .. } => *then,
            Self::Give(exhausted) => *exhausted,
        }
    }
}

impl OnError {
    /// What follows from a failure with this code.
    pub fn reaction(&self, code: &ErrorCode) -> &Reaction {
        self.arms.get(code).unwrap_or(&self.otherwise)
    }

    /// Whether the code has an arm of its own.
    pub fn names(&self, code: &ErrorCode) -> bool {
        self.arms.contains_key(code)
    }

    /// The steps that may take the failed one's place.
    pub fn fallbacks(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.arms.values().chain([&self.otherwise]).filter_map(|reaction| match reaction.exhausted() {
            Exhausted::Fallback(step) => Some(step),
            Exhausted::Compensate | Exhausted::Fail | Exhausted::Continue | Exhausted::Wait => None,
        })
    }
}

impl Exhausted {
    /// The word used in manifests, the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compensate => "compensate",
            Self::Fail => "fail",
            Self::Continue => "continue",
            Self::Wait => "wait",
            Self::Fallback(_) => "fallback",
        }
    }
}
