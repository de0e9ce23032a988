//! The way to an end without success: what is open is withdrawn, what was done is undone, those who must know are told.

use super::{Effect, Turn};
use crate::event::Event;
use crate::ids::StepIndex;
use crate::task::{Cause, StepState, Task};
use crate::workflow::Role;

impl Turn<'_> {
    /// From here on nothing new starts but handlers.
    pub(super) fn begin_ending(&mut self, cause: Cause, compensate: bool) {
        if self.task.ending.is_some() || self.task.status.is_terminal() {
            return;
        }
        let undo = compensate && self.task.workflow.compensates();
        let tells = matches!(cause, Cause::Failed { .. }) && !self.task.workflow.on_failure.is_empty();
        let awaited: Vec<bool> = self.task.indexes().map(|step| undo && is_awaited(self.task, step)).collect();
        let something_done = undo && (!self.task.completed.is_empty() || awaited.contains(&true) || has_partial_work(self.task));
        if something_done || tells {
            self.emit(Event::TaskEnding { cause: cause.clone(), compensate });
        }
        let reason = match &cause {
            Cause::Failed { .. } => "the task failed",
            Cause::Cancelled { reason } => reason,
        };
        self.stop_steps(&awaited, reason);
        if self.task.ending.is_none() {
            self.end(cause);
        }
    }

    /// Withdraws whatever is open, except the attempts whose outcome must be known.
    fn stop_steps(&mut self, awaited: &[bool], reason: &str) {
        for step in self.task.indexes() {
            if awaited[step.at()] || self.task.progress(step).state.is_terminal() {
                continue;
            }
            // An item that was never started is over with its step.
            let never_started = self.task.item(step).is_some() && matches!(self.task.progress(step).state, StepState::Pending);
            if never_started {
                continue;
            }
            self.withdraw(step, reason);
            self.emit(Event::StepCancelled { step });
        }
    }

    /// Takes the next step on the way to the end. Says whether something changed.
    pub(super) fn advance_ending(&mut self) -> bool {
        let Some(ending) = self.task.ending.clone() else { return false };
        if self.task.open_steps > 0 || self.task.status.is_terminal() {
            return false;
        }
        let workflow = self.task.workflow.clone();
        let on_standby = |task: &Task, step: StepIndex| matches!(task.progress(step).state, StepState::Standby);
        if ending.compensate {
            let handlers = self.task.completed.iter().rev().filter_map(|step| workflow.step(*step).compensate);
            if let Some(next) = handlers.into_iter().find(|handler| on_standby(self.task, *handler)) {
                self.begin(next);
                return true;
            }
        }
        if matches!(ending.cause, Cause::Failed { .. }) {
            let told: Vec<StepIndex> = workflow.on_failure.iter().copied().filter(|step| on_standby(self.task, *step)).collect();
            if !told.is_empty() {
                told.into_iter().for_each(|step| self.begin(step));
                return true;
            }
        }
        self.end(ending.cause);
        true
    }

    fn end(&mut self, cause: Cause) {
        self.emit(match cause {
            Cause::Failed { step, failure } => Event::TaskFailed { step, failure },
            Cause::Cancelled { reason } => Event::TaskCancelled { reason },
        });
        self.effects.push(Effect::Finished);
    }
}

/// Whether an open attempt may do something that would have to be undone, so that its outcome must be known first; so is a fan-out
/// with such an item.
fn is_awaited(task: &Task, step: StepIndex) -> bool {
    let definition = task.definition(step);
    if definition.compensate.is_none() || definition.role == Role::OnFailure {
        return false;
    }
    let progress = task.progress(step);
    let runs = |step: StepIndex| matches!(task.progress(step).state, StepState::Running(_));
    match &progress.fan {
        Some(fan) if !progress.state.is_terminal() => fan.indexes().take(fan.next as usize).any(runs),
        _ => runs(step),
    }
}

fn has_partial_work(task: &Task) -> bool {
    task.workflow.indexes().any(|step| {
        let progress = task.progress(step);
        let done = progress.fan.as_ref().is_some_and(|fan| fan.succeeded > 0);
        done && !progress.state.is_terminal() && task.workflow.step(step).compensate.is_some()
    })
}
