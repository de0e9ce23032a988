//! What people decide: approvals, and what becomes of a step that failed for good.

use super::outside::{payload_of, within};
use super::{Operations, PAGE_MAX, TaskView, Unavailable};
use crate::command::Command;
use bytes::Bytes;
use serde_json::Value;
use tasker_engine::contract::Violation;
use tasker_engine::decide::approval::Verdict;
use tasker_engine::event::Resolution;
use tasker_engine::payload::InvalidPayload;
use tasker_engine::{Failure, Namespace, StepIndex, StepLabel, TaskId, Timestamp, WorkflowName};

/// The longest name of a person, team or role, in bytes.
pub const PERSON_BYTES_MAX: usize = 256;
/// The most comments of one task that are shown; the latest are. All of them are in its history.
pub const COMMENTS_SHOWN_MAX: usize = 100;

/// A place in a list of steps of many tasks: pages are in the order of task and step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepCursor {
    /// The task.
    pub task: TaskId,
    /// The step or item.
    pub step: StepIndex,
}

/// Which steps that wait for a person to list.
#[derive(Debug, Clone, Default)]
pub struct ListPeople {
    /// Only approvals that this person or team is asked for, or anybody; means nothing for held steps.
    pub assignee: Option<String>,
    /// Only steps of this task.
    pub task: Option<TaskId>,
    /// Where the page before ended.
    pub after: Option<StepCursor>,
    /// How many, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// A page of pending approvals, those of the oldest tasks first. Always fresh.
#[derive(Debug, Clone)]
pub struct ApprovalPage {
    /// Those on this page.
    pub approvals: Vec<ApprovalView>,
    /// Where the next page starts; none if this was the last.
    pub next: Option<StepCursor>,
}

/// A decision that somebody is asked for.
#[derive(Debug, Clone)]
pub struct ApprovalView {
    /// In which task.
    pub task: TaskId,
    /// Of which workflow.
    pub workflow: WorkflowName,
    /// Which step.
    pub step: StepLabel,
    /// Its place in the list.
    pub cursor: StepCursor,
    /// One line.
    pub title: String,
    /// What they should know.
    pub description: Option<String>,
    /// JSON Schema of what they fill in; none: nothing.
    pub form: Option<Value>,
    /// Who is asked, those to whom it was escalated included; empty: anybody.
    pub assignees: Vec<String>,
    /// Since when.
    pub since: Timestamp,
    /// When the step fails if nobody has decided.
    pub until: Option<Timestamp>,
    /// How often the assignees were reminded.
    pub reminded: u32,
    /// When last.
    pub reminded_at: Option<Timestamp>,
    /// When it was escalated.
    pub escalated_at: Option<Timestamp>,
    /// What was said about it, oldest first.
    pub comments: Vec<Comment>,
}

/// What somebody said about an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// A page of steps that failed for good and wait for a person, those of the oldest tasks first. Always fresh.
#[derive(Debug, Clone)]
pub struct HeldPage {
    /// Those on this page.
    pub held: Vec<HeldView>,
    /// Where the next page starts; none if this was the last.
    pub next: Option<StepCursor>,
}

/// A step that failed for good and waits for a person.
#[derive(Debug, Clone)]
pub struct HeldView {
    /// In which task.
    pub task: TaskId,
    /// Of which workflow.
    pub workflow: WorkflowName,
    /// Which step or item.
    pub step: StepLabel,
    /// Its place in the list.
    pub cursor: StepCursor,
    /// Why it failed.
    pub failure: Failure,
    /// Since when it waits.
    pub since: Timestamp,
    /// How many attempts it had.
    pub attempts: u32,
    /// JSON Schema of the result that may be supplied in its place; none: any JSON.
    pub result: Option<Value>,
}

/// A decision about an approval.
#[derive(Debug, Clone)]
pub struct Decide {
    /// Yes or no.
    pub approved: bool,
    /// Who decides; 1 to [`PERSON_BYTES_MAX`] bytes.
    pub by: String,
    /// The assignee that they stand for, if they are not one by name: a team.
    pub role: Option<String>,
    /// Why, for people; cut at 4 KiB.
    pub comment: Option<String>,
    /// What they filled in, as JSON; needed if the approval has a form and they approve.
    pub form: Option<Bytes>,
}

/// What a person makes of a held step.
#[derive(Debug, Clone)]
pub struct Resolve {
    /// What becomes of it.
    pub how: ResolveHow,
    /// Who says so; 1 to [`PERSON_BYTES_MAX`] bytes.
    pub by: String,
    /// Why, for people; cut at 4 KiB.
    pub comment: Option<String>,
}

/// What becomes of a held step.
#[derive(Debug, Clone)]
pub enum ResolveHow {
    /// It is tried again, with as many attempts as at first.
    Retry,
    /// The task goes on as if it had not been needed.
    Skip,
    /// The task goes on with this result, which must fit the step's contract: JSON.
    Supply(Bytes),
    /// It fails.
    Fail,
}

/// Why a decision or comment was not taken. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is no such task in the namespace.
    #[error("there is no task {0} here")]
    UnknownTask(TaskId),
    /// The task has no such step; code `step.unknown`.
    #[error(transparent)]
    UnknownStep(#[from] UnknownStep),
    /// The step does not wait for a decision, or not any more; code `approval.not_waiting`.
    #[error("step `{0}` does not wait for a decision")]
    NotWaiting(String),
    /// Somebody else is asked; code `approval.not_assigned`.
    #[error("`{by}` is not asked; asked are {}", .assignees.join(", "))]
    NotAssigned {
        /// Who decided.
        by: String,
        /// Who is asked.
        assignees: Vec<String>,
    },
    /// The form is missing or does not fit; code `approval.form_violated`.
    #[error("the form does not fit what is asked")]
    FormViolated(Vec<Violation>),
    /// The form is not JSON or too large.
    #[error("the form is not acceptable: {0}")]
    Payload(#[from] InvalidPayload),
    /// A name is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a held step was not resolved. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such task in the namespace.
    #[error("there is no task {0} here")]
    UnknownTask(TaskId),
    /// The task has no such step; code `step.unknown`.
    #[error(transparent)]
    UnknownStep(#[from] UnknownStep),
    /// The step does not wait for a person; code `step.not_held`.
    #[error("step `{step}` is {state}; only a held step can be resolved")]
    NotHeld {
        /// Which step.
        step: String,
        /// Where it stands.
        state: &'static str,
    },
    /// The supplied result breaks the step's contract; code `result.violated`.
    #[error("the result does not fit the contract of step `{step}`")]
    ResultViolated {
        /// Which step.
        step: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// The supplied result is not JSON or too large.
    #[error("the result is not acceptable: {0}")]
    Payload(#[from] InvalidPayload),
    /// A name is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A step that the task does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {task} has no step `{step}`{}", .similar.as_ref().map_or_else(String::new, |similar| format!("; did you mean `{similar}`?")))]
pub struct UnknownStep {
    /// Which task.
    pub task: TaskId,
    /// What was asked for.
    pub step: String,
    /// The nearest step that it has.
    pub similar: Option<String>,
}

impl Operations {
    /// The decisions that somebody is asked for now, of a namespace.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn approvals(&self, namespace: &Namespace, list: ListPeople) -> Result<ApprovalPage, Unavailable> {
        let list = ListPeople { limit: list.limit.clamp(1, PAGE_MAX), ..list };
        self.ask(|answer| Command::Approvals { namespace: namespace.clone(), list, answer }).await?
    }

    /// Takes a decision: the step succeeds with it, whichever it is. Answers with the task after the commit. A second decision is refused,
    /// because the step does not wait any more.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn decide(&self, namespace: &Namespace, task: TaskId, step: StepLabel, decide: Decide) -> Result<TaskView, ApprovalError> {
        within("name of who decides", &decide.by, PERSON_BYTES_MAX).map_err(ApprovalError::Limit)?;
        if let Some(role) = &decide.role {
            within("role", role, PERSON_BYTES_MAX).map_err(ApprovalError::Limit)?;
        }
        let form = decide.form.map(payload_of).transpose()?;
        let verdict = Verdict { approved: decide.approved, by: decide.by, role: decide.role, comment: decide.comment, form };
        self.ask(|answer| Command::Decide { namespace: namespace.clone(), id: task, step, verdict, answer }).await?
    }

    /// Records what somebody says about an approval without deciding it; answers after the commit. Said twice, it is recorded twice.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn comment(
        &self,
        namespace: &Namespace,
        task: TaskId,
        step: StepLabel,
        by: &str,
        comment: &str,
    ) -> Result<TaskView, ApprovalError> {
        within("name of who comments", by, PERSON_BYTES_MAX).map_err(ApprovalError::Limit)?;
        let (by, comment) = (by.to_owned(), comment.to_owned());
        self.ask(|answer| Command::Comment { namespace: namespace.clone(), id: task, step, by, comment, answer }).await?
    }

    /// The steps of a namespace that failed for good and wait for a person.
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn held(&self, namespace: &Namespace, list: ListPeople) -> Result<HeldPage, Unavailable> {
        let list = ListPeople { limit: list.limit.clamp(1, PAGE_MAX), ..list };
        self.ask(|answer| Command::Held { namespace: namespace.clone(), list, answer }).await?
    }

    /// Says what becomes of a held step; answers with the task after the commit. A second resolution is refused, because the step is not held
    /// any more.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub async fn resolve(&self, namespace: &Namespace, task: TaskId, step: StepLabel, resolve: Resolve) -> Result<TaskView, ResolveError> {
        within("name of who resolves", &resolve.by, PERSON_BYTES_MAX).map_err(ResolveError::Limit)?;
        let resolution = match resolve.how {
            ResolveHow::Retry => Resolution::Retry,
            ResolveHow::Skip => Resolution::Skip,
            ResolveHow::Supply(result) => Resolution::Supply(payload_of(result)?),
            ResolveHow::Fail => Resolution::Fail,
        };
        let (by, comment) = (resolve.by, resolve.comment);
        self.ask(|answer| Command::Resolve { namespace: namespace.clone(), id: task, step, resolution, by, comment, answer }).await?
    }
}
