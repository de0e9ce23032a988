//! The state of one run of a workflow: nothing but what its events say.
//!
//! A fan-out's items stand behind the steps of the workflow, in the order in which they came to be; whoever has a [`StepIndex`] of a task
//! asks the task, not the workflow, what it is ([`Task::definition`]).

use crate::event::Target;
use crate::failure::Failure;
use crate::flow::Priority;
use crate::ids::{AttemptNumber, AttemptToken, Digest, Namespace, StepIndex, StepLabel, TaskId};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::workflow::{Step, StepKind, Switch, Workflow};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

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
    /// The task and step that run this one as a child, if one does.
    pub parent: Option<Parent>,
    /// How urgent it is.
    pub priority: Priority,
    /// The key by which its workflow counts tasks, if it does.
    pub concurrency: Option<Concurrency>,
}

/// How a task is counted by its workflow's `concurrency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// What the workflow's key gives for the task's input.
    pub key: String,
    /// Whether there were as many as may be when it was accepted, so that it waits to be admitted.
    pub queued: bool,
}

/// The step that started a child task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The task it belongs to.
    pub task: TaskId,
    /// Which step or item.
    pub step: StepIndex,
    /// The attempt that the child is; its end is reported under this token.
    pub token: AttemptToken,
    /// Whether nobody waits for the child.
    pub detached: bool,
    /// How many tasks are above this one; at most [`Parent::DEPTH_MAX`].
    pub depth: u32,
}

impl Parent {
    /// Children of children end here, so that a workflow that starts itself does not go on for ever.
    pub const DEPTH_MAX: u32 = 16;
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
    /// The instant that the workflow's `deadline` gave.
    pub deadline: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Where it stands.
    pub status: TaskStatus,
    /// What is done before the task ends otherwise than well; none while it goes forward.
    pub ending: Option<Ending>,
    /// Whether it waits for its turn among the tasks of the same concurrency key: none of its steps has begun.
    pub queued: bool,
    /// Since when nothing new starts, and why.
    pub paused: Option<Paused>,
    /// How long it was paused, in all pauses that are over.
    pub paused_for: Duration,
    /// Its result, once succeeded.
    pub result: Option<Payload>,
    /// Its failure, once failed, and the step that caused it.
    pub failure: Option<(Option<StepIndex>, Failure)>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// One per step of the workflow, in its order; then one per item of its fan-outs.
    pub steps: Vec<StepProgress>,
    /// What the entries behind the workflow's steps are.
    pub items: Vec<Item>,
    /// How many steps are not yet terminal; items are not counted.
    pub open_steps: u32,
    /// How many steps and items hold one of the workflow's `max_parallel` places.
    pub working: u32,
    /// Steps that wait for such a place, in order.
    pub parked: VecDeque<StepIndex>,
    /// Steps with a handler that undoes them, in the order in which they were completed.
    pub completed: Vec<StepIndex>,
    /// Signals that nobody has waited for yet, by name, oldest first.
    pub signals: BTreeMap<String, VecDeque<Payload>>,
    /// The latest ids of signals, by which repeats are recognised.
    pub signal_ids: VecDeque<String>,
    /// How many events it has.
    pub events: u64,
}

/// One item, or batch of items, of a fan-out.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The step that it belongs to.
    pub of: StepIndex,
    /// Its place in the list, from 0.
    pub number: u32,
    /// What the item is; of a batch: a list.
    pub value: Payload,
}

/// A task that will not succeed any more, but has something to do before it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Why it ends.
    pub cause: Cause,
    /// Whether what was done is undone first.
    pub compensate: bool,
    /// Since when.
    pub since: Timestamp,
}

/// Why a task ends without success.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// A step failed, the time ran out, or no result could be built.
    Failed {
        /// The step that failed, if one did.
        step: Option<StepIndex>,
        /// Why.
        failure: Failure,
    },
    /// On request.
    Cancelled {
        /// Why, for people.
        reason: String,
    },
}

/// A task that starts nothing new for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Where one step of a task stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepProgress {
    /// The state now.
    pub state: StepState,
    /// How many dependencies are not over yet.
    pub open_dependencies: u32,
    /// How many dependencies have succeeded.
    pub met_dependencies: u32,
    /// When it was first ready.
    pub first_ready_at: Option<Timestamp>,
    /// How long the task was paused since then.
    pub held: Duration,
    /// How many of the closed attempts do not count any more, because a person asked for another try.
    pub forgiven: u32,
    /// Where its items are, once it fanned out.
    pub fan: Option<Box<Fan>>,
    /// Attempts that are over, oldest first.
    pub closed: SmallVec<[ClosedAttempt; 1]>,
}

/// A fan-out's items and how far they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fan {
    /// The index of the first item; the others follow it.
    pub first: u32,
    /// How many items there are.
    pub count: u32,
    /// Where the next item to start is looked for; every item before it is at work or over.
    pub next: u32,
    /// How many are at work: started and not over.
    pub working: u32,
    /// How many are over.
    pub over: u32,
    /// How many of these succeeded.
    pub succeeded: u32,
    /// How many of these failed; what was skipped or withdrawn did neither.
    pub failed: u32,
}

impl Fan {
    /// The indexes of all items.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (self.first..self.first + self.count).map(StepIndex)
    }
}

/// The state of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Waits for its dependencies.
    Pending,
    /// A handler that nobody has called for.
    Standby,
    /// Waits for one of the workflow's `max_parallel` places.
    Parked,
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
    /// Waits for something from outside, for a person, or for time to pass.
    Waiting(Box<Waiting>),
    /// Its items are worked on.
    FannedOut,
    /// It failed for good, and another step runs in its place.
    FallingBack {
        /// Which step.
        to: StepIndex,
        /// Why this one failed.
        failure: Failure,
    },
    /// It failed for good, and a person decides what follows.
    Held {
        /// Why it failed.
        failure: Failure,
        /// Since when.
        since: Timestamp,
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
    /// Over, without having been needed.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// When.
        at: Timestamp,
    },
    /// Over, because the task ended.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// Why a step was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Its `when` was false.
    Condition,
    /// A switch took another branch.
    Branch,
    /// Its `join` could no longer be met.
    Join,
    /// Others were enough.
    NotNeeded,
    /// A person said so.
    Person,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Condition, Self::Branch, Self::Join, Self::NotNeeded, Self::Person];

    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Branch => "branch",
            Self::Join => "join",
            Self::NotNeeded => "not_needed",
            Self::Person => "person",
        }
    }
}

/// What a waiting step waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// What.
    pub wait: Wait,
    /// Since when.
    pub since: Timestamp,
    /// Until when: the end of a sleep, the time limit of everything else.
    pub until: Option<Timestamp>,
    /// How often the assignees of an approval were reminded.
    pub reminded: u32,
    /// When they were reminded last.
    pub reminded_at: Option<Timestamp>,
    /// When an approval was escalated.
    pub escalated_at: Option<Timestamp>,
}

/// What ends a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A signal to this task.
    Signal {
        /// Its name.
        name: String,
    },
    /// An event from outside.
    Event {
        /// Its name.
        name: String,
        /// Its key.
        key: String,
    },
    /// Time.
    Sleep,
    /// A person's decision.
    Approval {
        /// One line.
        title: String,
        /// What they should know.
        description: Option<String>,
        /// Who is asked; nobody in particular if empty.
        assignees: Vec<String>,
    },
}

impl Wait {
    /// The word used in the API and the CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Signal { .. } => "signal",
            Self::Event { .. } => "event",
            Self::Sleep => "sleep",
            Self::Approval { .. } => "approval",
        }
    }
}

impl StepState {
    /// Whether nothing can happen to the step any more by itself; a handler on standby counts as such until it is called for.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Pending
            | Self::Parked
            | Self::Ready { .. }
            | Self::Running(_)
            | Self::BackingOff { .. }
            | Self::Waiting(_)
            | Self::FannedOut
            | Self::FallingBack { .. }
            | Self::Held { .. } => false,
            Self::Standby | Self::Succeeded { .. } | Self::Failed { .. } | Self::Skipped { .. } | Self::Cancelled { .. } => true,
        }
    }

    /// Whether a step in this state holds one of the workflow's `max_parallel` places, if it is work.
    pub fn holds_place(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Running(_) | Self::BackingOff { .. } => true,
            Self::Pending
            | Self::Standby
            | Self::Parked
            | Self::Waiting(_)
            | Self::FannedOut
            | Self::FallingBack { .. }
            | Self::Held { .. }
            | Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// The word used in the API and the CLI.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Standby => "standby",
            Self::Parked => "parked",
            Self::Ready { .. } => "ready",
            Self::Running(_) => "running",
            Self::BackingOff { .. } => "backing_off",
            Self::Waiting(_) => "waiting",
            Self::FannedOut => "fanned_out",
            Self::FallingBack { .. } => "falling_back",
            Self::Held { .. } => "held",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// What an expression sees as `steps.<name>.status`.
    pub fn status_word(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
            Self::Pending
            | Self::Standby
            | Self::Parked
            | Self::Ready { .. }
            | Self::Running(_)
            | Self::BackingOff { .. }
            | Self::Waiting(_)
            | Self::FannedOut
            | Self::FallingBack { .. }
            | Self::Held { .. } => "open",
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
    /// What a step or item of this task is.
    pub fn definition(&self, step: StepIndex) -> &Step {
        self.workflow.step(self.node(step))
    }

    /// The node of the graph that a step is, or that an item belongs to.
    pub fn node(&self, step: StepIndex) -> StepIndex {
        self.item(step).map_or(step, |item| item.of)
    }

    /// The item at an index; none if it is a step.
    pub fn item(&self, step: StepIndex) -> Option<&Item> {
        self.items.get(step.at().checked_sub(self.workflow.steps.len())?)
    }

    /// Every step and item.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (0..self.steps.len() as u32).map(StepIndex)
    }

    /// How a step or item is called in the protocol, in events and by people: `resize`, `resize[17]`.
    pub fn label(&self, step: StepIndex) -> StepLabel {
        let name = self.definition(step).name.clone();
        StepLabel { name, item: self.item(step).map(|item| item.number) }
    }

    /// The step or item of a label; none if there is none.
    pub fn find(&self, label: &StepLabel) -> Option<StepIndex> {
        let node = self.workflow.find(label.name.as_str())?;
        let Some(number) = label.item else { return Some(node) };
        let fan = self.progress(node).fan.as_ref()?;
        (number < fan.count).then(|| StepIndex(fan.first + number))
    }

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

    /// What a step waits for, if it is one that waits for something from outside, a person, or time.
    pub fn waiting(&self, step: StepIndex) -> Option<&Waiting> {
        match &self.progress(step).state {
            StepState::Waiting(waiting) => Some(waiting),
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

    /// The branch that a switch took; none if it took none.
    pub fn branch_taken(&self, switch: StepIndex) -> Option<u32> {
        let StepKind::Switch(definition) = &self.definition(switch).kind else { return None };
        let result = self.step_result(switch)?.value();
        let name = result.get("case")?.as_str()?;
        let place = definition.cases.iter().position(|case| case.name == name);
        place.map(|place| place as u32).or((name == Switch::DEFAULT).then_some(definition.cases.len() as u32))
    }

    /// Whether a place of the workflow's `max_parallel` is free.
    pub fn has_place(&self) -> bool {
        self.workflow.max_parallel.is_none_or(|max| self.working < max)
    }

    /// When something must happen to the step by itself, at the latest; none if it waits for something else or is over.
    pub fn step_due(&self, step: StepIndex) -> Option<Timestamp> {
        let progress = self.progress(step);
        let timeouts = &self.definition(step).timeouts;
        let own = match &progress.state {
            StepState::Pending
            | StepState::Standby
            | StepState::Parked
            | StepState::FannedOut
            | StepState::FallingBack { .. }
            | StepState::Held { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => return None,
            // Nothing is late because somebody paused the task.
            StepState::Ready { .. } if self.paused.is_some() => return None,
            StepState::Ready { since } => timeouts.waiting.map(|waiting| since.after(waiting)),
            StepState::Running(open) => open.deadline,
            StepState::BackingOff { until } => Some(*until),
            StepState::Waiting(waiting) => return self.wait_due(step, waiting),
        };
        own.into_iter().chain(self.total_due(step)).min()
    }

    /// When the step's total time is over; the time that the task is paused does not count.
    pub fn total_due(&self, step: StepIndex) -> Option<Timestamp> {
        if self.paused.is_some() {
            return None;
        }
        let progress = self.progress(step);
        let total = self.definition(step).timeouts.total?;
        Some(progress.first_ready_at?.after(total).after(progress.held))
    }

    fn wait_due(&self, step: StepIndex, waiting: &Waiting) -> Option<Timestamp> {
        let approval = match &self.definition(step).kind {
            StepKind::Approval(approval) => Some(approval),
            StepKind::Call(_) | StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Switch(_) => None,
        };
        let reminder = approval.and_then(|approval| approval.remind_every);
        // Counted from the last one, so that a coordinator that was away does not catch up with a heap of reminders.
        let reminder = reminder.map(|every| waiting.reminded_at.unwrap_or(waiting.since).after(every));
        let escalation = approval.and_then(|approval| approval.escalate.as_ref()).filter(|_| waiting.escalated_at.is_none());
        let escalation = escalation.map(|escalation| waiting.since.after(escalation.after));
        waiting.until.into_iter().chain(reminder).chain(escalation).min()
    }

    /// When the task's own time runs out; none if it has no limit, is paused, ending or over.
    pub fn task_due(&self) -> Option<Timestamp> {
        if self.status.is_terminal() || self.paused.is_some() || self.ending.is_some() {
            return None;
        }
        let timeout = self.workflow.timeout.map(|timeout| self.accepted_at.after(timeout).after(self.paused_for));
        timeout.into_iter().chain(self.deadline).min()
    }

    /// What stays the same across the attempts of a step: hand it to whoever must not act twice. A retry of a task keeps the keys of the
    /// first, because the outside world is the same.
    pub fn idempotency_key(&self, step: StepIndex) -> String {
        use std::fmt::Write;
        let mut key = String::with_capacity(48);
        write!(key, "{}/{}", self.submission.origin.unwrap_or(self.id), self.label(step)).expect("writing to a string does not fail");
        key
    }
}
