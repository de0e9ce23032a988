//! An instant that somebody waited for has come.

use super::{Decision, Effect, Turn};
use crate::event::{Event, Target};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::StepIndex;
use crate::task::{StepState, Task};
use crate::time::Timestamp;
use crate::workflow::Workflow;

/// The step's timer. Does what is due now and nothing else: early, late or repeated timers do no harm (P14).
pub fn step_timer(task: &mut Task, step: StepIndex, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.step_due(step).is_none_or(|due| due > now) {
        return turn.finish();
    }
    let workflow = turn.task.workflow.clone();
    let timeouts = workflow.step(step).timeouts;
    let progress = turn.task.progress(step);
    let total_over = timeouts.total.and_then(|total| Some(progress.first_ready_at?.after(total))).is_some_and(|due| due <= now);
    let total = || {
        let limit = timeouts.total.unwrap_or_default();
        timed_out(code::step_total_timeout(), format!("the step did not end within {limit:?} of being ready"))
    };
    match progress.state.clone() {
        StepState::Pending | StepState::Succeeded { .. } | StepState::Failed { .. } | StepState::Cancelled { .. } => {}
        StepState::BackingOff { .. } | StepState::Ready { .. } if total_over => turn.fail_step(step, total()),
        StepState::BackingOff { .. } => turn.ready(step),
        StepState::Ready { .. } => turn.fail_step(step, unclaimed(&workflow, step)),
        // The time of an attempt that was asked of plain responders runs out only while nobody is there: it is still the waiting timeout.
        StepState::Running(open) if open.target == Target::Responders && !total_over => {
            turn.effects.push(Effect::AttemptClosed { step, token: open.token, target: open.target });
            turn.fail_step(step, unclaimed(&workflow, step));
        }
        StepState::Running(open) => {
            turn.effects.push(Effect::CancelAttempt {
                step,
                attempt: open.attempt,
                token: open.token,
                target: open.target,
                reason: "the attempt ran out of time".into(),
            });
            let limit = open.deadline.map(|deadline| deadline.since(open.started_at)).unwrap_or_default();
            let failure = timed_out(code::attempt_timeout(), format!("the attempt brought no reply within {limit:?}"));
            turn.fail_attempt(step, failure, None);
            let over = turn.task.progress(step).state.is_terminal();
            if total_over && !over {
                turn.fail_step(step, total());
            }
        }
    }
    turn.finish()
}

/// The task's own timer.
pub fn task_timer(task: &mut Task, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if turn.task.task_due().is_some_and(|due| due <= now) {
        let limit = turn.task.workflow.timeout.unwrap_or_default();
        let failure = timed_out(code::task_timeout(), format!("the task did not end within {limit:?}"));
        turn.stop_steps("the task ran out of time");
        turn.emit(Event::TaskFailed { step: None, failure });
        turn.effects.push(Effect::Finished);
    }
    turn.finish()
}

fn unclaimed(workflow: &Workflow, step: StepIndex) -> Failure {
    let definition = workflow.step(step);
    let limit = definition.timeouts.waiting.unwrap_or_default();
    timed_out(code::step_waiting_timeout(), format!("no worker of `{}` took the step within {limit:?}", definition.system))
}

fn timed_out(code: crate::ids::ErrorCode, message: String) -> Failure {
    Failure::new(FailureKind::TimedOut, code, message)
}
