//! From the engine's words to bytes.

use prost::Message;
use tasker_engine::event::Resolution;
use tasker_engine::task::{Cause, Parent, SkipReason, Submission, Trace, Wait};
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
        Event::DeadlineSet { at } => Fact::DeadlineSet(proto::DeadlineSet { at_ms: at.as_millis() }),
        Event::StepParked { step } => Fact::StepParked(proto::StepParked { step: step.0 }),
        Event::StepSkipped { step, reason } => Fact::StepSkipped(proto::StepSkipped { step: step.0, reason: skip_reason(*reason).into() }),
        Event::BranchTaken { step, branch } => Fact::BranchTaken(proto::BranchTaken { step: step.0, branch: *branch }),
        Event::StepFannedOut { step, items } => {
            let items = items.iter().map(|item| item.bytes().clone()).collect();
            Fact::StepFannedOut(proto::StepFannedOut { step: step.0, items })
        }
        Event::StepCollected { step } => Fact::StepCollected(proto::StepCollected { step: step.0 }),
        Event::WaitStarted { step, wait: awaited, until } => {
            Fact::WaitStarted(proto::WaitStarted { step: step.0, wait: Some(wait(awaited)), until_ms: until.map(|at| at.as_millis()) })
        }
        Event::WaitSatisfied { step, result } => Fact::WaitSatisfied(proto::WaitSatisfied { step: step.0, result: result.bytes().clone() }),
        Event::ApprovalReminded { step } => Fact::ApprovalReminded(proto::ApprovalReminded { step: step.0 }),
        Event::ApprovalEscalated { step, to } => Fact::ApprovalEscalated(proto::ApprovalEscalated { step: step.0, to: to.clone() }),
        Event::ApprovalCommented { step, by, comment } => {
            Fact::ApprovalCommented(proto::ApprovalCommented { step: step.0, by: by.clone(), comment: comment.clone() })
        }
        Event::SignalReceived { name, payload, id } => {
            Fact::SignalReceived(proto::SignalReceived { name: name.clone(), payload: payload.bytes().clone(), id: id.clone() })
        }
        Event::FallbackStarted { step, to, failure: why } => {
            Fact::FallbackStarted(proto::FallbackStarted { step: step.0, to: to.0, failure: Some(failure(why)) })
        }
        Event::FallbackTaken { step } => Fact::FallbackTaken(proto::FallbackTaken { step: step.0 }),
        Event::StepHeld { step, failure: why } => Fact::StepHeld(proto::StepHeld { step: step.0, failure: Some(failure(why)) }),
        Event::StepResolved { step, resolution: decided, by, comment } => Fact::StepResolved(proto::StepResolved {
            step: step.0,
            resolution: Some(resolution(decided)),
            by: by.clone(),
            comment: comment.clone(),
        }),
        Event::TaskEnding { cause: why, compensate } => {
            Fact::TaskEnding(proto::TaskEnding { cause: Some(cause(why)), compensate: *compensate })
        }
        Event::TaskPaused { reason } => Fact::TaskPaused(proto::TaskPaused { reason: reason.clone() }),
        Event::TaskAdmitted => Fact::TaskAdmitted(proto::TaskAdmitted {}),
        Event::TaskResumed => Fact::TaskResumed(proto::TaskResumed {}),
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
        parent: submission.parent.map(parent),
        priority: submission.priority.get().into(),
        concurrency: submission.concurrency.as_ref().map(|counted| proto::Concurrency { key: counted.key.clone(), queued: counted.queued }),
    }
}

fn parent(parent: Parent) -> proto::Parent {
    proto::Parent {
        task: parent.task.as_number(),
        step: parent.step.0,
        token: parent.token.0.to_vec().into(),
        detached: parent.detached,
        depth: parent.depth,
    }
}

fn trace(trace: Trace) -> proto::Trace {
    proto::Trace { trace_id: trace.trace_id.to_vec().into(), parent: trace.parent.map(|span| span.to_vec().into()), sampled: trace.sampled }
}

fn target(target: &Target) -> proto::Target {
    let target = match target {
        Target::Session(session) => proto::target::Target::Session(session.as_str().to_owned()),
        Target::Responders => proto::target::Target::Responders(proto::Responders {}),
        Target::Http => proto::target::Target::Http(proto::Http {}),
        Target::Child(task) => proto::target::Target::Child(task.as_number()),
    };
    proto::Target { target: Some(target) }
}

fn skip_reason(reason: SkipReason) -> proto::SkipReason {
    match reason {
        SkipReason::Condition => proto::SkipReason::Condition,
        SkipReason::Branch => proto::SkipReason::Branch,
        SkipReason::Join => proto::SkipReason::Join,
        SkipReason::NotNeeded => proto::SkipReason::NotNeeded,
        SkipReason::Person => proto::SkipReason::Person,
    }
}

fn wait(wait: &Wait) -> proto::Wait {
    use proto::wait::{self, Wait as Stored};
    let wait = match wait {
        Wait::Signal { name } => Stored::Signal(wait::Signal { name: name.clone() }),
        Wait::Event { name, key } => Stored::Event(wait::External { name: name.clone(), key: key.clone() }),
        Wait::Sleep => Stored::Sleep(wait::Sleep {}),
        Wait::Approval { title, description, assignees } => {
            let (title, description, assignees) = (title.clone(), description.clone(), assignees.clone());
            Stored::Approval(wait::Approval { title, description, assignees })
        }
    };
    proto::Wait { wait: Some(wait) }
}

fn resolution(resolution: &Resolution) -> proto::Resolution {
    use proto::resolution::{self, Resolution as Stored};
    let resolution = match resolution {
        Resolution::Retry => Stored::Retry(resolution::Retry {}),
        Resolution::Skip => Stored::Skip(resolution::Skip {}),
        Resolution::Supply(result) => Stored::Supply(result.bytes().clone()),
        Resolution::Fail => Stored::Fail(resolution::Fail {}),
    };
    proto::Resolution { resolution: Some(resolution) }
}

fn cause(cause: &Cause) -> proto::Cause {
    use proto::cause::{self, Cause as Stored};
    let cause = match cause {
        Cause::Failed { step, failure: why } => {
            Stored::Failed(cause::Failed { step: step.map(|step| step.0), failure: Some(failure(why)) })
        }
        Cause::Cancelled { reason } => Stored::Cancelled(cause::Cancelled { reason: reason.clone() }),
    };
    proto::Cause { cause: Some(cause) }
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
