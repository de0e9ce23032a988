//! From bytes to the engine's words.

use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::event::Resolution;
use tasker_engine::flow::Priority;
use tasker_engine::task::{Cause, Concurrency, Parent, SkipReason, Submission, Trace, Wait};
use tasker_engine::{
    AttemptNumber, AttemptToken, Digest, Entry, ErrorCode, Event, Failure, FailureKind, Namespace, Payload, SessionId, StepIndex, Target,
    TaskId, Timestamp,
};
use tasker_proto::journal::v1 as proto;

/// Why bytes are not a journal entry that this version can read. Only damage, or a newer coordinator that wrote to the same database, can
/// cause it; the task is stopped and the row is kept.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// Not the protobuf message.
    #[error("the bytes are no journal entry")]
    Malformed(#[from] prost::DecodeError),
    /// A field without which the fact means nothing, or a fact that this version does not know.
    #[error("`{0}` is missing, or was written by a newer version")]
    Missing(&'static str),
    /// A field that holds something impossible.
    #[error("`{field}` is not {rule}")]
    Invalid {
        /// The field, by its name in the schema.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

/// Reads what [`encode`](super::encode) wrote. Payloads share the given bytes and are trusted: they were checked before they were stored.
///
/// # Errors
/// If anything is missing, impossible or unknown. Nothing is skipped and nothing is guessed.
pub fn decode(bytes: Bytes) -> Result<Entry, Undecodable> {
    let entry = proto::Entry::decode(bytes)?;
    if entry.events.is_empty() {
        return Err(Undecodable::Missing("events"));
    }
    Ok(Entry {
        task: task("task", entry.task)?,
        first: entry.first,
        at: Timestamp::from_millis(entry.at_ms),
        events: entry.events.into_iter().map(event).collect::<Result<_, _>>()?,
    })
}

fn event(event: proto::Event) -> Result<Event, Undecodable> {
    use proto::event::Fact;
    Ok(match event.fact.ok_or(Undecodable::Missing("fact"))? {
        Fact::TaskAccepted(fact) => Event::TaskAccepted(Box::new(submission(fact)?)),
        Fact::StepKept(fact) => Event::StepKept { step: StepIndex(fact.step), result: Payload::trusted(fact.result) },
        Fact::StepReady(fact) => Event::StepReady { step: StepIndex(fact.step) },
        Fact::AttemptStarted(fact) => Event::AttemptStarted {
            step: StepIndex(fact.step),
            attempt: AttemptNumber(fact.attempt),
            token: AttemptToken(exactly("token", &fact.token)?),
            target: target(fact.target)?,
            contract: digest_if_any("contract", fact.contract)?,
            deadline: fact.deadline_ms.map(Timestamp::from_millis),
        },
        Fact::AttemptFailed(fact) => Event::AttemptFailed {
            step: StepIndex(fact.step),
            attempt: AttemptNumber(fact.attempt),
            failure: failure(fact.failure)?,
            reply: digest_if_any("reply", fact.reply)?,
            retry_at: fact.retry_at_ms.map(Timestamp::from_millis),
        },
        Fact::StepSucceeded(fact) => {
            Event::StepSucceeded { step: StepIndex(fact.step), attempt: AttemptNumber(fact.attempt), result: Payload::trusted(fact.result) }
        }
        Fact::StepFailed(fact) => Event::StepFailed { step: StepIndex(fact.step), failure: failure(fact.failure)? },
        Fact::StepCancelled(fact) => Event::StepCancelled { step: StepIndex(fact.step) },
        Fact::ReplyConflicted(fact) => Event::ReplyConflicted {
            step: StepIndex(fact.step),
            attempt: AttemptNumber(fact.attempt),
            reply: Digest(exactly("reply", &fact.reply)?),
        },
        Fact::CancelRequested(fact) => Event::CancelRequested { reason: fact.reason },
        Fact::TaskSucceeded(fact) => Event::TaskSucceeded { result: Payload::trusted(fact.result) },
        Fact::TaskFailed(fact) => Event::TaskFailed { step: fact.step.map(StepIndex), failure: failure(fact.failure)? },
        Fact::TaskCancelled(fact) => Event::TaskCancelled { reason: fact.reason },
        Fact::DeadlineSet(fact) => Event::DeadlineSet { at: Timestamp::from_millis(fact.at_ms) },
        Fact::StepParked(fact) => Event::StepParked { step: StepIndex(fact.step) },
        Fact::StepSkipped(fact) => Event::StepSkipped { step: StepIndex(fact.step), reason: skip_reason(fact.reason())? },
        Fact::BranchTaken(fact) => Event::BranchTaken { step: StepIndex(fact.step), branch: fact.branch },
        Fact::StepFannedOut(fact) => {
            Event::StepFannedOut { step: StepIndex(fact.step), items: fact.items.into_iter().map(Payload::trusted).collect() }
        }
        Fact::StepCollected(fact) => Event::StepCollected { step: StepIndex(fact.step) },
        Fact::WaitStarted(fact) => {
            Event::WaitStarted { step: StepIndex(fact.step), wait: wait(fact.wait)?, until: fact.until_ms.map(Timestamp::from_millis) }
        }
        Fact::WaitSatisfied(fact) => Event::WaitSatisfied { step: StepIndex(fact.step), result: Payload::trusted(fact.result) },
        Fact::ApprovalReminded(fact) => Event::ApprovalReminded { step: StepIndex(fact.step) },
        Fact::ApprovalEscalated(fact) => Event::ApprovalEscalated { step: StepIndex(fact.step), to: fact.to },
        Fact::ApprovalCommented(fact) => Event::ApprovalCommented { step: StepIndex(fact.step), by: fact.by, comment: fact.comment },
        Fact::SignalReceived(fact) => Event::SignalReceived { name: fact.name, payload: Payload::trusted(fact.payload), id: fact.id },
        Fact::FallbackStarted(fact) => {
            Event::FallbackStarted { step: StepIndex(fact.step), to: StepIndex(fact.to), failure: failure(fact.failure)? }
        }
        Fact::FallbackTaken(fact) => Event::FallbackTaken { step: StepIndex(fact.step) },
        Fact::StepHeld(fact) => Event::StepHeld { step: StepIndex(fact.step), failure: failure(fact.failure)? },
        Fact::StepResolved(fact) => {
            Event::StepResolved { step: StepIndex(fact.step), resolution: resolution(fact.resolution)?, by: fact.by, comment: fact.comment }
        }
        Fact::TaskEnding(fact) => Event::TaskEnding { cause: cause(fact.cause)?, compensate: fact.compensate },
        Fact::TaskPaused(fact) => Event::TaskPaused { reason: fact.reason },
        Fact::TaskAdmitted(proto::TaskAdmitted {}) => Event::TaskAdmitted,
        Fact::TaskResumed(proto::TaskResumed {}) => Event::TaskResumed,
    })
}

fn submission(fact: proto::TaskAccepted) -> Result<Submission, Undecodable> {
    let mut labels = BTreeMap::new();
    for label in fact.labels {
        if labels.insert(label.name, label.value).is_some() {
            return Err(Undecodable::Invalid { field: "labels", rule: "a list in which each name comes once" });
        }
    }
    let stored = fact.trace.ok_or(Undecodable::Missing("trace"))?;
    let namespace = Namespace::new(&fact.namespace).map_err(|_| Undecodable::Invalid { field: "namespace", rule: "a namespace's name" })?;
    let priority = Priority::new(fact.priority.into());
    Ok(Submission {
        namespace,
        workflow: Digest(exactly("workflow", &fact.workflow)?),
        input: Payload::trusted(fact.input),
        labels,
        idempotency_key: fact.idempotency_key,
        origin: fact.origin.map(|number| task("origin", number)).transpose()?,
        trace: Trace {
            trace_id: exactly("trace_id", &stored.trace_id)?,
            parent: stored.parent.map(|span| exactly("parent", &span)).transpose()?,
            sampled: stored.sampled,
        },
        parent: fact.parent.map(parent).transpose()?,
        priority: priority.ok_or(Undecodable::Invalid { field: "priority", rule: "from -100 to 100" })?,
        concurrency: fact.concurrency.map(|counted| Concurrency { key: counted.key, queued: counted.queued }),
    })
}

fn parent(parent: proto::Parent) -> Result<Parent, Undecodable> {
    Ok(Parent {
        task: task("parent", parent.task)?,
        step: StepIndex(parent.step),
        token: AttemptToken(exactly("token", &parent.token)?),
        detached: parent.detached,
        depth: parent.depth,
    })
}

fn target(target: Option<proto::Target>) -> Result<Target, Undecodable> {
    match target.and_then(|target| target.target).ok_or(Undecodable::Missing("target"))? {
        proto::target::Target::Session(session) => {
            let session = SessionId::new(&session).map_err(|_| Undecodable::Invalid { field: "session", rule: "a session's name" })?;
            Ok(Target::Session(session))
        }
        proto::target::Target::Responders(proto::Responders {}) => Ok(Target::Responders),
        proto::target::Target::Http(proto::Http {}) => Ok(Target::Http),
        proto::target::Target::Child(number) => Ok(Target::Child(task("child", number)?)),
    }
}

fn skip_reason(reason: proto::SkipReason) -> Result<SkipReason, Undecodable> {
    match reason {
        proto::SkipReason::Unspecified => Err(Undecodable::Missing("reason")),
        proto::SkipReason::Condition => Ok(SkipReason::Condition),
        proto::SkipReason::Branch => Ok(SkipReason::Branch),
        proto::SkipReason::Join => Ok(SkipReason::Join),
        proto::SkipReason::NotNeeded => Ok(SkipReason::NotNeeded),
        proto::SkipReason::Person => Ok(SkipReason::Person),
    }
}

fn wait(wait: Option<proto::Wait>) -> Result<Wait, Undecodable> {
    use proto::wait::{self, Wait as Stored};
    Ok(match wait.and_then(|wait| wait.wait).ok_or(Undecodable::Missing("wait"))? {
        Stored::Signal(wait::Signal { name }) => Wait::Signal { name },
        Stored::Event(wait::External { name, key }) => Wait::Event { name, key },
        Stored::Sleep(wait::Sleep {}) => Wait::Sleep,
        Stored::Approval(wait::Approval { title, description, assignees }) => Wait::Approval { title, description, assignees },
    })
}

fn resolution(resolution: Option<proto::Resolution>) -> Result<Resolution, Undecodable> {
    use proto::resolution::{self, Resolution as Stored};
    Ok(match resolution.and_then(|resolution| resolution.resolution).ok_or(Undecodable::Missing("resolution"))? {
        Stored::Retry(resolution::Retry {}) => Resolution::Retry,
        Stored::Skip(resolution::Skip {}) => Resolution::Skip,
        Stored::Supply(result) => Resolution::Supply(Payload::trusted(result)),
        Stored::Fail(resolution::Fail {}) => Resolution::Fail,
    })
}

fn cause(cause: Option<proto::Cause>) -> Result<Cause, Undecodable> {
    use proto::cause::{self, Cause as Stored};
    Ok(match cause.and_then(|cause| cause.cause).ok_or(Undecodable::Missing("cause"))? {
        Stored::Failed(cause::Failed { step, failure: why }) => Cause::Failed { step: step.map(StepIndex), failure: failure(why)? },
        Stored::Cancelled(cause::Cancelled { reason }) => Cause::Cancelled { reason },
    })
}

fn failure(failure: Option<proto::Failure>) -> Result<Failure, Undecodable> {
    let failure = failure.ok_or(Undecodable::Missing("failure"))?;
    let kind = match failure.kind() {
        proto::FailureKind::Unspecified => return Err(Undecodable::Missing("kind")),
        proto::FailureKind::Retryable => FailureKind::Retryable,
        proto::FailureKind::Permanent => FailureKind::Permanent,
        proto::FailureKind::Contract => FailureKind::Contract,
        proto::FailureKind::Cancelled => FailureKind::Cancelled,
        proto::FailureKind::TimedOut => FailureKind::TimedOut,
        proto::FailureKind::Lost => FailureKind::Lost,
    };
    Ok(Failure {
        kind,
        code: ErrorCode::new(&failure.code).map_err(|_| Undecodable::Invalid { field: "code", rule: "an error code" })?,
        message: failure.message,
        details: failure.details.map(Payload::trusted),
        retry_after: failure.retry_after.map(span).transpose()?,
    })
}

fn span(span: proto::Span) -> Result<Duration, Undecodable> {
    if span.nanos >= 1_000_000_000 {
        return Err(Undecodable::Invalid { field: "nanos", rule: "below one second" });
    }
    Ok(Duration::new(span.seconds, span.nanos))
}

fn task(field: &'static str, number: i64) -> Result<TaskId, Undecodable> {
    TaskId::from_number(number).ok_or(Undecodable::Invalid { field, rule: "a task id, which is never negative" })
}

fn digest_if_any(field: &'static str, bytes: Option<Bytes>) -> Result<Option<Digest>, Undecodable> {
    bytes.map(|bytes| exactly(field, &bytes).map(Digest)).transpose()
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Undecodable> {
    bytes.try_into().map_err(|_| Undecodable::Invalid { field, rule: "of the length that the schema gives" })
}
