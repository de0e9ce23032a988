//! An instant that somebody waited for has come.

use super::begin::names;
use super::fail::timed_out;
use super::scope::TaskScope;
use super::{Decision, Effect, Turn};
use crate::event::{Event, Target};
use crate::failure::{Failure, code};
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::task::{Cause, StepState, Task, Wait, Waiting};
use crate::time::Timestamp;
use crate::workflow::StepKind;

/// The step's timer. Does what is due now and nothing else: early, late or repeated timers do no harm (P14).
pub fn step_timer(task: &mut Task, step: StepIndex, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.steps.get(step.at()).and_then(|_| turn.task.step_due(step)).is_none_or(|due| due > now) {
        return turn.finish();
    }
    let timeouts = turn.task.definition(step).timeouts;
    let total_over = turn.task.total_due(step).is_some_and(|due| due <= now);
    let total = || {
        let limit = timeouts.total.unwrap_or_default();
        timed_out(code::step_total_timeout(), format!("the step did not end within {limit:?} of being ready"))
    };
    match turn.task.progress(step).state.clone() {
        StepState::Pending
        | StepState::Standby
        | StepState::Parked
        | StepState::FannedOut
        | StepState::FallingBack { .. }
        | StepState::Held { .. }
        | StepState::Succeeded { .. }
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. } => {}
        StepState::BackingOff { .. } | StepState::Ready { .. } if total_over => turn.give_up(step, total()),
        StepState::BackingOff { .. } => turn.ready(step),
        StepState::Ready { .. } => {
            let failure = unclaimed(turn.task, step);
            turn.give_up(step, failure);
        }
        StepState::Waiting(waiting) => wait_timer(&mut turn, step, &waiting),
        // The time of an attempt that was asked of plain responders or over HTTP runs out only while nobody is there: it is still the waiting
        // timeout.
        StepState::Running(open) if matches!(open.target, Target::Responders | Target::Http) && !total_over => {
            let failure = unclaimed(turn.task, step);
            turn.then(Effect::AttemptClosed { step, token: open.token, target: open.target });
            turn.give_up(step, failure);
        }
        StepState::Running(open) => {
            turn.then(Effect::CancelAttempt {
                step,
                attempt: open.attempt,
                token: open.token,
                target: open.target,
                reason: "the attempt ran out of time".into(),
            });
            let limit = open.deadline.map(|deadline| deadline.since(open.started_at)).unwrap_or_default();
            let failure = timed_out(code::attempt_timeout(), format!("the attempt brought no reply within {limit:?}"));
            turn.fail_attempt(step, failure, None);
            let goes_on = matches!(turn.task.progress(step).state, StepState::BackingOff { .. } | StepState::Ready { .. });
            if total_over && goes_on {
                turn.give_up(step, total());
            }
        }
    }
    turn.finish()
}

/// Something about a wait is due: its end, a reminder, or an escalation.
fn wait_timer(turn: &mut Turn<'_>, step: StepIndex, waiting: &Waiting) {
    if waiting.until.is_some_and(|until| until <= turn.now) {
        let waited = turn.now.since(waiting.since);
        return match &waiting.wait {
            Wait::Sleep => turn.satisfy(step, Payload::null()),
            Wait::Signal { name } => {
                turn.give_up(step, timed_out(code::wait_timeout(), format!("the signal `{name}` did not come within {waited:?}")));
            }
            Wait::Event { name, key } => {
                let message = format!("the event `{name}` for `{key}` did not come within {waited:?}");
                turn.give_up(step, timed_out(code::wait_timeout(), message));
            }
            Wait::Approval { .. } => {
                turn.give_up(step, timed_out(code::approval_timeout(), format!("nobody decided within {waited:?}")));
            }
        };
    }
    let workflow = turn.task.workflow.clone();
    let StepKind::Approval(approval) = &workflow.step(turn.task.node(step)).kind else { return };
    if let Some(escalation) = approval.escalate.as_ref().filter(|_| waiting.escalated_at.is_none())
        && waiting.since.after(escalation.after) <= turn.now
    {
        // A name that has no value is left out: the approval itself is still there to be decided.
        let to = names(&escalation.to, &TaskScope::of(turn.task, step)).unwrap_or_default();
        turn.emit(Event::ApprovalEscalated { step, to });
    }
    if let Some(every) = approval.remind_every
        && waiting.reminded_at.unwrap_or(waiting.since).after(every) <= turn.now
    {
        turn.emit(Event::ApprovalReminded { step });
    }
    turn.set_timer(step);
}

/// The task's own timer.
pub fn task_timer(task: &mut Task, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.task_due().is_some_and(|due| due <= now) {
        let failure = match turn.task.deadline.filter(|deadline| *deadline <= now) {
            Some(_) => timed_out(code::task_deadline(), "the task did not end by its deadline".into()),
            None => {
                let limit = turn.task.workflow.timeout.unwrap_or_default();
                timed_out(code::task_timeout(), format!("the task did not end within {limit:?}"))
            }
        };
        turn.begin_ending(Cause::Failed { step: None, failure }, true);
    }
    turn.finish()
}

fn unclaimed(task: &Task, step: StepIndex) -> Failure {
    let definition = task.definition(step);
    let limit = definition.timeouts.waiting.unwrap_or_default();
    let who = definition.system().map_or_else(|| "nobody".to_owned(), |system| format!("no worker of `{system}`"));
    timed_out(code::step_waiting_timeout(), format!("{who} took the step within {limit:?}"))
}
