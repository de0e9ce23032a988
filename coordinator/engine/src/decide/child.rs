//! A step that is another task. The child is one attempt of the step, so retries, time limits and repeats follow the same rules.

use super::dispatch::input_of;
use super::{Decision, Effect, Turn};
use crate::event::{Event, Target};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::{AttemptToken, StepIndex, TaskId, WorkflowName, WorkflowVersion};
use crate::payload::Payload;
use crate::task::{Parent, StepState, Task};
use crate::time::Timestamp;
use crate::workflow::StepKind;
use serde_json::json;

/// What is to be submitted for a child step.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildRequest {
    /// Which workflow of the same namespace.
    pub workflow: WorkflowName,
    /// Which version; none: the current one.
    pub version: Option<WorkflowVersion>,
    /// Its input.
    pub input: Payload,
    /// Who it belongs to.
    pub parent: Parent,
}

/// How a child task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ChildOutcome {
    /// With this result.
    Succeeded(Payload),
    /// With this failure.
    Failed(Failure),
    /// Cancelled, by somebody else than its parent.
    Cancelled {
        /// Why, for people.
        reason: String,
    },
}

/// What to submit for a child step that is ready; none if it is not ready any more. `token` is drawn by the caller and names the attempt
/// from here on.
///
/// # Errors
/// The child cannot be asked for; hand the failure to [`refused`].
pub fn request(task: &Task, step: StepIndex, token: AttemptToken) -> Result<Option<ChildRequest>, Failure> {
    if !matches!(task.progress(step).state, StepState::Ready { .. }) || task.paused.is_some() {
        return Ok(None);
    }
    let StepKind::Child(child) = &task.definition(step).kind else { return Ok(None) };
    let depth = task.submission.parent.map_or(0, |parent| parent.depth) + 1;
    if depth > Parent::DEPTH_MAX {
        let message = format!("this would be the {depth}th task inside another; at most {} are started", Parent::DEPTH_MAX);
        return Err(Failure::new(FailureKind::Permanent, code::child_refused(), message));
    }
    let input = input_of(task, step, None)?;
    let parent = Parent { task: task.id, step, token, detached: child.detached, depth };
    Ok(Some(ChildRequest { workflow: child.workflow.clone(), version: child.version.clone(), input, parent }))
}

/// The child exists: the attempt is open, or, for a detached child, the step has succeeded.
pub fn started(task: &mut Task, step: StepIndex, child: TaskId, token: AttemptToken, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if !matches!(turn.task.progress(step).state, StepState::Ready { .. }) {
        return turn.finish();
    }
    let StepKind::Child(definition) = &turn.task.definition(step).kind else { return turn.finish() };
    let detached = definition.detached;
    let deadline = turn.task.definition(step).timeouts.running.filter(|_| !detached).map(|running| now.after(running));
    let attempt = turn.task.next_attempt(step);
    turn.emit(Event::AttemptStarted { step, attempt, token, target: Target::Child(child), contract: None, deadline });
    if detached {
        let result = Payload::of(&json!({ "task": child.to_string() }));
        turn.emit(Event::StepSucceeded { step, attempt, result });
        turn.over(step);
    } else {
        turn.set_timer(step);
    }
    turn.finish()
}

/// The child could not be started.
pub fn refused(task: &mut Task, step: StepIndex, failure: Failure, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    if matches!(turn.task.progress(step).state, StepState::Ready { .. }) {
        turn.give_up(step, failure);
    }
    turn.finish()
}

/// The child is over. If the token is not that of the open attempt, nothing happens: a child that was given up ends unheard.
pub fn finished(task: &mut Task, step: StepIndex, token: AttemptToken, outcome: &ChildOutcome, now: Timestamp) -> Decision {
    let mut turn = Turn::new(task, now);
    let Some(open) = turn.task.steps.get(step.at()).and_then(|_| turn.task.open_attempt(step)).cloned() else { return turn.finish() };
    let Target::Child(child) = open.target else { return turn.finish() };
    if open.token != token {
        return turn.finish();
    }
    match outcome {
        ChildOutcome::Succeeded(result) => {
            turn.emit(Event::StepSucceeded { step, attempt: open.attempt, result: result.clone() });
            turn.then(Effect::AttemptClosed { step, token, target: open.target });
            turn.over(step);
        }
        ChildOutcome::Failed(failure) => {
            let message = format!("task {child} failed: {}", failure.message);
            let details = json!({
                "task": child.to_string(),
                "code": failure.code,
                "message": failure.message,
                "details": failure.details.as_ref().map(Payload::value),
            });
            let failure = Failure::new(FailureKind::Retryable, code::child_failed(), message).with_details(Payload::of(&details));
            turn.fail_attempt(step, failure, None);
        }
        ChildOutcome::Cancelled { reason } => {
            let message = format!("task {child} was cancelled: {reason}");
            let details = json!({ "task": child.to_string() });
            let failure = Failure::new(FailureKind::Permanent, code::child_cancelled(), message).with_details(Payload::of(&details));
            turn.fail_attempt(step, failure, None);
        }
    }
    turn.finish()
}
