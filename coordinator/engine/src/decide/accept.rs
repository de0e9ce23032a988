//! A submission arrives.

use super::{Decision, Effect, Turn};
use crate::contract::Violation;
use crate::event::Event;
use crate::ids::{StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{Submission, Task};
use crate::time::Timestamp;
use crate::workflow::Workflow;
use std::sync::Arc;

/// Why a submission is not accepted; no task exists afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The input breaks the workflow's input schema.
    #[error("the input does not fit the input schema of workflow `{workflow}`")]
    InputViolated {
        /// Which workflow.
        workflow: String,
        /// Where and why, at most twenty.
        violations: Vec<Violation>,
    },
}

/// Accepts a submission as a new task.
///
/// `kept` are results of an earlier task that are reused: their steps count as succeeded and are not run.
///
/// # Errors
/// If the input does not fit the workflow.
pub fn accept(
    id: TaskId,
    workflow: &Arc<Workflow>,
    submission: Submission,
    kept: Vec<(StepIndex, Payload)>,
    now: Timestamp,
) -> Result<(Task, Decision), Refusal> {
    if let Some(schema) = &workflow.input {
        let violations = schema.violations(&submission.input.value());
        if !violations.is_empty() {
            return Err(Refusal::InputViolated { workflow: workflow.name.to_string(), violations });
        }
    }
    let submission = Box::new(submission);
    let mut task = Task::accepted(id, workflow.clone(), submission.clone(), now);
    let mut turn = Turn::new(&mut task, now);
    turn.first = 1;
    turn.events.push(Event::TaskAccepted(submission));
    for (step, result) in kept {
        turn.emit(Event::StepKept { step, result });
    }
    if let Some(due) = turn.task.task_due() {
        turn.effects.push(Effect::SetTaskTimer { due });
    }
    turn.advance_all();
    let decision = turn.finish();
    Ok((task, decision))
}

/// The results of a finished task that a retry of it may reuse: those of every step that succeeded.
pub fn reusable_results(task: &Task) -> Vec<(StepIndex, Payload)> {
    task.workflow.indexes().filter_map(|step| Some((step, task.step_result(step)?.clone()))).collect()
}
