//! What follows from what happened: one file per thing that can happen to a task.
//!
//! Every decision changes the task only by emitting events, so the same events fold to the same task. A refusal leaves the task as
//! it was. What must be done once the events are committed is said by [`Effect`]s.
//!
//! One decision runs to its end: what an event makes possible (a successor, the next item, a free place, the end of the task) is
//! decided in the same turn, from a queue, so that a chain of ten thousand steps needs no stack.

pub mod accept;
pub mod admit;
pub mod approval;
mod begin;
pub mod cancel;
pub mod child;
pub mod dispatch;
mod ending;
mod fail;
mod fan;
pub mod lost;
pub mod pause;
pub mod reply;
pub mod resolve;
pub(crate) mod scope;
pub mod signal;
pub mod sticky;
pub mod timer;

use crate::event::{Entry, Event, Target};
use crate::expression::NoValue;
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptNumber, AttemptToken, StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{Cause, StepState, Task};
use crate::time::Timestamp;
use crate::workflow::{Role, StepKind};
pub use begin::{Verdict, readiness};
use scope::TaskScope;
use std::collections::VecDeque;

/// What one input led to.
#[derive(Debug, Default)]
pub struct Decision {
    /// What must be remembered; none if nothing changed.
    pub entry: Option<Entry>,
    /// What must be done once it is remembered.
    pub effects: Vec<Effect>,
}

/// An order to the runtime, carried out after the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An attempt at the step may start as soon as somebody has a free slot.
    Enqueue {
        /// Which step.
        step: StepIndex,
    },
    /// The step is a child task that may start: ask [`child::request`] what to submit.
    StartChild {
        /// Which step.
        step: StepIndex,
    },
    /// The step waits for an event from outside; one that came before may be waiting for it.
    Listen {
        /// Which step.
        step: StepIndex,
        /// The event's name.
        name: String,
        /// The event's key.
        key: String,
    },
    /// An attached child task starts nothing new, or goes on.
    PauseChild {
        /// Which task.
        child: TaskId,
        /// Whether it pauses.
        paused: bool,
    },
    /// Look at the step again at this instant; a timer that is no longer due does nothing.
    SetStepTimer {
        /// Which step.
        step: StepIndex,
        /// When.
        due: Timestamp,
    },
    /// Look at the task again at this instant.
    SetTaskTimer {
        /// When.
        due: Timestamp,
    },
    /// Ask the worker.
    Ask {
        /// Which step.
        step: StepIndex,
        /// What it gets.
        input: Payload,
        /// JSON object: the results of its direct dependencies by name.
        dependencies: Payload,
    },
    /// Tell the worker that nobody waits for this attempt any more; a child task is cancelled.
    CancelAttempt {
        /// Which step.
        step: StepIndex,
        /// Which try.
        attempt: AttemptNumber,
        /// Which one exactly.
        token: AttemptToken,
        /// Who runs it.
        target: Target,
        /// Why, for the worker's log.
        reason: String,
    },
    /// The attempt is over: its slot bookkeeping can go.
    AttemptClosed {
        /// Which step.
        step: StepIndex,
        /// Which one exactly.
        token: AttemptToken,
        /// Who ran it.
        target: Target,
    },
    /// The task is over.
    Finished,
}

/// One input being decided: emits events, each taken into the task at once.
pub(crate) struct Turn<'t> {
    task: &'t mut Task,
    now: Timestamp,
    first: u64,
    events: Vec<Event>,
    effects: Vec<Effect>,
    /// Steps whose dependencies changed and that may have something to do.
    unsettled: VecDeque<StepIndex>,
}

impl<'t> Turn<'t> {
    fn new(task: &'t mut Task, now: Timestamp) -> Self {
        Self { first: task.events + 1, task, now, events: Vec::new(), effects: Vec::new(), unsettled: VecDeque::new() }
    }

    /// Whatever may begin begins.
    fn begin_all(&mut self) {
        let workflow = &self.task.workflow;
        self.unsettled.extend(workflow.indexes().filter(|step| workflow.step(*step).role == Role::Forward));
    }

    fn emit(&mut self, event: Event) {
        self.task.apply(&event, self.now);
        self.events.push(event);
    }

    /// Runs the decision to its end.
    fn finish(mut self) -> Decision {
        if !self.events.is_empty() {
            self.run();
        }
        let entry = (!self.events.is_empty()).then_some(Entry { task: self.task.id, first: self.first, at: self.now, events: self.events });
        Decision { entry, effects: self.effects }
    }

    fn run(&mut self) {
        while !self.task.status.is_terminal() {
            if let Some(step) = self.unsettled.pop_front() {
                self.settle(step);
            } else if !self.fill_places() && !self.advance_ending() && !self.succeed_if_done() {
                break;
            }
        }
    }

    /// A forward step may have ended: the task has succeeded if nothing is open. Says whether something changed.
    fn succeed_if_done(&mut self) -> bool {
        if self.task.open_steps > 0 || self.task.ending.is_some() || self.task.status.is_terminal() {
            return false;
        }
        match result_of(self.task) {
            Ok(result) => {
                self.emit(Event::TaskSucceeded { result });
                self.effects.push(Effect::Finished);
            }
            Err(missing) => {
                let failure = Failure::new(FailureKind::Contract, code::expression_failed(), format!("result: {missing}"));
                self.begin_ending(Cause::Failed { step: None, failure }, true);
            }
        }
        true
    }

    fn set_timer(&mut self, step: StepIndex) {
        if let Some(due) = self.task.step_due(step) {
            self.effects.push(Effect::SetStepTimer { step, due });
        }
    }

    /// A step or item is over: whoever waits for it may have something to do.
    fn over(&mut self, step: StepIndex) {
        if let Some(item) = self.task.item(step) {
            let of = item.of;
            self.item_over(of);
            return;
        }
        let workflow = self.task.workflow.clone();
        let definition = workflow.step(step);
        self.unsettled.extend(definition.successors.iter().copied());
        if let Role::Fallback { of } = definition.role {
            self.fallback_over(of, step);
        }
    }

    /// Takes back an open attempt.
    fn withdraw(&mut self, step: StepIndex, reason: &str) {
        let Some(open) = self.task.open_attempt(step).cloned() else { return };
        self.effects.push(Effect::CancelAttempt {
            step,
            attempt: open.attempt,
            token: open.token,
            target: open.target.clone(),
            reason: reason.to_owned(),
        });
        self.effects.push(Effect::AttemptClosed { step, token: open.token, target: open.target });
    }
}

/// What is to be done for a task that was loaded from its history: the queue entries, timers and questions that its state implies.
/// Open attempts are not asked again here; whoever holds the leases decides that.
pub fn resume(task: &Task) -> Vec<Effect> {
    let mut effects = Vec::new();
    if task.status.is_terminal() {
        return effects;
    }
    if let Some(due) = task.task_due() {
        effects.push(Effect::SetTaskTimer { due });
    }
    for step in task.indexes() {
        effects.extend(go_on(task, step));
        if let Some(due) = task.step_due(step) {
            effects.push(Effect::SetStepTimer { step, due });
        }
    }
    effects
}

/// What a step's state asks for, besides timers.
fn go_on(task: &Task, step: StepIndex) -> Option<Effect> {
    match &task.progress(step).state {
        StepState::Ready { .. } if task.paused.is_some() => None,
        StepState::Ready { .. } => match &task.definition(step).kind {
            StepKind::Child(_) => Some(Effect::StartChild { step }),
            StepKind::Call(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => {
                Some(Effect::Enqueue { step })
            }
        },
        StepState::Waiting(waiting) => match &waiting.wait {
            crate::task::Wait::Event { name, key } => Some(Effect::Listen { step, name: name.clone(), key: key.clone() }),
            crate::task::Wait::Signal { .. } | crate::task::Wait::Sleep | crate::task::Wait::Approval { .. } => None,
        },
        _ => None,
    }
}

fn result_of(task: &Task) -> Result<Payload, NoValue> {
    match &task.workflow.result {
        Some(template) => template.evaluate(&TaskScope::new(task)).map(|value| Payload::of(&value)),
        None => Ok(object_of(task, task.workflow.last_steps())),
    }
}

/// A JSON object of results by step name, put together from the texts as they are.
pub(crate) fn object_of(task: &Task, steps: impl Iterator<Item = StepIndex>) -> Payload {
    let mut text = Vec::with_capacity(64);
    text.push(b'{');
    for step in steps {
        let Some(result) = task.step_result(step) else { continue };
        if text.len() > 1 {
            text.push(b',');
        }
        // A step name needs no escaping: it is lower-case letters, digits and `_`.
        text.push(b'"');
        text.extend_from_slice(task.workflow.step(step).name.as_str().as_bytes());
        text.extend_from_slice(b"\":");
        text.extend_from_slice(result.bytes());
    }
    text.push(b'}');
    Payload::trusted(text.into())
}
