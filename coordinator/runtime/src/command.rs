//! What the operations ask of the loop.

use crate::operations::{
    Applied, AppliedWorkflow, ApplyError, CapabilityView, ChangeError, DrainedVersion, Figures, FleetError, Reason, SubmitError, Submitted,
    SystemView, TaskView, Unavailable, WorkerView,
};
use crate::port::store::Sequence;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{Digest, Namespace, Payload, SystemName, TaskId, Timestamp, WorkflowName, WorkflowVersion};
use tasker_scheduler::Target;
use tasker_scheduler::breaker::Override;
use tokio::sync::oneshot::Sender;

/// One request to the loop, with the place for its answer. Answers to changes are sent after the commit.
pub(crate) enum Command {
    Apply {
        manifest: Box<tasker_manifest::Manifest>,
        source: Arc<str>,
        dry_run: bool,
        warnings: Vec<tasker_manifest::Diagnostic>,
        answer: Sender<Result<Applied, ApplyError>>,
    },
    Workflows {
        namespace: Namespace,
        answer: Sender<Vec<AppliedWorkflow>>,
    },
    Submit {
        namespace: Namespace,
        workflow: WorkflowName,
        version: Option<WorkflowVersion>,
        input: Payload,
        labels: BTreeMap<String, String>,
        keyed: Option<KeyedSubmission>,
        traceparent: Option<String>,
        answer: Sender<Result<Submitted, SubmitError>>,
    },
    Show {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<TaskView>, Unavailable>>,
    },
    Head {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Option<(TaskView, Sequence)>, Unavailable>>,
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
    Retry {
        namespace: Namespace,
        id: TaskId,
        answer: Sender<Result<Submitted, ChangeError>>,
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
        answer: Sender<Figures>,
    },
    OverrideBreaker {
        target: Target,
        operator: Override,
        answer: Sender<Result<CapabilityView, FleetError>>,
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

/// A submission with an idempotency key that was not found in the store.
pub(crate) struct KeyedSubmission {
    pub key: String,
    pub fingerprint: Digest,
    /// When it was not found: keys accepted since then are known to the loop.
    pub looked_up_at: Timestamp,
}
