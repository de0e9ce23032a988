//! Whoever ran an attempt fell silent.

use super::{Decision, Turn};
use crate::event::Target;
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptToken, StepIndex};
use crate::task::Task;
use crate::time::Timestamp;
use std::time::Duration;

/// So many workers may die in a row while they run one step before it is believed that the step kills them: it gets no further attempt,
/// whatever its retry policy says, because each would cost everybody else a worker. High enough that a rolling restart or a flapping network
/// does not look like it, and no higher than the attempts that a step has by default.
pub const DEATHS_MAX: usize = 5;

/// Closes the attempt so that another worker gets the next one, unless too many in a row have died of this step. If the token is not that of
/// the open attempt, nothing happens: a sweep that comes twice, or late, does no harm (P7).
pub fn lost(task: &mut Task, step: StepIndex, token: AttemptToken, message: &str, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.steps.get(step.at()).and_then(|_| turn.task.open_attempt(step)).is_some_and(|open| open.token == token) {
        let failure = poisoned(turn.task, step, message);
        let failure = failure.unwrap_or_else(|| Failure::new(FailureKind::Lost, code::worker_lost(), message));
        turn.fail_attempt(step, failure, None);
    }
    turn.finish()
}

/// The failure of a step of which the last workers all died, the one of the open attempt included; none if there were too few.
fn poisoned(task: &Task, step: StepIndex, message: &str) -> Option<Failure> {
    let progress = task.progress(step);
    // What was before a person asked for another try does not count any more.
    let counted = progress.closed.get(progress.forgiven as usize..).unwrap_or_default();
    let dead = counted.iter().rev().map_while(|closed| {
        let failure = closed.failure.as_ref().filter(|failure| failure.kind == FailureKind::Lost)?;
        Some(name(&closed.target, &failure.message))
    });
    let mut workers: Vec<&str> = dead.collect();
    workers.reverse();
    workers.extend(task.open_attempt(step).map(|open| name(&open.target, message)));
    if workers.len() < DEATHS_MAX {
        return None;
    }
    let (count, names) = (workers.len(), workers.join(", "));
    let said = format!("{count} workers in a row fell silent while they ran the step, so it gets no other: {names}; the last: {message}");
    Some(Failure::new(FailureKind::Permanent, code::worker_poisoned(), said))
}

/// A worker that took over an attempt which was opened for somebody else is named only by what was said of its end.
fn name<'a>(target: &'a Target, said: &'a str) -> &'a str {
    match target {
        Target::Session(session) => session.as_str(),
        Target::Responders | Target::Http | Target::Child(_) => said,
    }
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
