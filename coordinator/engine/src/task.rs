//! The state of one run of a workflow: nothing but what its events say.

use crate::event::Target;
use crate::failure::Failure;
use crate::ids::{AttemptNumber, AttemptToken, Digest, Namespace, StepIndex, TaskId};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::workflow::Workflow;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The tenant the task lives in.
    pub namespace: Namespace,
    /// The digest of the workflow that the task is pinned to.
    pub workflow: Digest,
    /// The task's input.
    pub input: Payload,
    /// For searching; at most [`Submission::LABELS_MAX`].
    pub labels: BTreeMap<String, String>,
    /// The key under which a repeat of the submission finds this task.
    pub idempotency_key: Option<String>,
    /// The first task of which this one is a retry, directly or by way of other retries.
    pub origin: Option<TaskId>,
    /// The one trace of the task.
    pub trace: Trace,
}

impl Submission {
    /// The most labels of a task.
    pub const LABELS_MAX: usize = 32;
    /// The longest label name or value, in bytes.
    pub const LABEL_BYTES_MAX: usize = 256;
    /// The longest idempotency key, in bytes.
    pub const KEY_BYTES_MAX: usize = 255;
}

/// W3C Trace Context of a task; drawn by the caller, stored with the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes, not all zero.
    pub trace_id: [u8; 16],
    /// The span of whoever submitted, if they had one.
    pub parent: Option<[u8; 8]>,
    /// Whether spans are exported.
    pub sampled: bool,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// Not over.
    Running,
    /// Over, with a result.
    Succeeded,
    /// Over, with a failure.
    Failed,
    /// Over, on request.
    Cancelled,
}

impl TaskStatus {
    /// The word used in the API, the CLI and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled].into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing can happen any more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it runs.
    pub workflow: Arc<Workflow>,
    /// What was accepted.
    pub submission: Box<Submission>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Where it stands.
    pub status: TaskStatus,
    /// Its result, once succeeded.
    pub result: Option<Payload>,
    /// Its failure, once failed, and the step that caused it.
    pub failure: Option<(Option<StepIndex>, Failure)>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// One per step of the workflow, in its order.
    pub steps: Vec<StepProgress>,
    /// How many steps are not yet terminal.
    pub open_steps: u32,
    /// How many events it has.
    pub events: u64,
}

/// Where one step of a task stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepProgress {
    /// The state now.
    pub state: StepState,
    /// How many dependencies have not succeeded yet.
    pub open_dependencies: u32,
    /// When it was first ready.
    pub first_ready_at: Option<Timestamp>,
    /// Attempts that are over, oldest first.
    pub closed: SmallVec<[ClosedAttempt; 1]>,
}

/// The state of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Waits for its dependencies.
    Pending,
    /// An attempt may start as soon as somebody has a free slot.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// An attempt is open.
    Running(OpenAttempt),
    /// Waits for its next attempt.
    BackingOff {
        /// Until when.
        until: Timestamp,
    },
    /// Over, with a result.
    Succeeded {
        /// What came.
        result: Payload,
        /// When.
        at: Timestamp,
    },
    /// Over, with a failure.
    Failed {
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
    },
    /// Over, because the task ended.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

impl StepState {
    /// Whether nothing can happen to the step any more.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Pending | Self::Ready { .. } | Self::Running(_) | Self::BackingOff { .. } => false,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Cancelled { .. } => true,
        }
    }

    /// The word used in the API and the CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready { .. } => "ready",
            Self::Running(_) => "running",
            Self::BackingOff { .. } => "backing_off",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// The one attempt of a step that is not over.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenAttempt {
    /// Which try.
    pub attempt: AttemptNumber,
    /// What authorises the reply.
    pub token: AttemptToken,
    /// Who was asked.
    pub target: Target,
    /// The contract of the worker's build, by digest.
    pub contract: Option<Digest>,
    /// Since when.
    pub started_at: Timestamp,
    /// When the running timeout runs out.
    pub deadline: Option<Timestamp>,
}

/// An attempt that is over. Kept so that repeats and latecomers are recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedAttempt {
    /// Which try.
    pub attempt: AttemptNumber,
    /// What authorised its reply.
    pub token: AttemptToken,
    /// Who ran it.
    pub target: Target,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// The digest of its recorded reply; none if it was closed without one.
    pub reply: Option<Digest>,
    /// Whether a different reply was refused and recorded.
    pub conflicted: bool,
    /// Why it failed; none if it succeeded or was cancelled with its task.
    pub failure: Option<Failure>,
}

impl Task {
    /// The step's progress at an index.
    pub fn progress(&self, step: StepIndex) -> &StepProgress {
        &self.steps[step.at()]
    }

    /// The number of the attempt that would start next.
    pub fn next_attempt(&self, step: StepIndex) -> AttemptNumber {
        self.progress(step).closed.last().map_or(AttemptNumber::FIRST, |closed| closed.attempt.next())
    }

    /// The open attempt of a step.
    pub fn open_attempt(&self, step: StepIndex) -> Option<&OpenAttempt> {
        match &self.progress(step).state {
            StepState::Running(open) => Some(open),
            _ => None,
        }
    }

    /// The result of a step, once it has succeeded.
    pub fn step_result(&self, step: StepIndex) -> Option<&Payload> {
        match &self.progress(step).state {
            StepState::Succeeded { result, .. } => Some(result),
            _ => None,
        }
    }

    /// When something must happen to the step by itself, at the latest; none if it waits for something else or is over.
    pub fn step_due(&self, step: StepIndex) -> Option<Timestamp> {
        let progress = self.progress(step);
        let timeouts = &self.workflow.step(step).timeouts;
        let total = timeouts.total.and_then(|total| Some(progress.first_ready_at?.after(total)));
        let own = match &progress.state {
            StepState::Pending | StepState::Succeeded { .. } | StepState::Failed { .. } | StepState::Cancelled { .. } => {
                return None;
            }
            StepState::Ready { since } => timeouts.waiting.map(|waiting| since.after(waiting)),
            StepState::Running(open) => open.deadline,
            StepState::BackingOff { until } => Some(*until),
        };
        own.into_iter().chain(total).min()
    }

    /// When the task's own timeout runs out; none if it has none or is over.
    pub fn task_due(&self) -> Option<Timestamp> {
        if self.status.is_terminal() {
            return None;
        }
        self.workflow.timeout.map(|timeout| self.accepted_at.after(timeout))
    }

    /// What stays the same across the attempts of a step: hand it to whoever must not act twice. A retry of a task keeps the keys of the
    /// first, because the outside world is the same.
    pub fn idempotency_key(&self, step: StepIndex) -> String {
        format!("{}/{}", self.submission.origin.unwrap_or(self.id), self.workflow.step(step).name)
    }
}
