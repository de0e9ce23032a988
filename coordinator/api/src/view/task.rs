//! A task as people and programs see it.

use crate::instant::{Instant, millis};
use crate::raw::Raw;
use serde::Serialize;
use std::collections::BTreeMap;
use tasker_engine::task::{StepProgress, StepState};
use tasker_engine::{Failure, StepIndex, Target, Task, TaskId, Timestamp};
use tasker_runtime::operations::TaskView;
use tasker_runtime::port::store::TaskRow;
use tasker_runtime::trace::hex;
use utoipa::ToSchema;

/// One row of a list of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskSummary {
    #[schema(value_type = String, example = "tsk_01k9x2m3a4b5c")]
    id: TaskId,
    workflow: String,
    version: String,
    /// `running`, `succeeded`, `failed` or `cancelled`; more may come.
    status: &'static str,
    accepted_at: Instant,
    finished_at: Option<Instant>,
    /// From acceptance to the end; null while the task runs.
    duration_ms: Option<u64>,
    /// The code of the task's failure.
    error_code: Option<String>,
    /// The step that failed the task.
    failed_step: Option<String>,
    /// Attempts beyond the first, over all steps.
    retries: u32,
    labels: BTreeMap<String, String>,
}

impl TaskSummary {
    pub(crate) fn of(row: TaskRow) -> Self {
        Self {
            id: row.id,
            workflow: row.workflow.to_string(),
            version: row.version.to_string(),
            status: row.status.as_str(),
            accepted_at: Instant(row.accepted_at),
            finished_at: row.finished_at.map(Instant),
            duration_ms: row.finished_at.map(|end| millis(end.since(row.accepted_at))),
            error_code: row.error_code,
            failed_step: row.failed_step,
            retries: row.retries,
            labels: row.labels,
        }
    }
}

/// A failure as stored. `message` is text for people: it may come from a worker, so show it as text and never as markup.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureDetail {
    /// `retryable`, `permanent`, `contract`, `cancelled`, `timed_out` or `lost`.
    kind: &'static str,
    /// Stable, for programs.
    code: String,
    message: String,
    /// What the code's contract describes.
    details: Option<Raw>,
    /// The worker's wish: not before this long from the failure.
    retry_after_ms: Option<u64>,
    /// The step that failed the task; only in the failure of a task, and absent if no single step caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
}

impl FailureDetail {
    pub(crate) fn of(failure: &Failure) -> Self {
        Self {
            kind: failure.kind.as_str(),
            code: failure.code.to_string(),
            message: failure.message.clone(),
            details: failure.details.as_ref().map(Raw::of),
            retry_after_ms: failure.retry_after.map(millis),
            step: None,
        }
    }

    fn of_task(task: &Task) -> Option<Self> {
        let (step, failure) = task.failure.as_ref()?;
        let step = step.map(|step| task.workflow.step(step).name.to_string());
        Some(Self { step, ..Self::of(failure) })
    }
}

/// A task with everything about it but its events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskDetail {
    #[schema(value_type = String, example = "tsk_01k9x2m3a4b5c")]
    id: TaskId,
    namespace: String,
    workflow: String,
    version: String,
    /// The digest of the definition that the task is pinned to.
    digest: String,
    /// `running`, `succeeded`, `failed` or `cancelled`; more may come.
    status: &'static str,
    input: Raw,
    /// Null unless the task succeeded.
    result: Option<Raw>,
    /// Null unless the task failed.
    failure: Option<FailureDetail>,
    cancel_reason: Option<String>,
    labels: BTreeMap<String, String>,
    idempotency_key: Option<String>,
    /// The task whose results this one reuses.
    #[schema(value_type = Option<String>)]
    origin: Option<TaskId>,
    /// The W3C trace id, 32 hexadecimal digits.
    trace_id: String,
    accepted_at: Instant,
    finished_at: Option<Instant>,
    /// From acceptance to the end; null while the task runs.
    duration_ms: Option<u64>,
    /// How many events the task has.
    events: u64,
    /// In the order of the manifest.
    steps: Vec<StepDetail>,
}

impl TaskDetail {
    pub(crate) fn of(view: &TaskView) -> Self {
        let task = &view.task;
        Self {
            id: task.id,
            namespace: task.workflow.namespace.to_string(),
            workflow: task.workflow.name.to_string(),
            version: task.workflow.version.to_string(),
            digest: task.submission.workflow.to_string(),
            status: task.status.as_str(),
            input: Raw::of(&task.submission.input),
            result: task.result.as_ref().map(Raw::of),
            failure: FailureDetail::of_task(task),
            cancel_reason: task.cancel_reason.clone(),
            labels: task.submission.labels.clone(),
            idempotency_key: task.submission.idempotency_key.clone(),
            origin: task.submission.origin,
            trace_id: hex(&task.submission.trace.trace_id),
            accepted_at: Instant(task.accepted_at),
            finished_at: task.finished_at.map(Instant),
            duration_ms: task.finished_at.map(|end| millis(end.since(task.accepted_at))),
            events: task.events,
            steps: task.workflow.indexes().map(|step| StepDetail::of(view, step)).collect(),
        }
    }
}

/// One step of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepDetail {
    name: String,
    system: String,
    capability: String,
    depends_on: Vec<String>,
    /// `pending`, `ready`, `running`, `backing_off`, `succeeded`, `failed` or `cancelled`; more may come.
    state: &'static str,
    /// The newest attempt; 0 before the first.
    attempt: u32,
    attempts_max: u32,
    /// When its dependencies had succeeded.
    ready_at: Option<Instant>,
    /// When its first attempt started.
    started_at: Option<Instant>,
    /// When it ended.
    finished_at: Option<Instant>,
    /// When the next attempt may start, while it backs off.
    next_attempt_at: Option<Instant>,
    /// Who ran the newest attempt: a worker's session, or `responders`.
    worker: Option<String>,
    /// What the running attempt said last about how far it is.
    progress: Option<Raw>,
    result: Option<Raw>,
    failure: Option<FailureDetail>,
    /// Oldest first.
    attempts: Vec<AttemptDetail>,
}

impl StepDetail {
    fn of(view: &TaskView, index: StepIndex) -> Self {
        let task = &view.task;
        let step = task.workflow.step(index);
        let progress = task.progress(index);
        let attempts = attempts(progress);
        let next_attempt_at = match &progress.state {
            StepState::BackingOff { until } => Some(Instant(*until)),
            _ => None,
        };
        let failure = match &progress.state {
            StepState::Failed { failure, .. } => Some(FailureDetail::of(failure)),
            _ => None,
        };
        Self {
            name: step.name.to_string(),
            system: step.system.to_string(),
            capability: step.capability.to_string(),
            depends_on: step.depends_on.iter().map(|index| task.workflow.step(*index).name.to_string()).collect(),
            state: progress.state.as_str(),
            attempt: attempts.last().map_or(0, |attempt| attempt.attempt),
            attempts_max: step.retry.attempts_max,
            ready_at: progress.first_ready_at.map(Instant),
            started_at: attempts.first().map(|attempt| attempt.started_at),
            finished_at: ended(progress).map(Instant),
            next_attempt_at,
            worker: attempts.last().map(|attempt| attempt.worker.clone()),
            progress: view.progress.get(&index).map(Raw::of),
            result: task.step_result(index).map(Raw::of),
            failure,
            attempts,
        }
    }
}

/// One try at a step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptDetail {
    pub(super) attempt: u32,
    /// A worker's session, or `responders`.
    pub(super) worker: String,
    pub(super) started_at: Instant,
    pub(super) finished_at: Option<Instant>,
    /// `running`, `succeeded`, `failed`, or `withdrawn` if the task ended before its reply.
    pub(super) outcome: &'static str,
    pub(super) failure: Option<FailureDetail>,
}

impl AttemptDetail {
    /// The code of its failure.
    pub(super) fn code(&self) -> Option<String> {
        self.failure.as_ref().map(|failure| failure.code.clone())
    }
}

/// Every attempt of a step, oldest first, the open one last.
pub(super) fn attempts(progress: &StepProgress) -> Vec<AttemptDetail> {
    let closed = progress.closed.iter().map(|closed| AttemptDetail {
        attempt: closed.attempt.0,
        worker: worker(&closed.target),
        started_at: Instant(closed.started_at),
        finished_at: Some(Instant(closed.closed_at)),
        outcome: match (&closed.failure, &closed.reply) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "succeeded",
            (None, None) => "withdrawn",
        },
        failure: closed.failure.as_ref().map(FailureDetail::of),
    });
    let open = match &progress.state {
        StepState::Running(open) => Some(AttemptDetail {
            attempt: open.attempt.0,
            worker: worker(&open.target),
            started_at: Instant(open.started_at),
            finished_at: None,
            outcome: "running",
            failure: None,
        }),
        _ => None,
    };
    closed.chain(open).collect()
}

/// The name of whoever was asked.
pub(super) fn worker(target: &Target) -> String {
    match target {
        Target::Session(session) => session.to_string(),
        Target::Responders => "responders".to_owned(),
    }
}

fn ended(progress: &StepProgress) -> Option<Timestamp> {
    match &progress.state {
        StepState::Pending | StepState::Ready { .. } | StepState::Running(_) | StepState::BackingOff { .. } => None,
        StepState::Succeeded { at, .. } | StepState::Failed { at, .. } | StepState::Cancelled { at } => Some(*at),
    }
}

/// What came of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskResult {
    #[schema(value_type = String, example = "tsk_01k9x2m3a4b5c")]
    id: TaskId,
    /// `running`, `succeeded`, `failed` or `cancelled`; more may come.
    status: &'static str,
    result: Option<Raw>,
    failure: Option<FailureDetail>,
    cancel_reason: Option<String>,
}

impl TaskResult {
    pub(crate) fn of(task: &Task) -> Self {
        Self {
            id: task.id,
            status: task.status.as_str(),
            result: task.result.as_ref().map(Raw::of),
            failure: FailureDetail::of_task(task),
            cancel_reason: task.cancel_reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    fn json(view: &TaskView) -> String {
        serde_json::to_string_pretty(&TaskDetail::of(view)).expect("writes")
    }

    #[test]
    fn a_task_that_has_just_been_accepted_shows_who_waits_for_whom() {
        insta::assert_snapshot!(json(&sample::accepted()));
    }

    #[test]
    fn a_running_task_shows_attempts_progress_and_the_next_try() {
        insta::assert_snapshot!(json(&sample::running()));
    }

    #[test]
    fn a_succeeded_task_shows_its_result_as_it_came() {
        let view = sample::succeeded();
        insta::assert_snapshot!(json(&view));
        insta::assert_snapshot!(serde_json::to_string(&TaskResult::of(&view.task)).expect("writes"));
    }

    #[test]
    fn a_failed_task_names_the_step_and_a_withdrawn_attempt() {
        let view = sample::failed();
        insta::assert_snapshot!(json(&view));
        insta::assert_snapshot!(serde_json::to_string(&TaskResult::of(&view.task)).expect("writes"));
    }

    #[test]
    fn a_cancelled_task_says_why() {
        let view = sample::cancelled();
        let result = serde_json::to_value(TaskResult::of(&view.task)).expect("writes");
        assert_eq!(result["status"], "cancelled");
        assert_eq!(result["cancel_reason"], "wrong customer");
    }

    #[test]
    fn no_shape_of_a_task_ever_shows_an_attempt_token() {
        for view in [sample::running(), sample::succeeded(), sample::failed()] {
            let text = json(&view);
            assert!(!text.contains("token"), "{text}");
            assert!(!text.contains(&hex(&[sample::TOKEN_BYTE; 16])), "{text}");
        }
    }
}
