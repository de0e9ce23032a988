//! Why an attempt, a step or a task did not succeed.

use crate::ids::ErrorCode;
use crate::payload::Payload;
use std::time::Duration;

/// What a failure says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The worker said that another attempt may succeed.
    Retryable,
    /// The worker said that another attempt would fail the same way.
    Permanent,
    /// The input or the result breaks the contract.
    Contract,
    /// The handler stopped because it was cancelled.
    Cancelled,
    /// A timeout of the step ran out.
    TimedOut,
    /// The worker that ran the attempt fell silent.
    Lost,
}

impl FailureKind {
    /// The word used in the API, the CLI and spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
            Self::Contract => "contract",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }
}

/// One failure, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it says about trying again.
    pub kind: FailureKind,
    /// Stable, for programs.
    pub code: ErrorCode,
    /// For people; at most [`Failure::MESSAGE_BYTES_MAX`].
    pub message: String,
    /// What the code's contract describes.
    pub details: Option<Payload>,
    /// The worker's wish: not before this long from now.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// The longest message kept, in bytes.
    pub const MESSAGE_BYTES_MAX: usize = 4096;

    /// A failure with a code of our own; cuts the message at the limit.
    pub fn new(kind: FailureKind, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { kind, code, message: cut(message.into()), details: None, retry_after: None }
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Payload) -> Self {
        self.details = Some(details);
        self
    }
}

/// Cuts a message at the limit, on a character boundary.
pub fn cut(mut message: String) -> String {
    if message.len() > Failure::MESSAGE_BYTES_MAX {
        let mut end = Failure::MESSAGE_BYTES_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}

/// The codes that the engine itself gives; each has a page in `docs/errors/`.
pub mod code {
    use crate::ids::ErrorCode;

    macro_rules! codes {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub fn $name() -> ErrorCode { ErrorCode::new($text).expect("a constant of the right form") })*
            /// Every code in this module.
            pub const ALL: &[&str] = &[$($text),*];
        };
    }

    codes! {
        /// The result breaks the success schema.
        contract_result_violated = "contract.result_violated";
        /// The mapped input breaks the input schema.
        contract_input_violated = "contract.input_violated";
        /// The error code or its details are not in the contract.
        contract_error_violated = "contract.error_violated";
        /// An input mapping could not be evaluated.
        expression_failed = "expression.failed";
        /// The running timeout ran out.
        attempt_timeout = "attempt.timeout";
        /// The lease of the worker ran out.
        worker_lost = "worker.lost";
        /// So many workers in a row died while they ran the step that it is believed to kill them.
        worker_poisoned = "worker.poisoned";
        /// The waiting timeout ran out before a worker took the step.
        step_waiting_timeout = "step.waiting_timeout";
        /// The total timeout of the step ran out.
        step_total_timeout = "step.total_timeout";
        /// The timeout of the task ran out.
        task_timeout = "task.timeout";
        /// The instant that the workflow's `deadline` gave has come.
        task_deadline = "task.deadline";
        /// Why a task ends that was cancelled, as its compensation sees it.
        task_cancelled = "task.cancelled";
        /// A signal or event did not come in time.
        wait_timeout = "wait.timeout";
        /// Nobody decided in time.
        approval_timeout = "approval.timeout";
        /// The child task failed.
        child_failed = "child.failed";
        /// The child task was cancelled.
        child_cancelled = "child.cancelled";
        /// The child task could not be started.
        child_refused = "child.refused";
        /// What a fan-out works on is not a list, or too long.
        items_invalid = "items.invalid";
        /// Too many items failed, or too few succeeded.
        items_failed = "items.failed";
        /// The collected result of a fan-out is larger than a payload may be.
        items_too_large = "items.too_large";
        /// No case of a switch fits, and it has no default.
        switch_unmatched = "switch.unmatched";
        /// A person let a held step fail.
        step_given_up = "step.given_up";
        /// The handler stopped although nobody had asked it to.
        attempt_cancelled = "attempt.cancelled";
    }
}
