//! Something comes from outside that a step waits for, or will wait for.

use super::dispatch::check;
use super::{Decision, Turn};
use crate::contract::Violation;
use crate::event::Event;
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::task::{Task, TaskStatus, Wait};
use crate::time::Timestamp;
use crate::workflow::{StepKind, WaitFor, WaitSource};

/// The most signals that a task keeps for later.
pub const KEPT_MAX: usize = 100;
/// The longest name of a signal or event, and the longest key, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a signal or event is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The task is over, or on its way to its end.
    #[error("the task is {}", .0.map_or("ending", TaskStatus::as_str))]
    NotRunning(Option<TaskStatus>),
    /// No step of the workflow waits for a signal of this name.
    #[error("no step waits for the signal `{name}`; the workflow knows {}", if .known.is_empty() { "none".to_owned() } else { .known.join(", ") })]
    UnknownSignal {
        /// The name given.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// The payload does not fit what the waiting step declares.
    #[error("the payload does not fit what step `{step}` waits for")]
    PayloadViolated {
        /// Which step.
        step: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// Too many signals are kept already.
    #[error("the task keeps {max} signals that nobody has taken yet", max = KEPT_MAX)]
    TooMany,
}

/// Takes a signal: the step that waits for it goes on, or it is kept until one does. A repeat with the same `id` changes nothing.
///
/// # Errors
/// See [`Refusal`]; nothing changed then.
pub fn receive(task: &mut Task, name: &str, payload: &Payload, id: Option<&str>, now: Timestamp) -> Result<Decision, Refusal> {
    refuse_over(task)?;
    let waits: Vec<(StepIndex, &WaitFor)> = task
        .workflow
        .indexes()
        .filter_map(|step| match &task.workflow.step(step).kind {
            StepKind::Wait(wait) => Some((step, wait)),
            StepKind::Call(_) | StepKind::Child(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => None,
        })
        .filter(|(_, wait)| matches!(&wait.source, WaitSource::Signal(known) if known == name))
        .collect();
    if waits.is_empty() {
        return Err(Refusal::UnknownSignal { name: name.to_owned(), known: known_signals(task) });
    }
    for (step, wait) in waits {
        fits(task, step, wait, payload)?;
    }
    if id.is_some_and(|id| task.signal_ids.iter().any(|known| known == id)) {
        return Ok(Decision::default());
    }
    let waiting = task.workflow.indexes().find(|step| waits_for_signal(task, *step, name));
    if waiting.is_none() && task.signals.values().map(std::collections::VecDeque::len).sum::<usize>() >= KEPT_MAX {
        return Err(Refusal::TooMany);
    }
    let mut turn = Turn::new(task, now);
    turn.emit(Event::SignalReceived { name: name.to_owned(), payload: payload.clone(), id: id.map(str::to_owned) });
    if let Some(step) = waiting {
        turn.take_kept_signal(step, name);
    }
    Ok(turn.finish())
}

/// Takes an event for a step that waits for this name and key. If the step does not wait for it any more, nothing changes.
///
/// # Errors
/// The payload does not fit; nothing changed then.
pub fn event_arrived(
    task: &mut Task,
    step: StepIndex,
    name: &str,
    key: &str,
    payload: &Payload,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let waits = task
        .steps
        .get(step.at())
        .and_then(|_| task.waiting(step))
        .is_some_and(|waiting| matches!(&waiting.wait, Wait::Event { name: known, key: expected } if known == name && expected == key));
    if !waits {
        return Ok(Decision::default());
    }
    if let StepKind::Wait(wait) = &task.definition(step).kind {
        fits(task, step, wait, payload)?;
    }
    let mut turn = Turn::new(task, now);
    turn.satisfy(step, payload.clone());
    Ok(turn.finish())
}

pub(super) fn refuse_over(task: &Task) -> Result<(), Refusal> {
    match (task.status.is_terminal(), task.ending.is_some()) {
        (true, _) => Err(Refusal::NotRunning(Some(task.status))),
        (false, true) => Err(Refusal::NotRunning(None)),
        (false, false) => Ok(()),
    }
}

fn known_signals(task: &Task) -> Vec<String> {
    let names = task.workflow.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Wait(WaitFor { source: WaitSource::Signal(name), .. }) => Some(name.clone()),
        _ => None,
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn waits_for_signal(task: &Task, step: StepIndex, name: &str) -> bool {
    task.waiting(step).is_some_and(|waiting| matches!(&waiting.wait, Wait::Signal { name: known } if known == name))
}

fn fits(task: &Task, step: StepIndex, wait: &WaitFor, payload: &Payload) -> Result<(), Refusal> {
    check(payload, &[wait.payload.as_ref()])
        .map_err(|violations| Refusal::PayloadViolated { step: task.label(step).to_string(), violations })
}

impl Turn<'_> {
    /// Ends the wait for a signal if one of that name is kept.
    pub(super) fn take_kept_signal(&mut self, step: StepIndex, name: &str) {
        let kept = self.task.signals.get(name).and_then(|kept| kept.front()).cloned();
        if let Some(payload) = kept {
            self.satisfy(step, payload);
        }
    }
}
