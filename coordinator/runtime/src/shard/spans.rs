//! The task's trace: spans are made from what was committed, with ids derived from the task, so that no process has to stay alive for a span
//! to be complete.

use super::Shard;
use crate::operations::Committed;
use crate::trace::{Span, SpanKind, publish_span, step_span, submit_span, task_span};
use tasker_engine::event::Event;
use tasker_engine::task::StepState;
use tasker_engine::{AttemptNumber, StepIndex, Task, Timestamp};

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
            if let Some(span) = spans_of_event(&resident.task, event, at) {
                self.spans.send(span);
            }
        }
    }
}

fn spans_of_event(task: &Task, event: &Event, at: Timestamp) -> Option<Span> {
    let workflow = &task.workflow;
    Some(match event {
        Event::TaskAccepted(submission) => {
            let mut span = base(task, submit_span(task.id), submission.trace.parent, "submit".to_owned(), SpanKind::Server, at, at);
            span.attributes.push(("tasker.workflow.name", workflow.name.to_string()));
            span
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
    let mut span = base(task, id, parent, format!("publish {}", definition.capability), SpanKind::Producer, at, at);
    let responders = task.progress(step).closed.iter().find(|closed| closed.attempt == attempt).map(|closed| &closed.target);
    let target = match (&task.progress(step).state, responders) {
        (_, Some(target)) => Some(target),
        (StepState::Running(open), None) => Some(&open.target),
        _ => None,
    };
    let template = match target {
        Some(tasker_engine::event::Target::Responders) => "tasker.v1.{namespace}.{system}.call.{capability}",
        _ => "tasker.v1.{namespace}.{system}.to.{session}",
    };
    span.attributes.extend([
        ("messaging.system", "nats".to_owned()),
        ("messaging.operation.name", "publish".to_owned()),
        ("messaging.operation.type", "send".to_owned()),
        ("messaging.destination.template", template.to_owned()),
        ("messaging.message.conversation_id", task.id.to_string()),
        ("messaging.message.id", format!("{}/{}/{attempt}", task.id, definition.name)),
        ("tasker.step.name", definition.name.to_string()),
        ("tasker.attempt.number", attempt.to_string()),
        ("tasker.capability.name", definition.capability.to_string()),
        ("tasker.system", definition.system.to_string()),
    ]);
    span
}

fn step_ended(task: &Task, step: StepIndex, at: Timestamp, error: Option<String>) -> Span {
    let definition = task.workflow.step(step);
    let from = task.progress(step).first_ready_at.unwrap_or(at);
    let name = format!("step {}", definition.name);
    let mut span = base(task, step_span(task.id, step), Some(task_span(task.id)), name, SpanKind::Internal, from, at);
    span.error = error;
    span.attributes.extend([
        ("tasker.step.name", definition.name.to_string()),
        ("tasker.capability.name", definition.capability.to_string()),
        ("tasker.system", definition.system.to_string()),
    ]);
    span
}

fn task_ended(task: &Task, at: Timestamp, error: Option<String>) -> Span {
    let name = format!("task {}", task.workflow.name);
    let mut span =
        base(task, task_span(task.id), Some(submit_span(task.id)), name, SpanKind::Internal, task.accepted_at, at);
    span.error = error;
    span.attributes.extend([
        ("tasker.workflow.name", task.workflow.name.to_string()),
        ("tasker.workflow.version", task.workflow.version.to_string()),
    ]);
    span
}

fn base(
    task: &Task,
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
    kind: SpanKind,
    start: Timestamp,
    end: Timestamp,
) -> Span {
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
            ("tasker.namespace", task.workflow.namespace.to_string()),
            ("tasker.task.id", task.id.to_string()),
        ],
    }
}
