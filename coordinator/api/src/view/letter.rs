//! Dead letters as JSON.

use crate::instant::Instant;
use crate::problem::Problem;
use serde::Serialize;
use tasker_engine::TaskId;
use tasker_runtime::operations::LetterOutcome;
use tasker_runtime::port::store::{DeadLetter, LetterGroup, LetterState, MissedLetters};
use utoipa::ToSchema;

/// A task that failed for good.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct LetterDetail {
    /// The task that failed; `/v1/tasks/{id}` shows all of it.
    #[schema(value_type = String)]
    task: TaskId,
    /// `open`, `requeued` or `discarded`.
    state: &'static str,
    workflow: String,
    version: String,
    /// Why it failed: a stable code.
    code: String,
    /// Why it failed, for people; the first 512 bytes.
    message: String,
    /// The step that failed; null if the task failed as a whole.
    step: Option<String>,
    system: Option<String>,
    capability: Option<String>,
    failed_at: Instant,
    /// The new task, if it was requeued.
    #[schema(value_type = Option<String>)]
    requeued_to: Option<TaskId>,
    /// When it was requeued or discarded.
    settled_at: Option<Instant>,
    /// By whom; null if nobody was named, as in a plain retry of the task.
    settled_by: Option<String>,
    settled_reason: Option<String>,
}

impl LetterDetail {
    pub(crate) fn of(letter: &DeadLetter) -> Self {
        let settlement = letter.state.settlement();
        Self {
            task: letter.task,
            state: letter.state.word().as_str(),
            workflow: letter.workflow.to_string(),
            version: letter.version.to_string(),
            code: letter.code.clone(),
            message: letter.message.clone(),
            step: letter.step.as_ref().map(ToString::to_string),
            system: letter.system.as_ref().map(ToString::to_string),
            capability: letter.capability.as_ref().map(ToString::to_string),
            failed_at: Instant(letter.failed_at),
            requeued_to: requeued_to(&letter.state),
            settled_at: settlement.map(|settled| Instant(settled.at)),
            settled_by: settlement.and_then(|settled| settled.by.clone()),
            settled_reason: settlement.and_then(|settled| settled.reason.clone()),
        }
    }
}

fn requeued_to(state: &LetterState) -> Option<TaskId> {
    match state {
        LetterState::Requeued { to, .. } => Some(*to),
        LetterState::Open | LetterState::Discarded { .. } => None,
    }
}

/// Dead letters that failed with the same code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterGroup)]
pub(crate) struct LetterGroupDetail {
    code: String,
    count: u64,
    /// When the first of them failed.
    oldest: Instant,
    /// When the last of them failed.
    newest: Instant,
    /// One of them: the one whose task is the youngest.
    #[schema(value_type = String)]
    example: TaskId,
    /// What its failure says.
    message: String,
}

impl LetterGroupDetail {
    pub(crate) fn of(group: LetterGroup) -> Self {
        Self {
            code: group.code,
            count: group.count,
            oldest: Instant(group.oldest),
            newest: Instant(group.newest),
            example: group.example,
            message: group.message,
        }
    }
}

/// Failures that got no dead letter, because the namespace had as many open as it may. `/v1/tasks?status=failed` lists their tasks, too.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissedDeadLetters)]
pub(crate) struct MissedDetail {
    count: u64,
    /// When the last of them failed.
    last_at: Instant,
}

impl MissedDetail {
    pub(crate) fn of(missed: MissedLetters) -> Self {
        Self { count: missed.count, last_at: Instant(missed.last_at) }
    }
}

/// What became of one letter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterItem)]
pub(crate) struct LetterItem {
    #[schema(value_type = String)]
    task: TaskId,
    /// `requeued`, `discarded`, or `refused`: then it is as it was.
    outcome: &'static str,
    /// Whether it was settled so before, so that this request changed nothing.
    before: bool,
    #[schema(value_type = Option<String>)]
    requeued_to: Option<TaskId>,
    /// Of a refusal.
    code: Option<&'static str>,
    /// Of a refusal.
    detail: Option<String>,
}

const REFUSED: &str = "refused";

impl LetterItem {
    pub(crate) fn of(outcome: LetterOutcome) -> Self {
        match outcome.outcome {
            Ok(done) => Self {
                task: outcome.task,
                outcome: done.state.word().as_str(),
                before: done.before,
                requeued_to: requeued_to(&done.state),
                code: None,
                detail: None,
            },
            Err(error) => {
                let problem: Problem = error.into();
                Self {
                    task: outcome.task,
                    outcome: REFUSED,
                    before: false,
                    requeued_to: None,
                    code: Some(problem.code.as_str()),
                    detail: Some(problem.detail),
                }
            }
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.outcome == REFUSED
    }
}
