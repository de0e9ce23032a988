//! From bytes to the engine's words.

use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::task::{Submission, Trace};
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
    })
}

fn target(target: Option<proto::Target>) -> Result<Target, Undecodable> {
    match target.and_then(|target| target.target).ok_or(Undecodable::Missing("target"))? {
        proto::target::Target::Session(session) => {
            let session = SessionId::new(&session).map_err(|_| Undecodable::Invalid { field: "session", rule: "a session's name" })?;
            Ok(Target::Session(session))
        }
        proto::target::Target::Responders(proto::Responders {}) => Ok(Target::Responders),
    }
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
