//! What the expressions of one task may look at; values are read from their JSON only when asked for.

use crate::expression::Scope;
use crate::ids::StepIndex;
use crate::task::{Cause, StepState, Task};
use serde_json::{Value, json};
use std::cell::OnceCell;

/// One task, seen by an expression of a step, of an item, or of the workflow itself.
pub(crate) struct TaskScope<'t> {
    task: &'t Task,
    item: Option<StepIndex>,
    input: OnceCell<Value>,
    id: OnceCell<Value>,
    task_error: OnceCell<Option<Value>>,
    item_value: OnceCell<Value>,
    results: OnceCell<Vec<OnceCell<Value>>>,
    errors: OnceCell<Vec<OnceCell<Value>>>,
}

impl<'t> TaskScope<'t> {
    pub(crate) fn new(task: &'t Task) -> Self {
        Self {
            task,
            item: None,
            input: OnceCell::new(),
            id: OnceCell::new(),
            task_error: OnceCell::new(),
            item_value: OnceCell::new(),
            results: OnceCell::new(),
            errors: OnceCell::new(),
        }
    }

    /// As an expression of a step, or of an item, sees it.
    pub(crate) fn of(task: &'t Task, step: StepIndex) -> Self {
        Self { item: task.item(step).map(|_| step), ..Self::new(task) }
    }

    fn cells<'c>(&self, cells: &'c OnceCell<Vec<OnceCell<Value>>>) -> &'c [OnceCell<Value>] {
        cells.get_or_init(|| self.task.workflow.steps.iter().map(|_| OnceCell::new()).collect())
    }
}

impl Scope for TaskScope<'_> {
    fn task_input(&self) -> &Value {
        self.input.get_or_init(|| self.task.submission.input.value())
    }

    fn step_result(&self, step: &str) -> Option<&Value> {
        let step = self.task.workflow.find(step)?;
        let progress = self.task.progress(step);
        match (&progress.state, &progress.fan) {
            (StepState::Succeeded { result, .. }, _) => Some(self.cells(&self.results)[step.at()].get_or_init(|| result.value())),
            // What a fan-out that failed part-way has done is what its compensation undoes.
            (StepState::Failed { .. } | StepState::Cancelled { .. }, Some(fan)) if fan.succeeded > 0 => {
                Some(self.cells(&self.results)[step.at()].get_or_init(|| self.task.collected(step).value()))
            }
            _ => None,
        }
    }

    fn step_status(&self, step: &str) -> Option<Value> {
        let step = self.task.workflow.find(step)?;
        Some(self.task.progress(step).state.status_word().into())
    }

    fn step_error(&self, step: &str) -> Option<&Value> {
        let step = self.task.workflow.find(step)?;
        let error = || match &self.task.progress(step).state {
            StepState::Failed { failure, .. } | StepState::FallingBack { failure, .. } | StepState::Held { failure, .. } => json!({
                "code": failure.code,
                "message": failure.message,
                "details": failure.details.as_ref().map(crate::payload::Payload::value),
            }),
            _ => Value::Null,
        };
        Some(self.cells(&self.errors)[step.at()].get_or_init(error))
    }

    fn task_id(&self) -> Option<&Value> {
        Some(self.id.get_or_init(|| self.task.id.to_string().into()))
    }

    fn task_error(&self) -> Option<&Value> {
        let error = || {
            self.task.ending.as_ref().map(|ending| match &ending.cause {
                Cause::Failed { step, failure } => json!({
                    "code": failure.code,
                    "message": failure.message,
                    "step": step.map(|step| self.task.label(step).to_string()),
                }),
                Cause::Cancelled { reason } => {
                    json!({ "code": crate::failure::code::task_cancelled(), "message": reason, "step": null })
                }
            })
        };
        self.task_error.get_or_init(error).as_ref()
    }

    fn item(&self) -> Option<(&Value, u32)> {
        let item = self.task.item(self.item?)?;
        Some((self.item_value.get_or_init(|| item.value.value()), item.number))
    }
}
