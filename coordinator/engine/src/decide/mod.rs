//! What follows from what happened: one file per thing that can happen to a task.
//!
//! Every decision changes the task only by emitting events, so the same events fold to the same task. A refusal leaves the task as
//! it was. What must be done once the events are committed is said by [`Effect`]s.

pub mod accept;
pub mod cancel;
pub mod dispatch;
pub mod lost;
pub mod reply;
pub mod timer;

use crate::event::{Entry, Event, Target};
use crate::expression::{NoValue, Scope};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptNumber, AttemptToken, StepIndex};
use crate::payload::Payload;
use crate::retry::mix;
use crate::task::{StepState, Task};
use crate::time::Timestamp;
use serde_json::Value;
use std::cell::OnceCell;

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
    /// Tell the worker that nobody waits for this attempt any more.
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
}

impl<'t> Turn<'t> {
    fn new(task: &'t mut Task, now: Timestamp) -> Self {
        Self { first: task.events + 1, task, now, events: Vec::new(), effects: Vec::new() }
    }

    fn emit(&mut self, event: Event) {
        self.task.apply(&event, self.now);
        self.events.push(event);
    }

    fn finish(self) -> Decision {
        let entry = (!self.events.is_empty()).then_some(Entry { task: self.task.id, first: self.first, at: self.now, events: self.events });
        Decision { entry, effects: self.effects }
    }

    /// Makes a step ready whose dependencies have all succeeded.
    fn ready(&mut self, step: StepIndex) {
        self.emit(Event::StepReady { step });
        self.effects.push(Effect::Enqueue { step });
        self.set_timer(step);
    }

    fn set_timer(&mut self, step: StepIndex) {
        if let Some(due) = self.task.step_due(step) {
            self.effects.push(Effect::SetStepTimer { step, due });
        }
    }

    /// Makes every step ready that waits for nothing; ends the task if nothing is left.
    fn advance_all(&mut self) {
        for step in self.task.workflow.indexes() {
            self.advance(step);
        }
        self.end_if_done();
    }

    fn advance(&mut self, step: StepIndex) {
        let progress = self.task.progress(step);
        if progress.open_dependencies == 0 && matches!(progress.state, StepState::Pending) {
            self.ready(step);
        }
    }

    /// What follows from a step's success: its successors may become ready, the task may be over.
    fn after_success(&mut self, step: StepIndex) {
        let workflow = self.task.workflow.clone();
        for successor in &workflow.step(step).successors {
            self.advance(*successor);
        }
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if self.task.open_steps > 0 || self.task.status.is_terminal() {
            return;
        }
        let event = match result_of(self.task) {
            Ok(result) => Event::TaskSucceeded { result },
            Err(missing) => {
                let failure = Failure::new(FailureKind::Contract, code::expression_failed(), format!("result: {missing}"));
                Event::TaskFailed { step: None, failure }
            }
        };
        self.emit(event);
        self.effects.push(Effect::Finished);
    }

    /// Closes the open attempt as failed; then a retry follows, or the step fails and with it the task.
    fn fail_attempt(&mut self, step: StepIndex, failure: Failure, reply: Option<crate::ids::Digest>) {
        let Some(open) = self.task.open_attempt(step).cloned() else { return };
        let workflow = self.task.workflow.clone();
        let seed = mix((self.task.id.as_number() as u64) ^ (u64::from(step.0) << 48));
        let delay = workflow.step(step).retry.delay_after(open.attempt, &failure, seed);
        let retry_at = delay.map(|delay| self.now.after(delay));
        self.emit(Event::AttemptFailed { step, attempt: open.attempt, failure: failure.clone(), reply, retry_at });
        self.effects.push(Effect::AttemptClosed { step, token: open.token, target: open.target });
        match retry_at {
            None => self.fail_step(step, failure),
            Some(at) if at <= self.now => self.ready(step),
            Some(_) => self.set_timer(step),
        }
    }

    fn fail_step(&mut self, step: StepIndex, failure: Failure) {
        self.emit(Event::StepFailed { step, failure: failure.clone() });
        self.stop_steps("another step failed");
        self.emit(Event::TaskFailed { step: Some(step), failure });
        self.effects.push(Effect::Finished);
    }

    /// Closes whatever is still open, because the task ends.
    fn stop_steps(&mut self, reason: &str) {
        for step in self.task.workflow.indexes() {
            if self.task.progress(step).state.is_terminal() {
                continue;
            }
            let open = self.task.open_attempt(step).cloned();
            self.emit(Event::StepCancelled { step });
            if let Some(open) = open {
                self.withdraw(step, open, reason);
            }
        }
    }

    fn withdraw(&mut self, step: StepIndex, open: crate::task::OpenAttempt, reason: &str) {
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
    for step in task.workflow.indexes() {
        if let StepState::Ready { .. } = task.progress(step).state {
            effects.push(Effect::Enqueue { step });
        }
        if let Some(due) = task.step_due(step) {
            effects.push(Effect::SetStepTimer { step, due });
        }
    }
    effects
}

/// What an expression of this task may look at; values are read from their JSON only when asked for.
pub(crate) struct TaskScope<'t> {
    task: &'t Task,
    input: OnceCell<Value>,
    results: Vec<OnceCell<Value>>,
}

impl<'t> TaskScope<'t> {
    pub(crate) fn new(task: &'t Task) -> Self {
        Self { task, input: OnceCell::new(), results: task.steps.iter().map(|_| OnceCell::new()).collect() }
    }
}

impl Scope for TaskScope<'_> {
    fn task_input(&self) -> &Value {
        self.input.get_or_init(|| self.task.submission.input.value())
    }

    fn step_result(&self, step: &str) -> Option<&Value> {
        let step = self.task.workflow.find(step)?;
        let result = self.task.step_result(step)?;
        Some(self.results[step.at()].get_or_init(|| result.value()))
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
