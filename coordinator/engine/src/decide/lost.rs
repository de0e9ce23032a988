//! The worker that ran an attempt fell silent.

use super::{Decision, Turn};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptToken, StepIndex};
use crate::task::Task;
use crate::time::Timestamp;

/// Closes the attempt so that another worker gets the next one. If the token is not that of the open attempt, nothing happens: a
/// sweep that comes twice, or late, does no harm (P7).
pub fn lost(task: &mut Task, step: StepIndex, token: AttemptToken, message: &str, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.open_attempt(step).is_some_and(|open| open.token == token) {
        turn.fail_attempt(step, Failure::new(FailureKind::Lost, code::worker_lost(), message), None);
    }
    turn.finish()
}
