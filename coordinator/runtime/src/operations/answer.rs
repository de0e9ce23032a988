//! What is answered, in the engine's own words; the API turns it into JSON.

use super::{ChildView, StepNames};
pub use crate::port::egress::{Health as SystemHealth, HealthState};
use crate::port::store::{TaskRow, WorkflowPause};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::Canary;
use tasker_engine::contract::Violation;
use tasker_engine::event::Entry;
use tasker_engine::flow::{Priorities, Priority};
use tasker_engine::transport::Transport;
use tasker_engine::{
    CapabilityName, Namespace, Payload, StepIndex, SystemName, Task, TaskId, TaskStatus, Timestamp, Workflow, WorkflowName, WorkflowVersion,
};
use tasker_registry::message::{Sdk, SessionState};
use tasker_registry::registry::{Capability, System};
pub use tasker_registry::{DrainRefusal, Withheld};
pub use tasker_scheduler::Target;
pub use tasker_scheduler::breaker::{Override, State};
pub use tasker_scheduler::limits::{BacklogFull, Hold, Orders, QueueView};

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The task.
    pub task: TaskId,
    /// False if the idempotency key had led to this task before, or the workflow's identity says that it is the same task.
    pub created: bool,
    /// The W3C trace id of the task, 32 hexadecimal digits.
    pub trace_id: String,
}

/// A task as it stands, with what only the coordinator's memory knows.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// The state.
    pub task: Task,
    /// The latest progress of running steps.
    pub progress: BTreeMap<StepIndex, Payload>,
    /// The tasks that its steps started, in order; the latest [`super::CHILDREN_SHOWN_MAX`].
    pub children: Vec<ChildView>,
    /// Since when and why its whole workflow is paused.
    pub workflow_pause: Option<WorkflowPause>,
}

/// A task's events.
#[derive(Debug, Clone)]
pub struct History {
    /// The workflow; [`History::names`] gives the names of steps and items.
    pub workflow: Arc<Workflow>,
    /// Oldest first.
    pub entries: Vec<Arc<Entry>>,
    /// Whether the task is over, so that no event will follow (but a refused conflicting reply).
    pub finished: bool,
}

impl History {
    /// How the steps and items that the events speak of are called. Whoever follows the task from here notes what comes later.
    pub fn names(&self) -> StepNames {
        let mut names = StepNames::new(self.workflow.clone());
        self.entries.iter().for_each(|entry| names.note(entry));
        names
    }
}

/// A page of tasks.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<TaskRow>,
    /// Where the next page starts; none if this was the last.
    pub next: Option<TaskId>,
    /// Rows may be missing changes that are newer than this.
    pub as_of: Timestamp,
}

/// A workflow as applied.
#[derive(Debug, Clone)]
pub struct AppliedWorkflow {
    /// The checked definition.
    pub workflow: Arc<Workflow>,
    /// What it is for.
    pub description: String,
    /// The manifest as it was written.
    pub source: Arc<str>,
    /// When.
    pub applied_at: Timestamp,
    /// Whether new tasks run this version unless they name another.
    pub current: bool,
    /// Since when and why the tasks of this workflow, in every version, start nothing new.
    pub pause: Option<WorkflowPause>,
}

/// What applying a manifest led to.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// False if this very definition had been applied before. With a dry run: whether applying it would change anything.
    pub changed: bool,
    /// What the checker warns about.
    pub warnings: Vec<tasker_manifest::Diagnostic>,
    /// What may not fit the live fleet or the other workflows, and, if it was forced, what does not; at most 100.
    pub compatibility: Vec<super::Incompatibility>,
}

/// A system with its workers.
#[derive(Debug, Clone)]
pub struct SystemView {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: SystemName,
    /// Addresses and capabilities.
    pub system: System,
    /// Its live workers.
    pub workers: Vec<WorkerView>,
    /// The build that gets a share of the tasks, if a manifest declares one.
    pub canary: Option<Canary>,
    /// Builds whose workers get nothing new, because an operator said so.
    pub drained_versions: Vec<String>,
    /// How its steps reach it.
    pub transport: Transport,
    /// What its health check says; unknown if it has none.
    pub health: SystemHealth,
}

/// A capability with what is waiting for it.
#[derive(Debug, Clone)]
pub struct CapabilityView {
    /// The tenant.
    pub namespace: Namespace,
    /// The owner.
    pub system: SystemName,
    /// Its name.
    pub name: CapabilityName,
    /// As declared; none if only a workflow speaks of it.
    pub capability: Option<Capability>,
    /// How many live workers offer it.
    pub workers: usize,
    /// How many steps wait for it.
    pub waiting: usize,
    /// Since when the oldest of them waits.
    pub oldest_waiting: Option<Timestamp>,
    /// What holds its steps back when it fails; none if no manifest declares one and no operator demanded anything.
    pub breaker: Option<BreakerView>,
}

/// A capability's breaker as it stands.
#[derive(Debug, Clone)]
pub struct BreakerView {
    /// Whether attempts may start.
    pub state: State,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// How many failures count now; 0 unless it is closed.
    pub failures: u32,
    /// When the next probe may start; only while it is open by itself.
    pub next_probe_at: Option<Timestamp>,
    /// What an operator demands.
    pub operator: Override,
    /// How often it has opened by itself since the coordinator started.
    pub opened: u64,
    /// What it follows; none if it is there for an operator's demand only.
    pub policy: Option<BreakerPolicy>,
}

/// A build of a system that was drained, or is no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainedVersion {
    /// Whose.
    pub system: SystemName,
    /// Which build, as its workers announce it.
    pub version: String,
    /// Whether its workers get nothing new.
    pub drained: bool,
    /// How many live workers it is about.
    pub workers: usize,
}

/// A live worker.
#[derive(Debug, Clone)]
pub struct WorkerView {
    /// The tenant.
    pub namespace: Namespace,
    /// Its system.
    pub system: SystemName,
    /// Its session.
    pub session: String,
    /// The build of the system.
    pub system_version: String,
    /// Which library.
    pub sdk: Sdk,
    /// Where it runs.
    pub host: String,
    /// Where it runs.
    pub process_id: u32,
    /// Where and on what it says it runs.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes work.
    pub state: SessionState,
    /// Why it is given nothing new although it would take some.
    pub withheld: Option<Withheld>,
    /// What it can do.
    pub capabilities: Vec<CapabilityName>,
    /// How many slots it has: attempts that it runs at once, if each costs one.
    pub slots: u32,
    /// What takes more than one of them, and how many.
    pub slot_costs: BTreeMap<CapabilityName, u32>,
    /// How many attempts it runs now, as far as the coordinator knows.
    pub running: usize,
    /// When it joined.
    pub joined_at: Timestamp,
    /// How long it has been silent.
    pub silent_for: Duration,
}

/// Why a step is not moving, or that it is.
#[derive(Debug, Clone)]
pub struct Reason {
    /// The step; none if it is about the whole task.
    pub step: Option<String>,
    /// One sentence.
    pub text: String,
    /// What to do about it, if anything can be done.
    pub hint: Option<String>,
}

/// How the coordinator is.
#[derive(Debug, Clone)]
pub struct Health {
    /// Whether it takes work: recovered, not draining, store and bus usable.
    pub ready: bool,
    /// One line each, for people: component, whether it is well, what it says.
    pub components: Vec<(&'static str, bool, String)>,
}

/// One breaker's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerFigure {
    /// What it holds back.
    pub target: Target,
    /// Where it stands.
    pub state: State,
    /// How often it has opened by itself.
    pub opened: u64,
}

/// Why a manifest was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The checker found errors.
    #[error("the manifest has {} error(s)", .0.iter().filter(|found| found.severity == tasker_manifest::Severity::Error).count())]
    Invalid(Vec<tasker_manifest::Diagnostic>),
    /// The version exists with another content.
    #[error("version {version} of workflow `{name}` exists with another content; a version never changes, give this one a new number")]
    VersionTaken {
        /// The workflow.
        name: WorkflowName,
        /// The version.
        version: WorkflowVersion,
    },
    /// It does not fit the live fleet or the other workflows.
    #[error(
        "workflow `{name}` {version} does not fit what runs now in {} place(s): {}",
        .found.iter().filter(|found| found.finding.breaks()).count(),
        .found.first().map(super::Incompatibility::to_string).unwrap_or_default()
    )]
    Incompatible {
        /// The workflow.
        name: WorkflowName,
        /// The version.
        version: WorkflowVersion,
        /// Where, and with whom; what breaks comes first. At most 100.
        found: Vec<super::Incompatibility>,
    },
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a submission was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// There is no such workflow.
    #[error("there is no workflow `{name}` in namespace `{namespace}`{}", .similar.as_ref().map_or_else(String::new, |similar| format!("; did you mean `{similar}`?")))]
    UnknownWorkflow {
        /// What was asked for, with the version if one was named.
        name: String,
        /// Where it was looked for.
        namespace: Namespace,
        /// The nearest name that exists.
        similar: Option<String>,
    },
    /// The input is not JSON or too large.
    #[error("the input is not acceptable: {0}")]
    Input(#[from] tasker_engine::payload::InvalidPayload),
    /// The input does not fit the workflow's schema.
    #[error("the input does not fit the input schema of workflow `{workflow}`")]
    InputViolated {
        /// Which workflow.
        workflow: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// The workflow's `deadline` has no instant for this input; code `deadline.unknown`.
    #[error("the deadline of workflow `{workflow}` cannot be computed: {problem}")]
    NoDeadline {
        /// Which workflow.
        workflow: String,
        /// What is wrong.
        problem: String,
    },
    /// The workflow's `identity` has no value for this input; code `identity.unknown`.
    #[error("the identity of workflow `{workflow}` cannot be computed: {problem}")]
    NoIdentity {
        /// Which workflow.
        workflow: String,
        /// What is wrong.
        problem: String,
    },
    /// The task exists already, as the workflow's `identity` says; no task was created. Code `task.duplicate`, HTTP 409.
    #[error("task {task} is the same task, as the identity of workflow `{workflow}` says")]
    Duplicate {
        /// Which workflow.
        workflow: String,
        /// The task there is.
        task: TaskId,
        /// When the window of its identity is over.
        until: Timestamp,
    },
    /// The key was used for another content; no task was created.
    #[error("idempotency key `{key}` was used for another submission (task {task}); use a new key for new content")]
    KeyReused {
        /// The key.
        key: String,
        /// The task it led to.
        task: TaskId,
    },
    /// The priority is not one that the workflow allows; code `priority.not_allowed`.
    #[error("priority {asked} is not allowed for workflow `{workflow}`: it takes {min} to {max}", min = .range.min, max = .range.max)]
    PriorityNotAllowed {
        /// Which workflow.
        workflow: String,
        /// What was asked for.
        asked: Priority,
        /// What it allows.
        range: Priorities,
    },
    /// A capability that the workflow needs has as many waiting steps as it may; code `backlog.full`, HTTP 429.
    #[error(
        "{} steps wait for capability `{}` of system `{}`, and its limit is {}",
        .0.waiting, .0.target.capability, .0.target.system, .0.limit
    )]
    BacklogFull(BacklogFull),
    /// A label or key is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a task could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such task in the namespace.
    #[error("there is no task {0} here")]
    UnknownTask(TaskId),
    /// It is over and stays as it is (P9).
    #[error("the task is already {}", .0.as_str())]
    AlreadyFinished(TaskStatus),
    /// It is on its way to its end, which is neither broken off nor held up; code `task.not_running`.
    #[error("the task is on its way to its end and finishes what is declared for that case")]
    Ending,
    /// Every task of its workflow is paused, so it cannot be resumed by itself; code `workflow.paused`, HTTP 409.
    #[error("workflow `{0}` is paused; resume the workflow instead")]
    WorkflowPaused(WorkflowName),
    /// The task whose child it is is paused, and its children with it; code `task.parent_paused`, HTTP 409.
    #[error("the task is a child of task {0}, which is paused; resume that one instead")]
    ParentPaused(TaskId),
    /// Only a task that is over can be retried.
    #[error("the task is still running; cancel it first, or wait")]
    StillRunning,
    /// A task that succeeded has nothing to retry.
    #[error("the task succeeded; submit a new one instead")]
    NothingToRetry,
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an operator's order about systems, capabilities or workers was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Nobody ever spoke of the capability.
    #[error("nobody ever spoke of a capability `{}` of system `{}`", .0.capability, .0.system)]
    UnknownCapability(Target),
    /// It is not clear what to drain, or too much is.
    #[error(transparent)]
    Drain(#[from] DrainRefusal),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why the coordinator cannot answer now. Trying again later may help.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting; nothing was done.
    #[error("the coordinator has more waiting than it takes; try again in {} s", .retry_after.as_secs().max(1))]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// It is shutting down; nothing was done.
    #[error("the coordinator is shutting down; try again in a few seconds")]
    Draining,
    /// Another coordinator is taking over what this is about; nothing was done.
    #[error("another coordinator is taking over this namespace; try again in a second")]
    Moving,
    /// It stopped before the answer was known: repeat with the same idempotency key to find out (P3).
    #[error("the coordinator stopped before the outcome was known; repeat with the same idempotency key to find out")]
    Unknown,
    /// The database's disk is full; nothing was done.
    #[error("the database's disk is full; nothing was done, and what was accepted before is safe")]
    Full,
    /// The database could not be read; nothing was done.
    #[error("the database could not be read: {0}")]
    Read(String),
}

/// What a watcher of a task is told: these entries were committed.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Whose.
    pub task: TaskId,
    /// What was committed.
    pub entry: Arc<Entry>,
}
