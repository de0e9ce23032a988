//! Somebody asks for the end.

use super::{Decision, Turn};
use crate::event::Event;
use crate::task::{Cause, Task, TaskStatus};
use crate::time::Timestamp;

/// Why a task is not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over, and stays as it is (P9).
    #[error("the task is already {}", .0.as_str())]
    AlreadyFinished(TaskStatus),
    /// It failed, and what it did is being undone; that is not broken off.
    #[error("the task has failed already and is undoing what it did")]
    AlreadyEnding,
}

/// Ends the task: nothing new starts after this (P10) but what undoes the steps that succeeded; open attempts are told, late results
/// are inert. Cancelling a cancelled task again is no error and changes nothing.
///
/// # Errors
/// If the task ended otherwise, or is on its way to that.
pub fn cancel(task: &mut Task, reason: &str, now: Timestamp) -> Result<Decision, Refusal> {
    let mut turn = Turn::new(task, now);
    match turn.task.status {
        TaskStatus::Running => {}
        TaskStatus::Cancelled => return Ok(turn.finish()),
        status @ (TaskStatus::Succeeded | TaskStatus::Failed) => return Err(Refusal::AlreadyFinished(status)),
    }
    match turn.task.ending.as_ref().map(|ending| &ending.cause) {
        None => {}
        Some(Cause::Cancelled { .. }) => return Ok(turn.finish()),
        Some(Cause::Failed { .. }) => return Err(Refusal::AlreadyEnding),
    }
    turn.emit(Event::CancelRequested { reason: reason.to_owned() });
    turn.begin_ending(Cause::Cancelled { reason: reason.to_owned() }, true);
    Ok(turn.finish())
}
