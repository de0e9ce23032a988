//! A task starts nothing new for a while. Open attempts finish; sleeps and waits go on; attached children are paused, too.

use super::{Decision, Effect, Turn, go_on};
use crate::event::{Event, Target};
use crate::failure::cut;
use crate::task::{StepState, Task, TaskStatus};
use crate::time::Timestamp;

/// Why a task is neither paused nor resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the task is already {}", .0.as_str())]
    AlreadyFinished(TaskStatus),
    /// It is on its way to its end, which is not held up.
    #[error("the task is ending")]
    Ending,
}

/// Pauses. A paused task stays as it is.
///
/// # Errors
/// The task is over or ending.
pub fn pause(task: &mut Task, reason: &str, now: Timestamp) -> Result<Decision, Refusal> {
    refuse(task)?;
    let mut turn = Turn::new(task, now);
    if turn.task.paused.is_none() {
        turn.emit(Event::TaskPaused { reason: cut(reason.to_owned()) });
        turn.tell_children(true);
    }
    Ok(turn.finish())
}

/// Goes on. A task that is not paused stays as it is.
///
/// # Errors
/// The task is over or ending.
pub fn resume(task: &mut Task, now: Timestamp) -> Result<Decision, Refusal> {
    refuse(task)?;
    let mut turn = Turn::new(task, now);
    if turn.task.paused.is_some() {
        turn.emit(Event::TaskResumed);
        turn.tell_children(false);
        if let Some(due) = turn.task.task_due() {
            turn.then(Effect::SetTaskTimer { due });
        }
        for step in turn.task.indexes() {
            if matches!(turn.task.progress(step).state, StepState::Ready { .. }) {
                let effect = go_on(turn.task, step);
                turn.effects.extend(effect);
            }
            turn.set_timer(step);
        }
    }
    Ok(turn.finish())
}

fn refuse(task: &Task) -> Result<(), Refusal> {
    match (task.status.is_terminal(), task.ending.is_some()) {
        (true, _) => Err(Refusal::AlreadyFinished(task.status)),
        (false, true) => Err(Refusal::Ending),
        (false, false) => Ok(()),
    }
}

impl Turn<'_> {
    fn tell_children(&mut self, paused: bool) {
        for step in self.task.indexes() {
            if let Some(Target::Child(child)) = self.task.open_attempt(step).map(|open| open.target.clone()) {
                self.then(Effect::PauseChild { child, paused });
            }
        }
    }
}
