//! One event of a task's history.

use super::task::{FailureDetail, worker};
use crate::instant::Instant;
use crate::raw::Raw;
use serde::Serialize;
use std::collections::BTreeMap;
use tasker_engine::event::Entry;
use tasker_engine::{Submission, TaskStatus, Workflow};
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
    /// `cancel_requested`, `task_cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Event {
    /// The event at a place of an entry. `workflow` gives the step its name.
    pub(crate) fn of(workflow: &Workflow, entry: &Entry, place: usize) -> Self {
        let event = &entry.events[place];
        Self {
            number: entry.first + place as u64,
            at: Instant(entry.at),
            event: event.name(),
            step: event.step().map(|step| workflow.step(step).name.to_string()),
            attempt: attempt(event),
            data: data(event),
        }
    }
}

/// How the task ended, if this is the event that ends it: nothing but a refused reply can follow.
pub(crate) fn end_of(event: &tasker_engine::Event) -> Option<TaskStatus> {
    use tasker_engine::Event as E;
    match event {
        E::TaskSucceeded { .. } => Some(TaskStatus::Succeeded),
        E::TaskFailed { .. } => Some(TaskStatus::Failed),
        E::TaskCancelled { .. } => Some(TaskStatus::Cancelled),
        E::TaskAccepted(_)
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

fn data(event: &tasker_engine::Event) -> EventData {
    use tasker_engine::Event as E;
    let none = EventData::default();
    match event {
        E::TaskAccepted(submission) => accepted(submission),
        E::StepKept { result, .. } | E::StepSucceeded { result, .. } | E::TaskSucceeded { result } => {
            EventData { result: Some(Raw::of(result)), ..none }
        }
        E::StepReady { .. } | E::StepCancelled { .. } => none,
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
        E::StepFailed { failure, .. } | E::TaskFailed { failure, .. } => EventData { failure: Some(FailureDetail::of(failure)), ..none },
        E::ReplyConflicted { reply, .. } => EventData { reply: Some(reply.to_string()), ..none },
        E::CancelRequested { reason } | E::TaskCancelled { reason } => EventData { reason: Some(reason.clone()), ..none },
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
        let lines: Vec<String> = entries
            .iter()
            .flat_map(|entry| (0..entry.events.len()).map(|place| Event::of(&workflow, entry, place)))
            .map(|event| serde_json::to_string(&event).expect("writes"))
            .collect();
        assert!(!lines.iter().any(|line| line.contains("token")));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_numbers_of_a_history_have_no_gap() {
        let (workflow, entries) = sample::history();
        let numbers: Vec<u64> =
            entries.iter().flat_map(|entry| (0..entry.events.len()).map(|place| Event::of(&workflow, entry, place).number)).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}
