//! Facts about one task. What is committed is events; everything else is derived from them.

use crate::failure::Failure;
use crate::ids::{AttemptNumber, AttemptToken, Digest, SessionId, StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{Cause, SkipReason, Submission, Wait};
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
    /// The instant by which the task must end, as its workflow computes it.
    DeadlineSet {
        /// When.
        at: Timestamp,
    },
    /// Nothing holds the step back any more, or a retry is due: an attempt may start.
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
    /// The step waits for one of the workflow's `max_parallel` places.
    StepParked {
        /// Which step.
        step: StepIndex,
    },
    /// The step was not needed.
    StepSkipped {
        /// Which step.
        step: StepIndex,
        /// Why.
        reason: SkipReason,
    },
    /// A switch took a branch.
    BranchTaken {
        /// Which switch.
        step: StepIndex,
        /// The case, by its number; the number of cases stands for the default.
        branch: u32,
    },
    /// The step works on the items of a list.
    StepFannedOut {
        /// Which step.
        step: StepIndex,
        /// The items, or batches, in order.
        items: Vec<Payload>,
    },
    /// The step's items are over; their results, in order, are its result.
    StepCollected {
        /// Which step.
        step: StepIndex,
    },
    /// The step waits for something from outside, for a person, or for time to pass.
    WaitStarted {
        /// Which step.
        step: StepIndex,
        /// What for.
        wait: Wait,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// What the step waited for has come.
    WaitSatisfied {
        /// Which step.
        step: StepIndex,
        /// What came.
        result: Payload,
    },
    /// The assignees of an approval were reminded.
    ApprovalReminded {
        /// Which step.
        step: StepIndex,
    },
    /// An approval was put before others.
    ApprovalEscalated {
        /// Which step.
        step: StepIndex,
        /// Who is asked as well.
        to: Vec<String>,
    },
    /// Somebody said something about an approval without deciding it.
    ApprovalCommented {
        /// Which step.
        step: StepIndex,
        /// Who.
        by: String,
        /// What.
        comment: String,
    },
    /// A signal came that nobody waits for yet, or that ends a wait with the event after this.
    SignalReceived {
        /// Its name.
        name: String,
        /// What it brought.
        payload: Payload,
        /// By which a repeat is recognised.
        id: Option<String>,
    },
    /// Another step runs in the place of one that failed for good.
    FallbackStarted {
        /// The step that failed.
        step: StepIndex,
        /// The one in its place.
        to: StepIndex,
        /// Why it failed.
        failure: Failure,
    },
    /// The result of the step in its place is this step's result.
    FallbackTaken {
        /// The step that failed.
        step: StepIndex,
    },
    /// The step failed for good and waits for a person.
    StepHeld {
        /// Which step.
        step: StepIndex,
        /// Why it failed.
        failure: Failure,
    },
    /// A person decided what becomes of a held step.
    StepResolved {
        /// Which step.
        step: StepIndex,
        /// What.
        resolution: Resolution,
        /// Who.
        by: String,
        /// Why, for people.
        comment: Option<String>,
    },
    /// The task will not succeed; what is declared for that case is done before it ends.
    TaskEnding {
        /// Why.
        cause: Cause,
        /// Whether what was done is undone.
        compensate: bool,
    },
    /// A queued task's turn has come: its steps begin.
    TaskAdmitted,
    /// Nothing new starts.
    TaskPaused {
        /// Why, for people.
        reason: String,
    },
    /// It goes on.
    TaskResumed,
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
    /// The end: every step is over, and none of those that had to succeed failed.
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
    /// The system itself, over HTTP.
    Http,
    /// Another task.
    Child(TaskId),
}

/// What a person makes of a held step.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// Try again, with as many attempts as at first.
    Retry,
    /// Go on as if it had not been needed.
    Skip,
    /// Go on with this result.
    Supply(Payload),
    /// Let it fail.
    Fail,
}

impl Resolution {
    /// The word used in the API and the CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Supply(_) => "supply",
            Self::Fail => "fail",
        }
    }
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
            Self::DeadlineSet { .. } => "deadline_set",
            Self::StepParked { .. } => "step_parked",
            Self::StepSkipped { .. } => "step_skipped",
            Self::BranchTaken { .. } => "branch_taken",
            Self::StepFannedOut { .. } => "step_fanned_out",
            Self::StepCollected { .. } => "step_collected",
            Self::WaitStarted { .. } => "wait_started",
            Self::WaitSatisfied { .. } => "wait_satisfied",
            Self::ApprovalReminded { .. } => "approval_reminded",
            Self::ApprovalEscalated { .. } => "approval_escalated",
            Self::ApprovalCommented { .. } => "approval_commented",
            Self::SignalReceived { .. } => "signal_received",
            Self::FallbackStarted { .. } => "fallback_started",
            Self::FallbackTaken { .. } => "fallback_taken",
            Self::StepHeld { .. } => "step_held",
            Self::StepResolved { .. } => "step_resolved",
            Self::TaskEnding { .. } => "task_ending",
            Self::TaskAdmitted => "task_admitted",
            Self::TaskPaused { .. } => "task_paused",
            Self::TaskResumed => "task_resumed",
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
            | Self::StepParked { step }
            | Self::StepSkipped { step, .. }
            | Self::BranchTaken { step, .. }
            | Self::StepFannedOut { step, .. }
            | Self::StepCollected { step }
            | Self::WaitStarted { step, .. }
            | Self::WaitSatisfied { step, .. }
            | Self::ApprovalReminded { step }
            | Self::ApprovalEscalated { step, .. }
            | Self::ApprovalCommented { step, .. }
            | Self::FallbackStarted { step, .. }
            | Self::FallbackTaken { step }
            | Self::StepHeld { step, .. }
            | Self::StepResolved { step, .. }
            | Self::ReplyConflicted { step, .. } => Some(*step),
            Self::TaskFailed { step, .. } | Self::TaskEnding { cause: Cause::Failed { step, .. }, .. } => *step,
            Self::TaskAccepted(_)
            | Self::DeadlineSet { .. }
            | Self::SignalReceived { .. }
            | Self::TaskEnding { cause: Cause::Cancelled { .. }, .. }
            | Self::TaskAdmitted
            | Self::TaskPaused { .. }
            | Self::TaskResumed
            | Self::CancelRequested { .. }
            | Self::TaskSucceeded { .. }
            | Self::TaskCancelled { .. } => None,
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
