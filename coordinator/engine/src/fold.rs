//! From events to state: the only place where a task changes.

use crate::event::{Entry, Event};
use crate::ids::{AttemptNumber, Digest, StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{ClosedAttempt, OpenAttempt, StepProgress, StepState, Submission, Task, TaskStatus};
use crate::time::Timestamp;
use crate::workflow::Workflow;
use smallvec::SmallVec;
use std::sync::Arc;

/// Why a history is not one that this engine wrote. The task is stopped and the evidence kept; see P19.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHistory {
    /// The first event must accept the task.
    #[error("the history of {0} does not start with `task_accepted`")]
    NoBeginning(TaskId),
    /// Numbers must follow each other.
    #[error("the history of {task} has a gap: event {expected} is missing, {found} follows")]
    Gap {
        /// Whose history.
        task: TaskId,
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry of another task.
    #[error("an entry of {found} is in the history of {task}")]
    Foreign {
        /// Whose history.
        task: TaskId,
        /// Whose entry.
        found: TaskId,
    },
    /// The workflow is not the one the task is pinned to.
    #[error("the history of {0} names a step that its workflow does not have")]
    UnknownStep(TaskId),
}

impl Task {
    /// The state after a whole history.
    ///
    /// # Errors
    /// If the history has a gap, no beginning, or does not fit the workflow.
    pub fn fold<'e>(workflow: Arc<Workflow>, entries: impl IntoIterator<Item = &'e Entry>) -> Result<Self, BrokenHistory> {
        let mut task: Option<Self> = None;
        for entry in entries {
            match &mut task {
                None => {
                    let [Event::TaskAccepted(submission), rest @ ..] = entry.events.as_slice() else {
                        return Err(BrokenHistory::NoBeginning(entry.task));
                    };
                    if entry.first != 1 {
                        return Err(BrokenHistory::Gap { task: entry.task, expected: 1, found: entry.first });
                    }
                    let mut accepted = Self::accepted(entry.task, workflow.clone(), submission.clone(), entry.at);
                    accepted.apply_all(rest, entry.at)?;
                    task = Some(accepted);
                }
                Some(task) if task.id != entry.task => {
                    return Err(BrokenHistory::Foreign { task: task.id, found: entry.task });
                }
                Some(task) if task.events + 1 != entry.first => {
                    return Err(BrokenHistory::Gap { task: task.id, expected: task.events + 1, found: entry.first });
                }
                Some(task) => task.apply_all(&entry.events, entry.at)?,
            }
        }
        task.ok_or(BrokenHistory::NoBeginning(TaskId::from_number(0).expect("zero is not negative")))
    }

    fn apply_all(&mut self, events: &[Event], at: Timestamp) -> Result<(), BrokenHistory> {
        for event in events {
            if event.step().is_some_and(|step| step.at() >= self.steps.len()) {
                return Err(BrokenHistory::UnknownStep(self.id));
            }
            self.apply(event, at);
        }
        Ok(())
    }

    /// The state right after `task_accepted`, the first event.
    pub(crate) fn accepted(id: TaskId, workflow: Arc<Workflow>, submission: Box<Submission>, at: Timestamp) -> Self {
        let steps: Vec<StepProgress> = workflow
            .steps
            .iter()
            .map(|step| StepProgress {
                state: StepState::Pending,
                open_dependencies: step.depends_on.len() as u32,
                first_ready_at: None,
                closed: SmallVec::new(),
            })
            .collect();
        Self {
            id,
            submission,
            accepted_at: at,
            finished_at: None,
            status: TaskStatus::Running,
            result: None,
            failure: None,
            cancel_reason: None,
            open_steps: steps.len() as u32,
            steps,
            events: 1,
            workflow,
        }
    }

    /// Takes one event into the state. Total: a fact that has been committed is never refused.
    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp) {
        self.events += 1;
        match event {
            Event::TaskAccepted(_) => {}
            Event::StepKept { step, result } => self.succeed(*step, result.clone(), at),
            Event::StepReady { step } => {
                let progress = &mut self.steps[step.at()];
                progress.first_ready_at.get_or_insert(at);
                progress.state = StepState::Ready { since: at };
            }
            Event::AttemptStarted { step, attempt, token, target, contract, deadline } => {
                self.steps[step.at()].state = StepState::Running(OpenAttempt {
                    attempt: *attempt,
                    token: *token,
                    target: target.clone(),
                    contract: *contract,
                    started_at: at,
                    deadline: *deadline,
                });
            }
            Event::AttemptFailed { step, failure, reply, retry_at, .. } => {
                self.close(*step, at, *reply, Some(failure.clone()));
                if let Some(until) = retry_at {
                    self.steps[step.at()].state = StepState::BackingOff { until: *until };
                }
            }
            Event::StepSucceeded { step, result, .. } => {
                self.close(*step, at, Some(result.digest()), None);
                self.succeed(*step, result.clone(), at);
            }
            Event::StepFailed { step, failure } => {
                self.close(*step, at, None, Some(failure.clone()));
                self.end(*step, StepState::Failed { failure: failure.clone(), at });
            }
            Event::StepCancelled { step } => {
                self.close(*step, at, None, None);
                self.end(*step, StepState::Cancelled { at });
            }
            Event::ReplyConflicted { step, attempt, .. } => self.mark_conflict(*step, *attempt),
            Event::CancelRequested { reason } => self.cancel_reason = Some(reason.clone()),
            Event::TaskSucceeded { result } => {
                self.result = Some(result.clone());
                self.finish(TaskStatus::Succeeded, at);
            }
            Event::TaskFailed { step, failure } => {
                self.failure = Some((*step, failure.clone()));
                self.finish(TaskStatus::Failed, at);
            }
            Event::TaskCancelled { reason } => {
                self.cancel_reason = Some(reason.clone());
                self.finish(TaskStatus::Cancelled, at);
            }
        }
    }

    fn finish(&mut self, status: TaskStatus, at: Timestamp) {
        self.status = status;
        self.finished_at = Some(at);
    }

    fn end(&mut self, step: StepIndex, state: StepState) {
        if !self.steps[step.at()].state.is_terminal() {
            self.open_steps -= 1;
        }
        self.steps[step.at()].state = state;
    }

    fn succeed(&mut self, step: StepIndex, result: Payload, at: Timestamp) {
        self.end(step, StepState::Succeeded { result, at });
        let workflow = self.workflow.clone();
        for successor in &workflow.step(step).successors {
            let progress = &mut self.steps[successor.at()];
            progress.open_dependencies = progress.open_dependencies.saturating_sub(1);
        }
    }

    /// Moves the open attempt, if there is one, to the closed ones.
    fn close(&mut self, step: StepIndex, at: Timestamp, reply: Option<Digest>, failure: Option<crate::failure::Failure>) {
        let progress = &mut self.steps[step.at()];
        if let StepState::Running(open) = &progress.state {
            progress.closed.push(ClosedAttempt {
                attempt: open.attempt,
                token: open.token,
                target: open.target.clone(),
                started_at: open.started_at,
                closed_at: at,
                reply,
                conflicted: false,
                failure,
            });
            // Whoever closes an attempt says next what becomes of the step; until then it waits for nothing.
            progress.state = StepState::Pending;
        }
    }

    fn mark_conflict(&mut self, step: StepIndex, attempt: AttemptNumber) {
        if let Some(closed) = self.steps[step.at()].closed.iter_mut().find(|closed| closed.attempt == attempt) {
            closed.conflicted = true;
        }
    }
}
