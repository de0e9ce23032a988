//! Somebody asks for the end.

use super::{Decision, Effect, Turn};
use crate::event::Event;
use crate::task::{Task, TaskStatus};
use crate::time::Timestamp;

/// Why a task is not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over, and stays as it is (P9).
    #[error("the task is already {}", .0.as_str())]
    AlreadyFinished(TaskStatus),
}

/// Ends the task: nothing new starts after this (P10), open attempts are told, late results are inert.
/// Cancelling a cancelled task again is no error and changes nothing.
///
/// # Errors
/// If the task ended otherwise.
pub fn cancel(task: &mut Task, reason: &str, now: Timestamp) -> Result<Decision, Refusal> {
    let mut turn = Turn::new(task, now);
    match turn.task.status {
        TaskStatus::Running => {}
        TaskStatus::Cancelled => return Ok(turn.finish()),
        status @ (TaskStatus::Succeeded | TaskStatus::Failed) => return Err(Refusal::AlreadyFinished(status)),
    }
    turn.emit(Event::CancelRequested { reason: reason.to_owned() });
    turn.stop_steps(reason);
    turn.emit(Event::TaskCancelled { reason: reason.to_owned() });
    turn.effects.push(Effect::Finished);
    Ok(turn.finish())
}
