//! Facts about one task. What is committed is events; everything else is derived from them.

use crate::failure::Failure;
use crate::ids::{AttemptNumber, AttemptToken, Digest, SessionId, StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::Submission;
use crate::time::Timestamp;

/// One fact. Folding a task's events, in order, gives its state.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The task exists.
    TaskAccepted(Box<Submission>),
    /// The result of an earlier task's step is reused; the step counts as succeeded.
    StepKept {
        /// Which step.
        step: StepIndex,
        /// Its result in the earlier task.
        result: Payload,
    },
    /// Every dependency has succeeded, or a retry is due: an attempt may start.
    StepReady {
        /// Which step.
        step: StepIndex,
    },
    /// A worker is asked.
    AttemptStarted {
        /// Which step.
        step: StepIndex,
        /// Which try.
        attempt: AttemptNumber,
        /// What authorises the reply.
        token: AttemptToken,
        /// Who is asked.
        target: Target,
        /// The contract of the worker's build, by digest, if it announced one.
        contract: Option<Digest>,
        /// When the running timeout runs out.
        deadline: Option<Timestamp>,
    },
    /// The attempt is closed without a result.
    AttemptFailed {
        /// Which step.
        step: StepIndex,
        /// Which try.
        attempt: AttemptNumber,
        /// Why.
        failure: Failure,
        /// The digest of the reply that said so; none if no reply did.
        reply: Option<Digest>,
        /// When the next attempt may start; none if this was the last.
        retry_at: Option<Timestamp>,
    },
    /// The step has its result.
    StepSucceeded {
        /// Which step.
        step: StepIndex,
        /// Which try brought it.
        attempt: AttemptNumber,
        /// What the worker gave.
        result: Payload,
    },
    /// The step will never have a result.
    StepFailed {
        /// Which step.
        step: StepIndex,
        /// Why.
        failure: Failure,
    },
    /// The step will not be run, or not any further, because the task ends.
    StepCancelled {
        /// Which step.
        step: StepIndex,
    },
    /// A second, different reply came for an attempt that had one. It changed nothing.
    ReplyConflicted {
        /// Which step.
        step: StepIndex,
        /// Which try.
        attempt: AttemptNumber,
        /// The digest of the reply that was refused.
        reply: Digest,
    },
    /// Somebody asked for the end.
    CancelRequested {
        /// Why, for people.
        reason: String,
    },
    /// The end: every step has succeeded.
    TaskSucceeded {
        /// The task's result.
        result: Payload,
    },
    /// The end: a step failed, or the time is over.
    TaskFailed {
        /// The step that failed; none if the task's own timeout ran out or its result could not be built.
        step: Option<StepIndex>,
        /// Why.
        failure: Failure,
    },
    /// The end: cancelled on request.
    TaskCancelled {
        /// Why, for people.
        reason: String,
    },
}

/// Who was asked to run an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A worker's session.
    Session(SessionId),
    /// Whoever answers requests for the capability, without an SDK.
    Responders,
}

impl Event {
    /// The event's name: the same in the API, on the bus and in docs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TaskAccepted(_) => "task_accepted",
            Self::StepKept { .. } => "step_kept",
            Self::StepReady { .. } => "step_ready",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::StepCancelled { .. } => "step_cancelled",
            Self::ReplyConflicted { .. } => "reply_conflicted",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::TaskSucceeded { .. } => "task_succeeded",
            Self::TaskFailed { .. } => "task_failed",
            Self::TaskCancelled { .. } => "task_cancelled",
        }
    }

    /// The step it is about, if it is about one.
    pub fn step(&self) -> Option<StepIndex> {
        match self {
            Self::StepKept { step, .. }
            | Self::StepReady { step }
            | Self::AttemptStarted { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepCancelled { step }
            | Self::ReplyConflicted { step, .. } => Some(*step),
            Self::TaskFailed { step, .. } => *step,
            Self::TaskAccepted(_) | Self::CancelRequested { .. } | Self::TaskSucceeded { .. } | Self::TaskCancelled { .. } => None,
        }
    }
}

/// The events that one commit recorded for one task, and when they were decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose history this is.
    pub task: TaskId,
    /// The number of the first event; a task's events are numbered from 1 without gaps.
    pub first: u64,
    /// When.
    pub at: Timestamp,
    /// In order; at least one.
    pub events: Vec<Event>,
}
