//! What the operations ask of the loop.

use crate::operations::{
    Applied, AppliedWorkflow, ApplyError, ApprovalError, ApprovalPage, CallbackError, CapabilityView, ChangeError, DrainedVersion,
    EventError, EventTaken, FleetError, Force, HeldPage, ItemPage, ItemsError, LetterError, ListItems, ListPeople, QueueChange, QueueState,
    Reason, ResolveError, SignalError, Signalled, SubmitError, Submitted, SystemView, TaskView, Unavailable, WorkerView,
    WorkflowPauseError, WorkflowPaused,
};
use crate::port::egress::HttpAnswer;
use crate::port::store::{KeyUse, LetterState, Sequence};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::approval::Verdict;
use tasker_engine::decide::reply::Disposition;
use tasker_engine::event::Resolution;
use tasker_engine::flow::Priority;
use tasker_engine::{Digest, Namespace, Payload, StepLabel, StepName, SystemName, TaskId, Timestamp, WorkflowName, WorkflowVersion};
use tasker_scheduler::Target;
use tasker_scheduler::breaker::Override;
use tasker_telemetry::reading::Readings;
use tokio::sync::oneshot::Sender;
use tokio::time::Instant;

/// Where a task's history is and what is needed to understand it.
pub(crate) struct Head {
    pub workflow: Arc<tasker_engine::Workflow>,
    /// The place of its newest row.
    pub last: Sequence,
    /// Whether the task is over.
    pub finished: bool,
}

/// One request to the loop, with the place for its answer. Answers to changes are sent after the commit.
pub(crate) enum Command {
    Apply {
        manifest: Box<tasker_manifest::Manifest>,
        source: Arc<str>,
        dry_run: bool,
        force: Option<Force>,
        warnings: Vec<tasker_manifest::Diagnostic>,
        answer: Sender<Result<Applied, ApplyError>>,
    },
    Workflows {
        namespace: Namespace,
        answer: Sender<Vec<AppliedWorkflow>>,
    },
    Submit {
        submission: Box<NewTask>,
        answer: Sender<Result<Accepted, SubmitError>>,
    },
    Show {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<TaskView>, Unavailable>>,
    },
    Head {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<Head>, Unavailable>>,
    },
    WaitFinished {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<TaskView>, Unavailable>>,
    },
    Cancel {
        namespace: Namespace,
        id: TaskId,
        reason: String,
        answer: Sender<Result<TaskView, ChangeError>>,
    },
    Signal {
        namespace: Namespace,
        id: TaskId,
        name: String,
        payload: Payload,
        signal: Option<String>,
        answer: Sender<Result<Signalled, SignalError>>,
    },
    SendEvent {
        namespace: Namespace,
        name: String,
        key: String,
        payload: Payload,
        identified: Option<KeyedEvent>,
        answer: Sender<Result<EventTaken, EventError>>,
    },
    Approvals {
        namespace: Namespace,
        list: ListPeople,
        answer: Sender<Result<ApprovalPage, Unavailable>>,
    },
    Decide {
        namespace: Namespace,
        id: TaskId,
        step: StepLabel,
        verdict: Verdict,
        answer: Sender<Result<TaskView, ApprovalError>>,
    },
    Comment {
        namespace: Namespace,
        id: TaskId,
        step: StepLabel,
        by: String,
        comment: String,
        answer: Sender<Result<TaskView, ApprovalError>>,
    },
    Held {
        namespace: Namespace,
        list: ListPeople,
        answer: Sender<Result<HeldPage, Unavailable>>,
    },
    Resolve {
        namespace: Namespace,
        id: TaskId,
        step: StepLabel,
        resolution: Resolution,
        by: String,
        comment: Option<String>,
        answer: Sender<Result<TaskView, ResolveError>>,
    },
    Pause {
        namespace: Namespace,
        id: TaskId,
        reason: String,
        answer: Sender<Result<TaskView, ChangeError>>,
    },
    Resume {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<TaskView, ChangeError>>,
    },
    RequeueLetter {
        namespace: Namespace,
        id: TaskId,
        by: String,
        reason: String,
        answer: Sender<Result<LetterState, LetterError>>,
    },
    DiscardLetter {
        namespace: Namespace,
        id: TaskId,
        by: String,
        reason: String,
        answer: Sender<Result<LetterState, LetterError>>,
    },
    /// With a reason: pauses; without: resumes.
    PauseWorkflow {
        namespace: Namespace,
        name: WorkflowName,
        reason: Option<String>,
        answer: Sender<Result<WorkflowPaused, WorkflowPauseError>>,
    },
    Items {
        namespace: Namespace,
        id: TaskId,
        step: StepName,
        list: ListItems,
        answer: Sender<Result<ItemPage, ItemsError>>,
    },
    Retry {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Submitted, ChangeError>>,
    },
    Callback {
        call: Box<HttpAnswer>,
        answer: Sender<Result<Disposition, CallbackError>>,
    },
    Systems {
        namespace: Namespace,
        answer: Sender<Vec<SystemView>>,
    },
    Capabilities {
        namespace: Namespace,
        answer: Sender<Vec<CapabilityView>>,
    },
    Why {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<Vec<Reason>>, Unavailable>>,
    },
    Status {
        answer: Sender<Vec<(&'static str, bool, String)>>,
    },
    Figures {
        answer: Sender<Readings>,
    },
    OverrideBreaker {
        target: Target,
        operator: Override,
        answer: Sender<Result<CapabilityView, FleetError>>,
    },
    Queues {
        namespace: Namespace,
        answer: Sender<Vec<QueueState>>,
    },
    ChangeQueue {
        target: Target,
        change: QueueChange,
        answer: Sender<Result<QueueState, FleetError>>,
    },
    DrainWorker {
        namespace: Namespace,
        session: String,
        system: Option<SystemName>,
        answer: Sender<Result<WorkerView, FleetError>>,
    },
    DrainVersion {
        namespace: Namespace,
        system: SystemName,
        version: String,
        undo: bool,
        answer: Sender<Result<DrainedVersion, FleetError>>,
    },
    Drain {
        grace: Duration,
        answer: Sender<()>,
    },
}

/// By what the shard is found that a command is for.
pub(crate) enum Whose<'c> {
    Namespace(&'c Namespace),
    Task(TaskId),
    /// About the loop itself, not about anything in it.
    Loop,
}

impl Command {
    /// Whose loop takes it.
    pub fn whose(&self) -> Whose<'_> {
        match self {
            Self::Apply { manifest, .. } => Whose::Namespace(&manifest.workflow.namespace),
            Self::Submit { submission, .. } => Whose::Namespace(&submission.namespace),
            Self::OverrideBreaker { target, .. } | Self::ChangeQueue { target, .. } => Whose::Namespace(&target.namespace),
            Self::Workflows { namespace, .. }
            | Self::Show { namespace, .. }
            | Self::Head { namespace, .. }
            | Self::WaitFinished { namespace, .. }
            | Self::Cancel { namespace, .. }
            | Self::Signal { namespace, .. }
            | Self::SendEvent { namespace, .. }
            | Self::Approvals { namespace, .. }
            | Self::Decide { namespace, .. }
            | Self::Comment { namespace, .. }
            | Self::Held { namespace, .. }
            | Self::Resolve { namespace, .. }
            | Self::Pause { namespace, .. }
            | Self::Resume { namespace, .. }
            | Self::RequeueLetter { namespace, .. }
            | Self::DiscardLetter { namespace, .. }
            | Self::PauseWorkflow { namespace, .. }
            | Self::Items { namespace, .. }
            | Self::Retry { namespace, .. }
            | Self::Systems { namespace, .. }
            | Self::Capabilities { namespace, .. }
            | Self::Queues { namespace, .. }
            | Self::Why { namespace, .. }
            | Self::DrainWorker { namespace, .. }
            | Self::DrainVersion { namespace, .. } => Whose::Namespace(namespace),
            Self::Callback { call, .. } => Whose::Task(call.call.task),
            Self::Status { .. } | Self::Figures { .. } | Self::Drain { .. } => Whose::Loop,
        }
    }
}

/// When the store was asked for a key, on both clocks: the one on the wall may jump, and the other means nothing beside stored instants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookedUp {
    pub wall: Timestamp,
    pub at: Instant,
}

/// A task to be accepted.
pub(crate) struct NewTask {
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    pub version: Option<WorkflowVersion>,
    pub input: Payload,
    pub labels: BTreeMap<String, String>,
    pub priority: Option<Priority>,
    pub keyed: Option<KeyedSubmission>,
    /// The identity as it was computed at the first try, and what the store knew of it.
    pub identified: Option<IdentifiedSubmission>,
    pub traceparent: Option<String>,
}

/// What became of a task to be accepted.
pub(crate) enum Accepted {
    /// It exists.
    Done(Submitted),
    /// Its workflow has an identity: look this key up and ask again.
    LookUp { key: String, submission: Box<NewTask> },
}

/// The identity of a submission, with the task that had it when the store was asked.
pub(crate) struct IdentifiedSubmission {
    pub key: String,
    pub used: Option<KeyUse>,
    /// When the store was asked: identities used since then are known to the loop.
    pub looked_up_at: LookedUp,
}

/// The id of an event that was not found in the store.
pub(crate) struct KeyedEvent {
    /// Under which it is remembered.
    pub key: String,
    /// When it was not found.
    pub looked_up_at: LookedUp,
    /// As the sender gave it.
    pub id: String,
}

/// A submission with an idempotency key that was not found in the store.
pub(crate) struct KeyedSubmission {
    pub key: String,
    pub fingerprint: Digest,
    /// When it was not found: keys accepted since then are known to the loop.
    pub looked_up_at: LookedUp,
}
