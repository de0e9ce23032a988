//! Whoever ran an attempt fell silent.

use super::{Decision, Turn};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptToken, StepIndex};
use crate::task::Task;
use crate::time::Timestamp;
use std::time::Duration;

/// Closes the attempt so that another worker gets the next one. If the token is not that of the open attempt, nothing happens: a
/// sweep that comes twice, or late, does no harm (P7).
pub fn lost(task: &mut Task, step: StepIndex, token: AttemptToken, message: &str, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.steps.get(step.at()).and_then(|_| turn.task.open_attempt(step)).is_some_and(|open| open.token == token) {
        turn.fail_attempt(step, Failure::new(FailureKind::Lost, code::worker_lost(), message), None);
    }
    turn.finish()
}

/// A plain responder was asked and did not answer in time. Like [`lost`], harmless if it comes late or twice.
pub fn no_answer(task: &mut Task, step: StepIndex, token: AttemptToken, limit: Duration, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.steps.get(step.at()).and_then(|_| turn.task.open_attempt(step)).is_some_and(|open| open.token == token) {
        let message = format!("the attempt brought no reply within {limit:?}");
        turn.fail_attempt(step, Failure::new(FailureKind::TimedOut, code::attempt_timeout(), message), None);
    }
    turn.finish()
}
