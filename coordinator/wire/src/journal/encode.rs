//! From the engine's words to bytes.

use prost::Message;
use tasker_engine::task::{Submission, Trace};
use tasker_engine::{Entry, Event, Failure, FailureKind, Target};
use tasker_proto::journal::v1 as proto;

/// The bytes that a journal row stores. The same entry always gives the same bytes; payloads are shared, not copied, until they are written.
pub fn encode(entry: &Entry) -> Vec<u8> {
    proto::Entry {
        at_ms: entry.at.as_millis(),
        task: entry.task.as_number(),
        first: entry.first,
        events: entry.events.iter().map(|event| proto::Event { fact: Some(fact(event)) }).collect(),
    }
    .encode_to_vec()
}

fn fact(event: &Event) -> proto::event::Fact {
    use proto::event::Fact;
    match event {
        Event::TaskAccepted(submission) => Fact::TaskAccepted(accepted(submission)),
        Event::StepKept { step, result } => Fact::StepKept(proto::StepKept { step: step.0, result: result.bytes().clone() }),
        Event::StepReady { step } => Fact::StepReady(proto::StepReady { step: step.0 }),
        Event::AttemptStarted { step, attempt, token, target: asked, contract, deadline } => Fact::AttemptStarted(proto::AttemptStarted {
            step: step.0,
            attempt: attempt.0,
            token: token.0.to_vec().into(),
            target: Some(target(asked)),
            contract: contract.map(|digest| digest.0.to_vec().into()),
            deadline_ms: deadline.map(|at| at.as_millis()),
        }),
        Event::AttemptFailed { step, attempt, failure: why, reply, retry_at } => Fact::AttemptFailed(proto::AttemptFailed {
            step: step.0,
            attempt: attempt.0,
            failure: Some(failure(why)),
            reply: reply.map(|digest| digest.0.to_vec().into()),
            retry_at_ms: retry_at.map(|at| at.as_millis()),
        }),
        Event::StepSucceeded { step, attempt, result } => {
            Fact::StepSucceeded(proto::StepSucceeded { step: step.0, attempt: attempt.0, result: result.bytes().clone() })
        }
        Event::StepFailed { step, failure: why } => Fact::StepFailed(proto::StepFailed { step: step.0, failure: Some(failure(why)) }),
        Event::StepCancelled { step } => Fact::StepCancelled(proto::StepCancelled { step: step.0 }),
        Event::ReplyConflicted { step, attempt, reply } => {
            Fact::ReplyConflicted(proto::ReplyConflicted { step: step.0, attempt: attempt.0, reply: reply.0.to_vec().into() })
        }
        Event::CancelRequested { reason } => Fact::CancelRequested(proto::CancelRequested { reason: reason.clone() }),
        Event::TaskSucceeded { result } => Fact::TaskSucceeded(proto::TaskSucceeded { result: result.bytes().clone() }),
        Event::TaskFailed { step, failure: why } => {
            Fact::TaskFailed(proto::TaskFailed { step: step.map(|step| step.0), failure: Some(failure(why)) })
        }
        Event::TaskCancelled { reason } => Fact::TaskCancelled(proto::TaskCancelled { reason: reason.clone() }),
    }
}

fn accepted(submission: &Submission) -> proto::TaskAccepted {
    let label = |(name, value): (&String, &String)| proto::Label { name: name.clone(), value: value.clone() };
    proto::TaskAccepted {
        namespace: submission.namespace.as_str().to_owned(),
        workflow: submission.workflow.0.to_vec().into(),
        input: submission.input.bytes().clone(),
        labels: submission.labels.iter().map(label).collect(),
        idempotency_key: submission.idempotency_key.clone(),
        origin: submission.origin.map(|task| task.as_number()),
        trace: Some(trace(submission.trace)),
    }
}

fn trace(trace: Trace) -> proto::Trace {
    proto::Trace { trace_id: trace.trace_id.to_vec().into(), parent: trace.parent.map(|span| span.to_vec().into()), sampled: trace.sampled }
}

fn target(target: &Target) -> proto::Target {
    let target = match target {
        Target::Session(session) => proto::target::Target::Session(session.as_str().to_owned()),
        Target::Responders => proto::target::Target::Responders(proto::Responders {}),
    };
    proto::Target { target: Some(target) }
}

fn failure(failure: &Failure) -> proto::Failure {
    let kind = match failure.kind {
        FailureKind::Retryable => proto::FailureKind::Retryable,
        FailureKind::Permanent => proto::FailureKind::Permanent,
        FailureKind::Contract => proto::FailureKind::Contract,
        FailureKind::Cancelled => proto::FailureKind::Cancelled,
        FailureKind::TimedOut => proto::FailureKind::TimedOut,
        FailureKind::Lost => proto::FailureKind::Lost,
    };
    proto::Failure {
        kind: kind.into(),
        code: failure.code.as_str().to_owned(),
        message: failure.message.clone(),
        details: failure.details.as_ref().map(|details| details.bytes().clone()),
        retry_after: failure.retry_after.map(|span| proto::Span { seconds: span.as_secs(), nanos: span.subsec_nanos() }),
    }
}
