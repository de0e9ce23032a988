//! A task as people and programs see it.

use crate::instant::{Instant, millis};
use crate::raw::Raw;
use serde::Serialize;
use std::collections::BTreeMap;
use tasker_engine::task::{Cause, Ending, StepProgress, StepState, Wait, Waiting};
use tasker_engine::workflow::StepKind;
use tasker_engine::{Failure, StepIndex, Target, Task, TaskId, TaskStatus, Timestamp};
use tasker_runtime::operations::TaskView;
use tasker_runtime::port::store::{TaskRow, WaitingFor};
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
    /// The task that started it.
    #[schema(value_type = Option<String>)]
    parent: Option<TaskId>,
    /// What it waits for that no worker brings: `approval`, `held`, `signal`, `event`, `sleep`, `paused`.
    waiting: Vec<&'static str>,
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
            parent: row.parent,
            waiting: row.waiting.into_iter().map(WaitingFor::as_str).collect(),
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
        let step = step.map(|step| task.label(step).to_string());
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
    /// The instant by which it must end, if its workflow computes one.
    deadline: Option<Instant>,
    /// What is done before it ends otherwise than well; null while it goes forward.
    ending: Option<EndingDetail>,
    /// Why and since when it starts nothing new; null if it is not paused.
    paused: Option<PauseDetail>,
    /// The same for its whole workflow.
    workflow_paused: Option<PauseDetail>,
    /// How urgent it is.
    priority: i8,
    /// The key by which its workflow counts how many tasks run at once; null if it does not count.
    concurrency_key: Option<String>,
    /// Whether it waits for its turn among the tasks of that key.
    queued: bool,
    /// The task and step that started it.
    parent: Option<ParentDetail>,
    /// The tasks that its steps started; the latest hundred.
    children: Vec<ChildDetail>,
    /// How many signals it keeps for later, by name.
    signals_kept: BTreeMap<String, usize>,
    /// How many events the task has.
    events: u64,
    /// In the order of the manifest.
    steps: Vec<StepDetail>,
}

/// A task on its way to its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskEnding)]
pub(crate) struct EndingDetail {
    /// `failed` or `cancelled`: what it will be.
    cause: &'static str,
    /// Why it failed.
    failure: Option<FailureDetail>,
    /// Why it was cancelled.
    reason: Option<String>,
    /// Whether what was done is undone.
    compensate: bool,
    since: Instant,
}

/// A pause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(crate) struct PauseDetail {
    pub(super) reason: String,
    pub(super) since: Instant,
}

/// Who started a child task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParentTask)]
pub(crate) struct ParentDetail {
    #[schema(value_type = String)]
    task: TaskId,
    /// Whether nobody waits for the child.
    detached: bool,
}

/// A child task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChildTask)]
pub(crate) struct ChildDetail {
    #[schema(value_type = String)]
    task: TaskId,
    /// The step, or item, that started it.
    step: String,
    detached: bool,
    /// Null if it is not at hand: ask for the task itself.
    status: Option<&'static str>,
}

impl EndingDetail {
    fn of(ending: &Ending) -> Self {
        let (cause, failure, reason) = match &ending.cause {
            Cause::Failed { failure, .. } => ("failed", Some(FailureDetail::of(failure)), None),
            Cause::Cancelled { reason } => ("cancelled", None, Some(reason.clone())),
        };
        Self { cause, failure, reason, compensate: ending.compensate, since: Instant(ending.since) }
    }
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
            deadline: task.deadline.map(Instant),
            ending: task.ending.as_ref().map(EndingDetail::of),
            paused: task.paused.as_ref().map(|paused| PauseDetail { reason: paused.reason.clone(), since: Instant(paused.since) }),
            workflow_paused: view
                .workflow_pause
                .as_ref()
                .map(|pause| PauseDetail { reason: pause.reason.clone(), since: Instant(pause.since) }),
            priority: task.submission.priority.get(),
            concurrency_key: task.submission.concurrency.as_ref().map(|counted| counted.key.clone()),
            queued: task.queued,
            parent: task.submission.parent.map(|parent| ParentDetail { task: parent.task, detached: parent.detached }),
            children: view
                .children
                .iter()
                .map(|child| ChildDetail {
                    task: child.task,
                    step: child.step.to_string(),
                    detached: child.detached,
                    status: child.status.map(TaskStatus::as_str),
                })
                .collect(),
            signals_kept: task.signals.iter().map(|(name, kept)| (name.clone(), kept.len())).collect(),
            events: task.events,
            steps: task.workflow.indexes().map(|step| StepDetail::of(view, step)).collect(),
        }
    }
}

/// One step of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepDetail {
    name: String,
    /// `call`, `child`, `wait`, `sleep`, `approval` or `switch`; more may come.
    kind: &'static str,
    /// `forward`, or the purpose for which a handler runs: `compensation`, `fallback` or `on_failure`.
    role: &'static str,
    /// Who is asked; null unless it is a call.
    system: Option<String>,
    capability: Option<String>,
    depends_on: Vec<String>,
    /// `pending`, `standby`, `parked`, `ready`, `running`, `backing_off`, `waiting`, `fanned_out`, `falling_back`, `held`, `succeeded`,
    /// `failed`, `skipped` or `cancelled`; more may come.
    state: &'static str,
    /// Why it was skipped: `condition`, `branch`, `join`, `not_needed` or `person`.
    skipped: Option<&'static str>,
    /// What it waits for from outside.
    waiting: Option<WaitDetail>,
    /// How far its items are, if it is a fan-out that has begun.
    items: Option<ItemsDetail>,
    /// The step that runs in its place.
    fallback: Option<String>,
    /// The branch that a switch took.
    branch: Option<String>,
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
    /// Who ran the newest attempt: a worker's session, `responders`, `http`, or the id of a child task.
    worker: Option<String>,
    /// What the running attempt said last about how far it is.
    progress: Option<Raw>,
    result: Option<Raw>,
    failure: Option<FailureDetail>,
    /// Oldest first.
    attempts: Vec<AttemptDetail>,
}

/// What a step waits for: a signal, an event, time, or a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepWait)]
pub(crate) struct WaitDetail {
    /// `signal`, `event`, `sleep` or `approval`.
    r#for: &'static str,
    /// The name of the signal or event.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The key of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Of an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Who is asked; empty: anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignees: Option<Vec<String>>,
    since: Instant,
    /// The end of a sleep, the time limit of everything else.
    until: Option<Instant>,
    /// How often the assignees were reminded.
    reminded: u32,
    escalated_at: Option<Instant>,
}

/// The items of a fan-out, counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepItems)]
pub(crate) struct ItemsDetail {
    count: u32,
    /// At work now.
    working: u32,
    /// Over, however.
    over: u32,
    succeeded: u32,
    failed: u32,
}

impl WaitDetail {
    pub(super) fn of(waiting: &Waiting) -> Self {
        let (mut name, mut key, mut title, mut description, mut assignees) = (None, None, None, None, None);
        match &waiting.wait {
            Wait::Signal { name: signal } => name = Some(signal.clone()),
            Wait::Event { name: event, key: of } => (name, key) = (Some(event.clone()), Some(of.clone())),
            Wait::Sleep => {}
            Wait::Approval { title: line, description: more, assignees: asked } => {
                (title, description, assignees) = (Some(line.clone()), more.clone(), Some(asked.clone()));
            }
        }
        Self {
            r#for: waiting.wait.as_str(),
            name,
            key,
            title,
            description,
            assignees,
            since: Instant(waiting.since),
            until: waiting.until.map(Instant),
            reminded: waiting.reminded,
            escalated_at: waiting.escalated_at.map(Instant),
        }
    }
}

impl StepDetail {
    /// A step, or an item of its fan-out.
    pub(crate) fn of(view: &TaskView, index: StepIndex) -> Self {
        let task = &view.task;
        let step = task.definition(index);
        let progress = task.progress(index);
        let attempts = attempts(progress);
        let next_attempt_at = match &progress.state {
            StepState::BackingOff { until } => Some(Instant(*until)),
            _ => None,
        };
        let failure = match &progress.state {
            StepState::Failed { failure, .. } | StepState::Held { failure, .. } | StepState::FallingBack { failure, .. } => {
                Some(FailureDetail::of(failure))
            }
            _ => None,
        };
        let items = progress.fan.as_ref().map(|fan| ItemsDetail {
            count: fan.count,
            working: fan.working,
            over: fan.over,
            succeeded: fan.succeeded,
            failed: fan.failed,
        });
        let branch = match &step.kind {
            StepKind::Switch(switch) => task.branch_taken(index).map(|branch| switch.branch_name(branch).to_owned()),
            _ => None,
        };
        let (skipped, fallback) = match &progress.state {
            StepState::Skipped { reason, .. } => (Some(reason.as_str()), None),
            StepState::FallingBack { to, .. } => (None, Some(task.label(*to).to_string())),
            _ => (None, None),
        };
        Self {
            name: task.label(index).to_string(),
            kind: step.kind.as_str(),
            role: step.role.as_str(),
            skipped,
            waiting: task.waiting(index).map(WaitDetail::of),
            items,
            fallback,
            branch,
            system: step.system().map(ToString::to_string),
            capability: step.capability().map(ToString::to_string),
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
    /// A worker's session, `responders`, `http`, or the id of a child task.
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
        Target::Http => "http".to_owned(),
        Target::Child(task) => task.to_string(),
    }
}

pub(super) fn ended(progress: &StepProgress) -> Option<Timestamp> {
    match &progress.state {
        StepState::Pending
        | StepState::Standby
        | StepState::Parked
        | StepState::Ready { .. }
        | StepState::Running(_)
        | StepState::BackingOff { .. }
        | StepState::Waiting(_)
        | StepState::FannedOut
        | StepState::FallingBack { .. }
        | StepState::Held { .. } => None,
        StepState::Succeeded { at, .. } | StepState::Failed { at, .. } | StepState::Skipped { at, .. } | StepState::Cancelled { at } => {
            Some(*at)
        }
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
