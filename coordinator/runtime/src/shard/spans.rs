//! The task's trace: spans are made from what was committed, with ids derived from the task, so that no process has to stay alive for a span
//! to be complete.

use super::Shard;
use crate::operations::Committed;
use crate::trace::{Attribute, Span, SpanKind, has_spans, publish_span, step_span, submit_span, task_span};
use tasker_engine::event::{Event, Resolution, Target};
use tasker_engine::workflow::Role;
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
    if event.step().is_some_and(|step| !has_spans(task, step)) {
        return None;
    }
    Some(match event {
        Event::TaskAccepted(submission) => {
            // Whoever submits a child task is the coordinator itself.
            let kind = if submission.parent.is_some() { SpanKind::Internal } else { SpanKind::Server };
            let mut made = base(task, submit_span(task.id), submission.trace.parent, span::SUBMIT.to_owned(), kind, at, at);
            made.attributes.push((attribute::WORKFLOW_NAME, workflow.name.to_string().into()));
            made
        }
        Event::AttemptStarted { step, attempt, target, .. } => publish(task, *step, *attempt, target, at)?,
        Event::StepSucceeded { step, .. }
        | Event::WaitSatisfied { step, .. }
        | Event::BranchTaken { step, .. }
        | Event::StepCollected { step }
        | Event::FallbackTaken { step }
        | Event::StepResolved { step, resolution: Resolution::Supply(_), .. } => step_ended(task, *step, at, None),
        Event::StepFailed { step, failure } => step_ended(task, *step, at, Some(failure.code.to_string())),
        Event::StepCancelled { step } if began_at(task, *step).is_some() => step_ended(task, *step, at, Some("cancelled".into())),
        Event::StepSkipped { step, .. } if began_at(task, *step).is_some() => step_ended(task, *step, at, None),
        Event::TaskSucceeded { .. } => task_ended(task, at, None),
        Event::TaskFailed { failure, .. } => task_ended(task, at, Some(failure.code.to_string())),
        Event::TaskCancelled { .. } => task_ended(task, at, Some("cancelled".into())),
        Event::StepKept { .. }
        | Event::DeadlineSet { .. }
        | Event::StepReady { .. }
        | Event::StepParked { .. }
        | Event::StepSkipped { .. }
        | Event::StepFannedOut { .. }
        | Event::WaitStarted { .. }
        | Event::ApprovalReminded { .. }
        | Event::ApprovalEscalated { .. }
        | Event::ApprovalCommented { .. }
        | Event::SignalReceived { .. }
        | Event::FallbackStarted { .. }
        | Event::StepHeld { .. }
        | Event::StepResolved { resolution: Resolution::Retry | Resolution::Skip | Resolution::Fail, .. }
        | Event::TaskEnding { .. }
        | Event::TaskAdmitted
        | Event::TaskPaused { .. }
        | Event::TaskResumed
        | Event::AttemptFailed { .. }
        | Event::StepCancelled { .. }
        | Event::ReplyConflicted { .. }
        | Event::CancelRequested { .. } => return None,
    })
}

/// The span of asking a worker; none if nobody outside was asked.
fn publish(task: &Task, step: StepIndex, attempt: AttemptNumber, target: &Target, at: Timestamp) -> Option<Span> {
    let call = task.definition(step).call()?;
    let (id, parent) = (publish_span(task.id, step, attempt), Some(step_span(task.id, step)));
    let template = match target {
        Target::Responders => destination::CALL,
        Target::Session(_) => destination::TO_SESSION,
        Target::Http => {
            let mut made = base(task, id, parent, format!("{} {}", span::CALL, call.capability), SpanKind::Client, at, at);
            made.attributes.push((attribute::ATTEMPT_NUMBER, attempt.0.into()));
            made.attributes.extend(of_step(task, step));
            return Some(made);
        }
        Target::Child(_) => return None,
    };
    let mut made = base(task, id, parent, format!("{} {}", span::PUBLISH, call.capability), SpanKind::Producer, at, at);
    made.attributes.extend([
        (attribute::MESSAGING_SYSTEM, "nats".to_owned().into()),
        (attribute::MESSAGING_OPERATION_NAME, span::PUBLISH.to_owned().into()),
        (attribute::MESSAGING_OPERATION_TYPE, "send".to_owned().into()),
        (attribute::MESSAGING_DESTINATION_TEMPLATE, template.to_owned().into()),
        (attribute::MESSAGING_CONVERSATION_ID, task.id.to_string().into()),
        (attribute::MESSAGING_MESSAGE_ID, format!("{}/{}/{attempt}", task.id, task.label(step)).into()),
        (attribute::ATTEMPT_NUMBER, attempt.0.into()),
    ]);
    made.attributes.extend(of_step(task, step));
    Some(made)
}

fn step_ended(task: &Task, step: StepIndex, at: Timestamp, error: Option<String>) -> Span {
    let from = began_at(task, step).unwrap_or(at);
    let name = format!("{} {}", span::STEP, task.definition(step).name);
    // An item is part of its fan-out.
    let parent = task.item(step).map_or_else(|| task_span(task.id), |item| step_span(task.id, item.of));
    let mut made = base(task, step_span(task.id, step), Some(parent), name, SpanKind::Internal, from, at);
    made.error = error;
    made.attributes.extend(of_step(task, step));
    made
}

/// When a step began; of a fan-out: when its first item did.
fn began_at(task: &Task, step: StepIndex) -> Option<Timestamp> {
    let progress = task.progress(step);
    let first_item = progress.fan.as_ref().and_then(|fan| fan.indexes().next());
    progress.first_ready_at.or_else(|| task.progress(first_item?).first_ready_at)
}

fn of_step(task: &Task, step: StepIndex) -> Vec<(&'static str, Attribute)> {
    let definition = task.definition(step);
    let mut attributes: Vec<(&'static str, Attribute)> = vec![
        (attribute::STEP_NAME, definition.name.to_string().into()),
        (attribute::STEP_KIND, definition.kind.as_str().to_owned().into()),
    ];
    if let Some(call) = definition.call() {
        attributes.push((attribute::CAPABILITY_NAME, call.capability.to_string().into()));
        attributes.push((attribute::SYSTEM, call.system.to_string().into()));
    }
    if let Some(item) = task.item(step) {
        attributes.push((attribute::ITEM_INDEX, item.number.into()));
    }
    if definition.role != Role::Forward {
        attributes.push((attribute::STEP_ROLE, definition.role.as_str().to_owned().into()));
    }
    attributes
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
