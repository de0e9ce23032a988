//! A queued task's turn has come.

use super::{Decision, Turn};
use crate::event::Event;
use crate::task::Task;
use crate::time::Timestamp;

/// Lets a task begin that waited for its turn among those of its concurrency key. One that does not wait is left alone: the decision is empty.
pub fn admit(task: &mut Task, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.queued && !turn.task.status.is_terminal() {
        turn.emit(Event::TaskAdmitted);
        turn.begin_all();
    }
    turn.finish()
}
