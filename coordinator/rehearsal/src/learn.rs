//! What a rehearsal learns from the events of its tasks.

use crate::points::{Point, PointKind};
use std::collections::{BTreeMap, BTreeSet};
use tasker_engine::event::Event;
use tasker_engine::failure::code;
use tasker_engine::task::{Cause, SkipReason};
use tasker_engine::workflow::{Role, StepKind, Stop};
use tasker_engine::{Entry, Failure, StepIndex, Task};

/// What has been seen so far. Steps of children are called `ship/pack`.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    /// Steps in the order in which they began; items are not named.
    pub began: Vec<String>,
    seen: BTreeSet<String>,
    /// How many attempts each step and item took.
    pub attempts: BTreeMap<String, u64>,
    /// Compensations that succeeded, in order.
    pub compensated: Vec<String>,
    /// The ways taken through the workflow under test.
    pub reached: BTreeSet<Point>,
    /// What the author of the case should know.
    pub notes: BTreeSet<String>,
}

impl Notebook {
    /// Takes down what a decision recorded. `prefix` leads to the task; it is empty for the task under test.
    pub fn note(&mut self, task: &Task, prefix: &str, entry: &Entry) {
        for event in &entry.events {
            self.look(task, prefix, event);
        }
    }

    fn look(&mut self, task: &Task, prefix: &str, event: &Event) {
        match event {
            Event::AttemptStarted { step, .. } => {
                self.begin(task, prefix, *step);
                let label = format!("{prefix}{}", task.label(*step));
                *self.attempts.entry(label).or_default() += 1;
                if task.item(*step).is_some() {
                    *self.attempts.entry(format!("{prefix}{}", task.definition(*step).name)).or_default() += 1;
                }
            }
            Event::WaitStarted { step, .. } | Event::BranchTaken { step, .. } | Event::StepFannedOut { step, .. } => {
                self.begin(task, prefix, *step);
                if let (Event::BranchTaken { branch, .. }, StepKind::Switch(switch)) = (event, &task.definition(*step).kind) {
                    self.reach(task, prefix, *step, PointKind::Branch(switch.branch_name(*branch).to_owned()));
                }
            }
            Event::StepReady { step } | Event::StepParked { step } => self.holds(task, prefix, *step),
            Event::StepSkipped { step, reason: SkipReason::Condition } => self.reach(task, prefix, *step, PointKind::When(false)),
            Event::AttemptFailed { step, failure, .. } => {
                self.fails(task, prefix, *step, failure);
                if failure.code == code::contract_result_violated() || failure.code == code::contract_error_violated() {
                    let name = &task.definition(*step).name;
                    self.notes.insert(format!("the mock of `{prefix}{name}` breaks its contract: {}", failure.message));
                }
            }
            Event::StepFailed { step, failure } | Event::StepHeld { step, failure } | Event::FallbackStarted { step, failure, .. } => {
                self.fails(task, prefix, *step, failure);
                self.stops(task, prefix, *step);
            }
            Event::StepCollected { step } => {
                self.succeeds(task, prefix, *step);
                self.stops(task, prefix, *step);
            }
            Event::StepSucceeded { step, .. } if task.item(*step).is_none() => self.succeeds(task, prefix, *step),
            Event::WaitSatisfied { step, .. } => self.succeeds(task, prefix, *step),
            Event::ApprovalReminded { step } => self.reach(task, prefix, *step, PointKind::Reminds),
            Event::ApprovalEscalated { step, .. } => self.reach(task, prefix, *step, PointKind::Escalates),
            Event::TaskEnding { cause: Cause::Failed { step: None, failure }, .. } | Event::TaskFailed { step: None, failure }
                if prefix.is_empty() =>
            {
                self.reached.insert(Point { step: None, kind: PointKind::TimesOut(failure.code.clone()) });
            }
            Event::StepSucceeded { .. }
            | Event::StepSkipped { .. }
            | Event::TaskAccepted(_)
            | Event::StepKept { .. }
            | Event::DeadlineSet { .. }
            | Event::ApprovalCommented { .. }
            | Event::SignalReceived { .. }
            | Event::FallbackTaken { .. }
            | Event::StepResolved { .. }
            | Event::TaskEnding { .. }
            | Event::TaskAdmitted
            | Event::TaskPaused { .. }
            | Event::TaskResumed
            | Event::StepCancelled { .. }
            | Event::ReplyConflicted { .. }
            | Event::CancelRequested { .. }
            | Event::TaskSucceeded { .. }
            | Event::TaskFailed { .. }
            | Event::TaskCancelled { .. } => {}
        }
    }

    fn begin(&mut self, task: &Task, prefix: &str, step: StepIndex) {
        self.holds(task, prefix, step);
        self.reach(task, prefix, step, PointKind::Runs);
        let name = format!("{prefix}{}", task.definition(step).name);
        if self.seen.insert(name.clone()) {
            self.began.push(name);
        }
    }

    /// A step that comes this far has a condition that holds, if it has one.
    fn holds(&mut self, task: &Task, prefix: &str, step: StepIndex) {
        if task.definition(step).when.is_some() {
            self.reach(task, prefix, step, PointKind::When(true));
        }
    }

    fn fails(&mut self, task: &Task, prefix: &str, step: StepIndex, failure: &Failure) {
        let named = task.definition(step).on_error.names(&failure.code);
        self.reach(task, prefix, step, PointKind::Arm(named.then(|| failure.code.clone())));
        self.reach(task, prefix, step, PointKind::TimesOut(failure.code.clone()));
    }

    fn succeeds(&mut self, task: &Task, prefix: &str, step: StepIndex) {
        if let Role::Compensation { .. } = task.definition(step).role {
            self.compensated.push(format!("{prefix}{}", task.definition(step).name));
        }
    }

    /// Whether a fan-out is over because enough items failed or succeeded.
    fn stops(&mut self, task: &Task, prefix: &str, step: StepIndex) {
        let definition = task.definition(step);
        let (Some(for_each), Some(fan)) = (&definition.for_each, &task.progress(step).fan) else { return };
        let early = match for_each.stop {
            Stop::Failures(most) => fan.failed >= most,
            Stop::Successes(enough) => fan.succeeded >= enough,
            Stop::OnFailure | Stop::Never => false,
        };
        if early {
            self.reach(task, prefix, step, PointKind::Stops);
        }
    }

    fn reach(&mut self, task: &Task, prefix: &str, step: StepIndex, kind: PointKind) {
        if prefix.is_empty() {
            self.reached.insert(Point { step: Some(task.node(step)), kind });
        }
    }
}
