//! The task's trace: spans are made from what was committed, with ids derived from the task, so that no process has to stay alive for a span
//! to be complete.

use super::Shard;
use crate::operations::Committed;
use crate::trace::{Span, SpanKind, publish_span, step_span, submit_span, task_span};
use tasker_engine::event::{Event, Target};
use tasker_engine::task::StepState;
use tasker_engine::{AttemptNumber, StepIndex, Task, Timestamp};
use tasker_telemetry::{attribute, destination, span};

impl Shard {
    /// The spans that are complete with this commit.
    pub(super) fn spans_of(&self, committed: &Committed) {
        if !self.spans.is_on() {
            return;
        }
        let Some(resident) = self.residents.get(committed.task) else { return };
        if !resident.task.submission.trace.sampled {
            return;
        }
        let at = committed.entry.at;
        for event in &committed.entry.events {
            if let Some(made) = spans_of_event(&resident.task, event, at) {
                self.spans.send(made);
            }
        }
    }
}

fn spans_of_event(task: &Task, event: &Event, at: Timestamp) -> Option<Span> {
    let workflow = &task.workflow;
    Some(match event {
        Event::TaskAccepted(submission) => {
            let mut made = base(task, submit_span(task.id), submission.trace.parent, span::SUBMIT.to_owned(), SpanKind::Server, at, at);
            made.attributes.push((attribute::WORKFLOW_NAME, workflow.name.to_string().into()));
            made
        }
        Event::AttemptStarted { step, attempt, .. } => publish(task, *step, *attempt, at),
        Event::StepSucceeded { step, .. } => step_ended(task, *step, at, None),
        Event::StepFailed { step, failure } => step_ended(task, *step, at, Some(failure.code.to_string())),
        Event::StepCancelled { step } if task.progress(*step).first_ready_at.is_some() => {
            step_ended(task, *step, at, Some("cancelled".into()))
        }
        Event::TaskSucceeded { .. } => task_ended(task, at, None),
        Event::TaskFailed { failure, .. } => task_ended(task, at, Some(failure.code.to_string())),
        Event::TaskCancelled { .. } => task_ended(task, at, Some("cancelled".into())),
        Event::StepKept { .. }
        | Event::StepReady { .. }
        | Event::AttemptFailed { .. }
        | Event::StepCancelled { .. }
        | Event::ReplyConflicted { .. }
        | Event::CancelRequested { .. } => return None,
    })
}

fn publish(task: &Task, step: StepIndex, attempt: AttemptNumber, at: Timestamp) -> Span {
    let definition = task.workflow.step(step);
    let (id, parent) = (publish_span(task.id, step, attempt), Some(step_span(task.id, step)));
    let mut made = base(task, id, parent, format!("{} {}", span::PUBLISH, definition.capability), SpanKind::Producer, at, at);
    let responders = task.progress(step).closed.iter().find(|closed| closed.attempt == attempt).map(|closed| &closed.target);
    let target = match (&task.progress(step).state, responders) {
        (_, Some(target)) => Some(target),
        (StepState::Running(open), None) => Some(&open.target),
        _ => None,
    };
    let template = match target {
        Some(Target::Responders) => destination::CALL,
        _ => destination::TO_SESSION,
    };
    made.attributes.extend([
        (attribute::MESSAGING_SYSTEM, "nats".to_owned().into()),
        (attribute::MESSAGING_OPERATION_NAME, span::PUBLISH.to_owned().into()),
        (attribute::MESSAGING_OPERATION_TYPE, "send".to_owned().into()),
        (attribute::MESSAGING_DESTINATION_TEMPLATE, template.to_owned().into()),
        (attribute::MESSAGING_CONVERSATION_ID, task.id.to_string().into()),
        (attribute::MESSAGING_MESSAGE_ID, format!("{}/{}/{attempt}", task.id, definition.name).into()),
        (attribute::STEP_NAME, definition.name.to_string().into()),
        (attribute::ATTEMPT_NUMBER, attempt.0.into()),
        (attribute::CAPABILITY_NAME, definition.capability.to_string().into()),
        (attribute::SYSTEM, definition.system.to_string().into()),
    ]);
    made
}

fn step_ended(task: &Task, step: StepIndex, at: Timestamp, error: Option<String>) -> Span {
    let definition = task.workflow.step(step);
    let from = task.progress(step).first_ready_at.unwrap_or(at);
    let name = format!("{} {}", span::STEP, definition.name);
    let mut made = base(task, step_span(task.id, step), Some(task_span(task.id)), name, SpanKind::Internal, from, at);
    made.error = error;
    made.attributes.extend([
        (attribute::STEP_NAME, definition.name.to_string().into()),
        (attribute::CAPABILITY_NAME, definition.capability.to_string().into()),
        (attribute::SYSTEM, definition.system.to_string().into()),
    ]);
    made
}

fn task_ended(task: &Task, at: Timestamp, error: Option<String>) -> Span {
    let name = format!("{} {}", span::TASK, task.workflow.name);
    let mut made = base(task, task_span(task.id), Some(submit_span(task.id)), name, SpanKind::Internal, task.accepted_at, at);
    made.error = error;
    made.attributes.extend([
        (attribute::WORKFLOW_NAME, task.workflow.name.to_string().into()),
        (attribute::WORKFLOW_VERSION, task.workflow.version.to_string().into()),
    ]);
    made
}

fn base(task: &Task, id: [u8; 8], parent: Option<[u8; 8]>, name: String, kind: SpanKind, start: Timestamp, end: Timestamp) -> Span {
    Span {
        trace_id: task.submission.trace.trace_id,
        id,
        parent,
        name,
        kind,
        start,
        end,
        error: None,
        attributes: vec![
            (attribute::NAMESPACE, task.workflow.namespace.to_string().into()),
            (attribute::TASK_ID, task.id.to_string().into()),
        ],
    }
}
