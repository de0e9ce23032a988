//! The promises that one task's state and history can show, written once: property tests, simulation and `tasker debug check` all ask
//! here.

use crate::event::{Entry, Event};
use crate::ids::{StepIndex, TaskId};
use crate::task::{StepState, Task, TaskStatus};
use crate::workflow::Workflow;
use std::sync::Arc;

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the list of promises: `P7`.
    pub promise: &'static str,
    /// Whose state or history shows it.
    pub task: TaskId,
    /// What was seen.
    pub seen: String,
}

/// Checks what a state alone can show.
pub fn check_state(task: &Task) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |promise, seen: String| found.push(Violation { promise, task: task.id, seen });
    let open = task.steps.iter().filter(|step| !step.state.is_terminal()).count();
    if open != task.open_steps as usize {
        report("P19", format!("{open} steps are open, the counter says {}", task.open_steps));
    }
    if task.status.is_terminal() && open > 0 {
        report("P9", format!("the task is {} with {open} open steps", task.status.as_str()));
    }
    if !task.status.is_terminal() && open == 0 {
        report("P12", "every step is over, but the task is not".into());
    }
    for index in task.workflow.indexes() {
        let (step, progress) = (task.workflow.step(index), task.progress(index));
        let unmet = step.depends_on.iter().filter(|dependency| task.step_result(**dependency).is_none()).count();
        if unmet != progress.open_dependencies as usize {
            report("P4", format!("step `{}` counts {} open dependencies, {unmet} are", step.name, progress.open_dependencies));
        }
        match &progress.state {
            StepState::Pending if unmet == 0 && !task.status.is_terminal() => {
                report("P12", format!("step `{}` waits for nothing", step.name));
            }
            StepState::Ready { .. } | StepState::Running(_) | StepState::BackingOff { .. } if unmet > 0 => {
                report("P4", format!("step `{}` is {} before its dependencies", step.name, progress.state.as_str()));
            }
            StepState::Running(open) if open.attempt != task.next_attempt(index) => {
                report("P7", format!("step `{}` runs attempt {} out of turn", step.name, open.attempt));
            }
            _ => {}
        }
    }
    found
}

/// Checks a whole history, event by event, and that folding it gives a sound state.
pub fn check_history(task: TaskId, workflow: &Arc<Workflow>, entries: &[Entry]) -> Vec<Violation> {
    let folded = match Task::fold(workflow.clone(), entries) {
        Ok(folded) => folded,
        Err(broken) => return vec![Violation { promise: "P19", task, seen: broken.to_string() }],
    };
    let mut walk = Walk::new(task, workflow);
    for entry in entries {
        entry.events.iter().for_each(|event| walk.take(event));
    }
    walk.found.extend(check_state(&folded));
    walk.found
}

struct Walk<'w> {
    task: TaskId,
    workflow: &'w Workflow,
    succeeded: Vec<bool>,
    open: Vec<Option<u32>>,
    last_attempt: Vec<u32>,
    ended: Option<TaskStatus>,
    found: Vec<Violation>,
}

impl<'w> Walk<'w> {
    fn new(task: TaskId, workflow: &'w Workflow) -> Self {
        let steps = workflow.steps.len();
        Self {
            task,
            workflow,
            succeeded: vec![false; steps],
            open: vec![None; steps],
            last_attempt: vec![0; steps],
            ended: None,
            found: Vec::new(),
        }
    }

    fn report(&mut self, promise: &'static str, seen: String) {
        self.found.push(Violation { promise, task: self.task, seen });
    }

    fn name(&self, step: StepIndex) -> &str {
        self.workflow.step(step).name.as_str()
    }

    fn take(&mut self, event: &Event) {
        if let Some(status) = self.ended
            && !matches!(event, Event::ReplyConflicted { .. })
        {
            self.report("P9", format!("`{}` after the task was {}", event.name(), status.as_str()));
        }
        match event {
            Event::TaskAccepted(_) | Event::CancelRequested { .. } | Event::ReplyConflicted { .. } => {}
            Event::StepKept { step, .. } => self.succeeded[step.at()] = true,
            Event::StepReady { step } => self.dependencies_first(*step),
            Event::AttemptStarted { step, attempt, .. } => {
                self.dependencies_first(*step);
                if let Some(open) = self.open[step.at()] {
                    self.report("P7", format!("attempt {attempt} of `{}` starts while {open} is open", self.name(*step)));
                }
                if attempt.0 != self.last_attempt[step.at()] + 1 {
                    self.report("P7", format!("attempt {attempt} of `{}` is out of turn", self.name(*step)));
                }
                self.open[step.at()] = Some(attempt.0);
                self.last_attempt[step.at()] = attempt.0;
            }
            Event::AttemptFailed { step, attempt, .. } => self.closes(*step, attempt.0),
            Event::StepSucceeded { step, attempt, .. } => {
                self.closes(*step, attempt.0);
                if std::mem::replace(&mut self.succeeded[step.at()], true) {
                    self.report("P6", format!("step `{}` has two results", self.name(*step)));
                }
            }
            Event::StepFailed { step, .. } | Event::StepCancelled { step } => self.open[step.at()] = None,
            Event::TaskSucceeded { .. } => self.ended = Some(TaskStatus::Succeeded),
            Event::TaskFailed { .. } => self.ended = Some(TaskStatus::Failed),
            Event::TaskCancelled { .. } => self.ended = Some(TaskStatus::Cancelled),
        }
    }

    fn dependencies_first(&mut self, step: StepIndex) {
        let workflow = self.workflow;
        for dependency in &workflow.step(step).depends_on {
            if !self.succeeded[dependency.at()] {
                let seen = format!("step `{}` starts before `{}` succeeded", self.name(step), self.name(*dependency));
                self.report("P4", seen);
            }
        }
    }

    fn closes(&mut self, step: StepIndex, attempt: u32) {
        if self.open[step.at()].take() != Some(attempt) {
            self.report("P6", format!("attempt {attempt} of `{}` is closed but was not open", self.name(step)));
        }
    }
}
