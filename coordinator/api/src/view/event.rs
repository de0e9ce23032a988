//! One event of a task's history.

use super::task::{FailureDetail, worker};
use crate::instant::Instant;
use crate::raw::Raw;
use serde::Serialize;
use std::collections::BTreeMap;
use tasker_engine::event::{Entry, Resolution};
use tasker_engine::task::{Cause, Wait};
use tasker_engine::workflow::StepKind;
use tasker_engine::{StepIndex, Submission, TaskStatus, Timestamp};
use tasker_runtime::operations::StepNames;
use tasker_runtime::trace::hex;
use utoipa::ToSchema;

/// A fact about a task. Numbers count from 1 without gaps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    pub(crate) number: u64,
    at: Instant,
    /// `task_accepted`, `step_ready`, `attempt_started` and so on; more may come.
    pub(crate) event: &'static str,
    /// The step it is about.
    step: Option<String>,
    /// The attempt it is about.
    attempt: Option<u32>,
    data: EventData,
}

/// What the event itself says. Which members are there depends on the event; attempt tokens never are.
#[derive(Debug, Default, Serialize, ToSchema)]
struct EventData {
    /// `task_accepted`: the digest of the workflow the task is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<String>,
    /// `task_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Raw>,
    /// `task_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    /// `task_accepted`, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    /// `task_accepted`, if it reuses another task's results.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// `task_accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// `step_kept`, `step_succeeded`, `task_succeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Raw>,
    /// `attempt_started`: a worker's session, or `responders`.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    /// `attempt_started`: the digest of the contract that the worker's build announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    /// `attempt_started`: when the running timeout runs out, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Instant>,
    /// `attempt_failed`, `step_failed`, `task_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureDetail>,
    /// `attempt_failed`, `reply_conflicted`: the digest of the reply, if one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
    /// `attempt_failed`: when the next attempt may start; absent if this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<Instant>,
    /// `cancel_requested`, `task_cancelled`, `task_paused`, `task_ending` of a cancelled task; of `step_skipped` one of `condition`, `branch`,
    /// `join`, `not_needed` and `person`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// `task_accepted` of a child: the task that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// `branch_taken`: the case, or `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    /// `step_fanned_out`: how many items there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<usize>,
    /// `wait_started`: `signal`, `event`, `sleep` or `approval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
    /// `wait_started`, `signal_received`: the name of the signal or event; of an approval its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `wait_started`: the key of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `wait_started`: the end of a sleep, the limit of other waits. `deadline_set`: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Instant>,
    /// `wait_started` of an approval: who is asked. `approval_escalated`: who is asked as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignees: Option<Vec<String>>,
    /// `signal_received`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Raw>,
    /// `signal_received`, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// `approval_commented`, `step_resolved`: who.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// `approval_commented`, `step_resolved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// `step_resolved`: `retry`, `skip`, `supply` or `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'static str>,
    /// `fallback_started`: the step that runs in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    /// `task_ending`: whether what was done is undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    compensate: Option<bool>,
}

impl Event {
    /// The event at a place of an entry. `names` must have seen the task's earlier events, and this entry.
    pub(crate) fn of(names: &StepNames, entry: &Entry, place: usize) -> Self {
        let event = &entry.events[place];
        Self {
            number: entry.first + place as u64,
            at: Instant(entry.at),
            event: event.name(),
            step: event.step().and_then(|step| name(names, step)),
            attempt: attempt(event),
            data: data(names, event),
        }
    }
}

fn name(names: &StepNames, step: StepIndex) -> Option<String> {
    names.label(step).map(|label| label.to_string())
}

/// How the task ended, if this is the event that ends it: nothing but a refused reply can follow.
pub(crate) fn end_of(event: &tasker_engine::Event) -> Option<TaskStatus> {
    use tasker_engine::Event as E;
    match event {
        E::TaskSucceeded { .. } => Some(TaskStatus::Succeeded),
        E::TaskFailed { .. } => Some(TaskStatus::Failed),
        E::TaskCancelled { .. } => Some(TaskStatus::Cancelled),
        E::TaskAccepted(_)
        | E::DeadlineSet { .. }
        | E::StepParked { .. }
        | E::StepSkipped { .. }
        | E::BranchTaken { .. }
        | E::StepFannedOut { .. }
        | E::StepCollected { .. }
        | E::WaitStarted { .. }
        | E::WaitSatisfied { .. }
        | E::ApprovalReminded { .. }
        | E::ApprovalEscalated { .. }
        | E::ApprovalCommented { .. }
        | E::SignalReceived { .. }
        | E::FallbackStarted { .. }
        | E::FallbackTaken { .. }
        | E::StepHeld { .. }
        | E::StepResolved { .. }
        | E::TaskEnding { .. }
        | E::TaskAdmitted
        | E::TaskPaused { .. }
        | E::TaskResumed
        | E::StepKept { .. }
        | E::StepReady { .. }
        | E::AttemptStarted { .. }
        | E::AttemptFailed { .. }
        | E::StepSucceeded { .. }
        | E::StepFailed { .. }
        | E::StepCancelled { .. }
        | E::ReplyConflicted { .. }
        | E::CancelRequested { .. } => None,
    }
}

fn attempt(event: &tasker_engine::Event) -> Option<u32> {
    use tasker_engine::Event as E;
    match event {
        E::AttemptStarted { attempt, .. }
        | E::AttemptFailed { attempt, .. }
        | E::StepSucceeded { attempt, .. }
        | E::ReplyConflicted { attempt, .. } => Some(attempt.0),
        E::TaskAccepted(_)
        | E::DeadlineSet { .. }
        | E::StepParked { .. }
        | E::StepSkipped { .. }
        | E::BranchTaken { .. }
        | E::StepFannedOut { .. }
        | E::StepCollected { .. }
        | E::WaitStarted { .. }
        | E::WaitSatisfied { .. }
        | E::ApprovalReminded { .. }
        | E::ApprovalEscalated { .. }
        | E::ApprovalCommented { .. }
        | E::SignalReceived { .. }
        | E::FallbackStarted { .. }
        | E::FallbackTaken { .. }
        | E::StepHeld { .. }
        | E::StepResolved { .. }
        | E::TaskEnding { .. }
        | E::TaskAdmitted
        | E::TaskPaused { .. }
        | E::TaskResumed
        | E::StepKept { .. }
        | E::StepReady { .. }
        | E::StepFailed { .. }
        | E::StepCancelled { .. }
        | E::CancelRequested { .. }
        | E::TaskSucceeded { .. }
        | E::TaskFailed { .. }
        | E::TaskCancelled { .. } => None,
    }
}

fn data(names: &StepNames, event: &tasker_engine::Event) -> EventData {
    use tasker_engine::Event as E;
    let none = EventData::default();
    match event {
        E::TaskAccepted(submission) => accepted(submission),
        E::StepKept { result, .. } | E::StepSucceeded { result, .. } | E::WaitSatisfied { result, .. } | E::TaskSucceeded { result } => {
            EventData { result: Some(Raw::of(result)), ..none }
        }
        E::StepReady { .. }
        | E::StepParked { .. }
        | E::StepCollected { .. }
        | E::ApprovalReminded { .. }
        | E::FallbackTaken { .. }
        | E::StepCancelled { .. }
        | E::TaskAdmitted
        | E::TaskResumed => none,
        E::DeadlineSet { at } => EventData { until: Some(Instant(*at)), ..none },
        E::StepSkipped { reason, .. } => EventData { reason: Some(reason.as_str().to_owned()), ..none },
        E::BranchTaken { step, branch } => match &names.workflow().step(*step).kind {
            StepKind::Switch(switch) => EventData { branch: Some(switch.branch_name(*branch).to_owned()), ..none },
            _ => none,
        },
        E::StepFannedOut { items, .. } => EventData { items: Some(items.len()), ..none },
        E::WaitStarted { wait, until, .. } => waits(wait, *until),
        E::ApprovalEscalated { to, .. } => EventData { assignees: Some(to.clone()), ..none },
        E::ApprovalCommented { by, comment, .. } => EventData { by: Some(by.clone()), comment: Some(comment.clone()), ..none },
        E::SignalReceived { name, payload, id } => {
            EventData { name: Some(name.clone()), payload: Some(Raw::of(payload)), id: id.clone(), ..none }
        }
        E::FallbackStarted { to, failure, .. } => {
            EventData { fallback: name(names, *to), failure: Some(FailureDetail::of(failure)), ..none }
        }
        E::StepResolved { resolution, by, comment, .. } => EventData {
            resolution: Some(resolution.as_str()),
            by: Some(by.clone()),
            comment: comment.clone(),
            result: match resolution {
                Resolution::Supply(result) => Some(Raw::of(result)),
                Resolution::Retry | Resolution::Skip | Resolution::Fail => None,
            },
            ..none
        },
        E::TaskEnding { cause, compensate } => match cause {
            Cause::Failed { failure, .. } => EventData { failure: Some(FailureDetail::of(failure)), compensate: Some(*compensate), ..none },
            Cause::Cancelled { reason } => EventData { reason: Some(reason.clone()), compensate: Some(*compensate), ..none },
        },
        E::TaskPaused { reason } => EventData { reason: Some(reason.clone()), ..none },
        E::AttemptStarted { target, contract, deadline, .. } => EventData {
            worker: Some(worker(target)),
            contract: contract.map(|digest| digest.to_string()),
            deadline: deadline.map(Instant),
            ..none
        },
        E::AttemptFailed { failure, reply, retry_at, .. } => EventData {
            failure: Some(FailureDetail::of(failure)),
            reply: reply.map(|digest| digest.to_string()),
            retry_at: retry_at.map(Instant),
            ..none
        },
        E::StepFailed { failure, .. } | E::StepHeld { failure, .. } | E::TaskFailed { failure, .. } => {
            EventData { failure: Some(FailureDetail::of(failure)), ..none }
        }
        E::ReplyConflicted { reply, .. } => EventData { reply: Some(reply.to_string()), ..none },
        E::CancelRequested { reason } | E::TaskCancelled { reason } => EventData { reason: Some(reason.clone()), ..none },
    }
}

fn waits(wait: &Wait, until: Option<Timestamp>) -> EventData {
    let common = EventData { waits_for: Some(wait.as_str()), until: until.map(Instant), ..EventData::default() };
    match wait {
        Wait::Signal { name } => EventData { name: Some(name.clone()), ..common },
        Wait::Event { name, key } => EventData { name: Some(name.clone()), key: Some(key.clone()), ..common },
        Wait::Sleep => common,
        Wait::Approval { title, assignees, .. } => EventData { name: Some(title.clone()), assignees: Some(assignees.clone()), ..common },
    }
}

fn accepted(submission: &Submission) -> EventData {
    EventData {
        workflow: Some(submission.workflow.to_string()),
        input: Some(Raw::of(&submission.input)),
        labels: Some(submission.labels.clone()),
        idempotency_key: submission.idempotency_key.clone(),
        origin: submission.origin.map(|origin| origin.to_string()),
        trace_id: Some(hex(&submission.trace.trace_id)),
        parent: submission.parent.map(|parent| parent.task.to_string()),
        ..EventData::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn every_kind_of_event_is_written_with_its_own_fields_and_without_tokens() {
        let (workflow, entries) = sample::history();
        let names = StepNames::new(workflow);
        let lines: Vec<String> = entries
            .iter()
            .flat_map(|entry| (0..entry.events.len()).map(|place| Event::of(&names, entry, place)))
            .map(|event| serde_json::to_string(&event).expect("writes"))
            .collect();
        assert!(!lines.iter().any(|line| line.contains("token")));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_numbers_of_a_history_have_no_gap() {
        let (workflow, entries) = sample::history();
        let names = StepNames::new(workflow);
        let numbers: Vec<u64> =
            entries.iter().flat_map(|entry| (0..entry.events.len()).map(|place| Event::of(&names, entry, place).number)).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}
