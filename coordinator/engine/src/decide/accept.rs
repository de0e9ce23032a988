//! A submission arrives.

use super::begin::{instant, text_of};
use super::{Decision, Effect, Turn};
use crate::contract::Violation;
use crate::event::Event;
use crate::expression::Scope;
use crate::ids::{StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{StepState, Submission, Task};
use crate::time::Timestamp;
use crate::workflow::{Join, Role, Workflow};
use serde_json::Value;
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
    /// The workflow's `deadline` has no instant for this input.
    #[error("the deadline of workflow `{workflow}` cannot be computed: {problem}")]
    NoDeadline {
        /// Which workflow.
        workflow: String,
        /// What is wrong.
        problem: String,
    },
}

/// What an expression may look at before there is a task: its input.
pub(crate) struct InputScope(Value);

impl InputScope {
    pub(crate) fn new(input: &Payload) -> Self {
        Self(input.value())
    }
}

impl Scope for InputScope {
    fn task_input(&self) -> &Value {
        &self.0
    }

    fn step_result(&self, _: &str) -> Option<&Value> {
        None
    }
}

/// Accepts a submission as a new task.
///
/// `kept` are results of an earlier task that are reused: their steps count as succeeded and are not run.
///
/// # Errors
/// If the input does not fit the workflow, or gives no deadline although the workflow computes one.
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
    let deadline = workflow.deadline.as_ref().map(|deadline| {
        let scope = InputScope::new(&submission.input);
        let text = text_of(deadline, &scope)?;
        instant(&text).ok_or_else(|| format!("`{}` gives `{text}`, not an instant such as `2027-01-31T09:00:00Z`", deadline.source()))
    });
    let deadline = deadline.transpose().map_err(|problem| Refusal::NoDeadline { workflow: workflow.name.to_string(), problem })?;
    let submission = Box::new(submission);
    let mut task = Task::accepted(id, workflow.clone(), submission.clone(), now);
    let mut turn = Turn::new(&mut task, now);
    turn.first = 1;
    turn.events.push(Event::TaskAccepted(submission));
    if let Some(at) = deadline {
        turn.emit(Event::DeadlineSet { at });
    }
    for (step, result) in kept {
        turn.emit(Event::StepKept { step, result });
    }
    if let Some(due) = turn.task.task_due() {
        turn.effects.push(Effect::SetTaskTimer { due });
    }
    if !turn.task.queued {
        turn.begin_all();
    }
    let decision = turn.finish();
    Ok((task, decision))
}

/// The results of a finished task that a retry of it may reuse: those of every step that succeeded, was not undone, and did not build on a
/// failure that the retry may turn into a success.
pub fn reusable_results(task: &Task) -> Vec<(StepIndex, Payload)> {
    let workflow = &task.workflow;
    let undone = |step: StepIndex| workflow.step(step).compensate.is_some_and(|handler| task.step_result(handler).is_some());
    let built_on_failure = |step: StepIndex| {
        let definition = workflow.step(step);
        let enough_others = matches!(definition.join, Join::AtLeast { .. });
        let failed = |step: &StepIndex| matches!(task.progress(*step).state, StepState::Failed { .. } | StepState::Cancelled { .. });
        !enough_others && definition.depends_on.iter().any(failed)
    };
    let forward = workflow.indexes().filter(|step| workflow.step(*step).role == Role::Forward);
    let reusable = forward.filter(|step| !undone(*step) && !built_on_failure(*step));
    reusable.filter_map(|step| Some((step, task.step_result(step)?.clone()))).collect()
}
