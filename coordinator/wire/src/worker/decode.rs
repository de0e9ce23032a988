//! What a worker says, from bytes. Everything is checked here once and trusted inside.

use super::subject::{Arrival, Kind};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::contract::ErrorContract;
use tasker_engine::decide::reply::Outcome;
use tasker_engine::failure::cut;
use tasker_engine::{
    AttemptNumber, AttemptToken, CapabilityName, Contract, ErrorCode, Failure, FailureKind, Payload, Schema, SessionId, StepLabel, TaskId,
};
use tasker_proto::worker::v1 as proto;
use tasker_registry::message::{
    AnnouncedCapability, Announcement, AttemptKey, Beat, Credit, FromWorker, Held, Malformed, Said, Sdk, SessionState, WorkerReply,
};

/// Why a message was dropped at the door; a word for figures. Nobody can be told, because not even the session could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is unreadable: {reason}")]
pub struct Unreadable {
    /// `protobuf`, `session`, `credit`.
    pub reason: &'static str,
}

/// A message that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What it says.
    pub message: FromWorker,
    /// How many of its replies and held attempts were left out, because task, step or token is not one that anybody was given.
    pub attempts_dropped: u64,
}

/// The most capabilities of one worker.
const CAPABILITIES_MAX: usize = 1_000;
/// The largest progress, in bytes.
const PROGRESS_BYTES_MAX: usize = 4 * 1024;
/// The longest text that is only shown to people, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Reads a message.
///
/// # Errors
/// If it is not protobuf of the kind its subject says, or names no acceptable session. A single reply that cannot be believed does not
/// spoil its batch: it comes out as [`Malformed`]; one whose attempt has an impossible name is left out and counted.
pub fn decode(arrival: Arrival, body: Bytes) -> Result<Heard, Unreadable> {
    let mut dropped = 0;
    let (session, body) = match arrival.kind {
        Kind::Hello => {
            let hello = proto::Hello::decode(body).map_err(protobuf)?;
            (hello.session.clone(), hello_of(hello, &mut dropped))
        }
        Kind::Poll => {
            let poll = proto::Poll::decode(body).map_err(protobuf)?;
            let credit = poll.credit.ok_or(Unreadable { reason: "credit" })?;
            (poll.session, Said::Poll(credit_of(credit)))
        }
        Kind::Beat => {
            let beat = proto::Beat::decode(body).map_err(protobuf)?;
            let state = match beat.state() {
                proto::SessionState::Unspecified | proto::SessionState::Active => SessionState::Active,
                proto::SessionState::Draining => SessionState::Draining,
                proto::SessionState::Left => SessionState::Left,
            };
            let held = readable(beat.held, held_of, &mut dropped);
            (beat.session, Said::Beat(Beat { held, credit: beat.credit.map(credit_of), state }))
        }
        Kind::Reply => {
            let batch = proto::ReplyBatch::decode(body).map_err(protobuf)?;
            let replies = readable(batch.replies, reply_of, &mut dropped);
            (batch.session, Said::Replies { replies, credit: batch.credit.map(credit_of) })
        }
    };
    let session = SessionId::new(&session).map_err(|_| Unreadable { reason: "session" })?;
    let message = FromWorker { namespace: arrival.namespace, system: arrival.system, session, body };
    Ok(Heard { message, attempts_dropped: dropped })
}

/// Those that can be read; counts the others.
fn readable<W, T>(given: Vec<W>, read: impl Fn(W) -> Option<T>, dropped: &mut u64) -> Vec<T> {
    let count = given.len();
    let found: Vec<T> = given.into_iter().filter_map(read).collect();
    *dropped += (count - found.len()) as u64;
    found
}

fn protobuf(_: prost::DecodeError) -> Unreadable {
    Unreadable { reason: "protobuf" }
}

fn hello_of(hello: proto::Hello, dropped: &mut u64) -> Said {
    if hello.capabilities.len() > CAPABILITIES_MAX {
        let message = format!("{} capabilities are announced; at most {CAPABILITIES_MAX} are accepted", hello.capabilities.len());
        return Said::Impossible { code: "worker.too_many_capabilities", message };
    }
    let mut capabilities = Vec::with_capacity(hello.capabilities.len());
    for capability in hello.capabilities {
        match capability_of(capability) {
            Ok(capability) => capabilities.push(capability),
            Err((code, message)) => return Said::Impossible { code, message },
        }
    }
    let labels = match labels_of(hello.labels) {
        Ok(labels) => labels,
        Err(message) => return Said::Impossible { code: "worker.labels_out_of_range", message },
    };
    let sdk = hello.sdk.unwrap_or_default();
    Said::Hello(Box::new(Announcement {
        system_version: text(hello.system_version),
        capabilities,
        slots: hello.slots,
        counts_costs: hello.counts_slot_costs,
        sdk: Sdk { name: text(sdk.name), version: text(sdk.version), language: text(sdk.language) },
        host: text(hello.host),
        process_id: hello.process_id,
        held: readable(hello.held, held_of, dropped),
        labels,
    }))
}

/// Labels decide where steps go, so one that is too long is refused, not cut: a cut one would match what nobody meant.
fn labels_of(labels: impl IntoIterator<Item = (String, String)>) -> Result<BTreeMap<String, String>, String> {
    let labels: BTreeMap<String, String> = labels.into_iter().collect();
    if labels.len() > Announcement::LABELS_MAX {
        return Err(format!("{} labels are announced; at most {} are accepted", labels.len(), Announcement::LABELS_MAX));
    }
    let max = Announcement::LABEL_BYTES_MAX;
    for (name, value) in &labels {
        if name.is_empty() || name.len() > max || value.len() > max {
            let shown: String = name.chars().take(80).collect();
            return Err(format!("label `{shown}`: a name has 1 to {max} bytes, a value up to {max}"));
        }
    }
    Ok(labels)
}

fn capability_of(capability: proto::Capability) -> Result<AnnouncedCapability, (&'static str, String)> {
    let name = CapabilityName::new(&capability.name).map_err(|invalid| ("worker.capability_malformed", invalid.to_string()))?;
    let mut errors = BTreeMap::new();
    if capability.errors.len() > Contract::ERRORS_MAX {
        let message =
            format!("capability `{name}` declares {} errors; at most {} are accepted", capability.errors.len(), Contract::ERRORS_MAX);
        return Err(("worker.too_many_errors", message));
    }
    for error in capability.errors {
        let code =
            ErrorCode::new(&error.code).map_err(|invalid| ("worker.error_code_malformed", format!("capability `{name}`: {invalid}")))?;
        let details = schema(&name, &format!("details of `{code}`"), &error.details_schema)?;
        errors.insert(code, ErrorContract { details, description: text(error.description) });
    }
    let contract = Contract {
        input: schema(&name, "input", &capability.input_schema)?,
        result: schema(&name, "result", &capability.result_schema)?,
        errors,
    };
    Ok(AnnouncedCapability {
        name,
        contract,
        description: text(capability.description),
        timeout: (capability.timeout_ms > 0).then(|| Duration::from_millis(capability.timeout_ms)),
        slot_cost: (capability.slot_cost > 0).then_some(capability.slot_cost),
    })
}

fn schema(capability: &CapabilityName, what: &str, source: &str) -> Result<Option<Schema>, (&'static str, String)> {
    if source.is_empty() {
        return Ok(None);
    }
    let problem = |reason: String| ("worker.schema_invalid", format!("the {what} schema of capability `{capability}`: {reason}"));
    if source.len() > Schema::BYTES_MAX {
        return Err(problem(format!("it has {} bytes; at most {} are accepted", source.len(), Schema::BYTES_MAX)));
    }
    let value = serde_json::from_str(source).map_err(|error| problem(format!("not JSON: {error}")))?;
    Schema::compile(value).map(Some).map_err(|invalid| problem(invalid.to_string()))
}

fn text(mut given: String) -> String {
    if given.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX;
        while !given.is_char_boundary(end) {
            end -= 1;
        }
        given.truncate(end);
    }
    given
}

fn credit_of(credit: proto::Credit) -> Credit {
    Credit { free: credit.free, highest_sequence: credit.highest_sequence, expires_in: Duration::from_millis(credit.expires_in_ms) }
}

/// An attempt that cannot be read is one that nobody sent: it is left out.
fn key_of(task: &str, step: &str, attempt: u32, token: &[u8]) -> Option<AttemptKey> {
    Some(AttemptKey {
        task: task.parse::<TaskId>().ok()?,
        step: step.parse::<StepLabel>().ok()?,
        attempt: AttemptNumber(attempt),
        token: AttemptToken(token.try_into().ok()?),
    })
}

fn held_of(held: proto::HeldAttempt) -> Option<Held> {
    let attempt = key_of(&held.task_id, &held.step_name, held.attempt, &held.token)?;
    let acceptable = !held.progress.is_empty() && held.progress.len() <= PROGRESS_BYTES_MAX;
    let progress = acceptable.then(|| Payload::parse(held.progress).ok()).flatten();
    Some(Held { attempt, progress })
}

fn reply_of(reply: proto::StepReply) -> Option<WorkerReply> {
    let attempt = key_of(&reply.task_id, &reply.step_name, reply.attempt, &reply.token)?;
    let outcome = match reply.outcome {
        None => Err(Malformed("the reply holds neither a success nor a failure".to_owned())),
        Some(proto::step_reply::Outcome::Success(success)) => match Payload::parse(success.result) {
            Ok(result) => Ok(Outcome::Succeeded(result)),
            Err(invalid) => Err(Malformed(format!("the result is not acceptable: {invalid}"))),
        },
        Some(proto::step_reply::Outcome::Failure(failure)) => failure_of(failure).map(Outcome::Failed),
    };
    Some(WorkerReply { attempt, outcome, ran: Duration::from_millis(reply.ran_ms) })
}

fn failure_of(failure: proto::Failure) -> Result<Failure, Malformed> {
    let kind = match failure.kind() {
        proto::FailureKind::Retryable => FailureKind::Retryable,
        proto::FailureKind::Permanent => FailureKind::Permanent,
        proto::FailureKind::Contract => FailureKind::Contract,
        proto::FailureKind::Cancelled => FailureKind::Cancelled,
        proto::FailureKind::Unspecified => return Err(Malformed("the failure has no kind".to_owned())),
    };
    let code = ErrorCode::new(&failure.code).map_err(|invalid| Malformed(invalid.to_string()))?;
    let details = match failure.details.is_empty() {
        true => None,
        false => Some(Payload::parse(failure.details).map_err(|invalid| Malformed(format!("the details are not acceptable: {invalid}")))?),
    };
    let retry_after = (failure.retry_after_ms > 0).then(|| Duration::from_millis(failure.retry_after_ms));
    Ok(Failure { kind, code, message: cut(failure.message), details, retry_after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tasker_engine::{Namespace, SystemName};

    fn arrival(kind: Kind) -> Arrival {
        Arrival { namespace: Namespace::new("default").expect("valid"), system: SystemName::new("payments").expect("valid"), kind }
    }

    fn hello(capability: proto::Capability) -> Said {
        let hello = proto::Hello { session: "session-1".into(), capabilities: vec![capability], slots: 1, ..Default::default() };
        decode(arrival(Kind::Hello), hello.encode_to_vec().into()).expect("readable").message.body
    }

    #[test]
    fn a_hello_with_an_impossible_schema_is_answered_with_the_place() {
        let said = hello(proto::Capability { name: "payment.charge".into(), result_schema: "{\"type\":7}".into(), ..Default::default() });
        let Said::Impossible { code, message } = said else { panic!("{said:?}") };
        assert_eq!(code, "worker.schema_invalid");
        assert!(message.starts_with("the result schema of capability `payment.charge`: not a JSON Schema"), "{message}");
    }

    #[test]
    fn labels_are_announced_within_their_limits() {
        let said = |labels: Vec<(String, String)>| {
            let capabilities = vec![proto::Capability { name: "payment.charge".into(), ..Default::default() }];
            let labels = labels.into_iter().collect();
            let hello = proto::Hello { session: "session-1".into(), capabilities, slots: 1, labels, ..Default::default() };
            decode(arrival(Kind::Hello), hello.encode_to_vec().into()).expect("readable").message.body
        };
        let long = |bytes: usize| "x".repeat(bytes);
        let many = |number: usize| (0..number).map(|place| (place.to_string(), String::new())).collect::<Vec<_>>();
        for good in [vec![], many(32), vec![(long(256), long(256))]] {
            let Said::Hello(announcement) = said(good.clone()) else { panic!("{good:?}") };
            assert_eq!(announcement.labels, good.into_iter().collect());
        }
        for bad in [many(33), vec![(String::new(), "eu".into())], vec![(long(257), String::new())], vec![("region".into(), long(257))]] {
            let Said::Impossible { code, .. } = said(bad.clone()) else { panic!("{bad:?}") };
            assert_eq!(code, "worker.labels_out_of_range");
        }
    }

    #[test]
    fn one_bad_reply_does_not_spoil_its_batch() {
        let good = proto::StepReply {
            task_id: TaskId::from_number(7).expect("not negative").to_string(),
            step_name: "charge".into(),
            attempt: 1,
            token: Bytes::from_static(&[7; 16]),
            outcome: Some(proto::step_reply::Outcome::Success(proto::Success { result: Bytes::from_static(b"{}") })),
            ran_ms: 1,
        };
        let not_json = proto::StepReply {
            outcome: Some(proto::step_reply::Outcome::Success(proto::Success { result: Bytes::from_static(b"{") })),
            ..good.clone()
        };
        let nobodys = proto::StepReply { token: Bytes::from_static(b"short"), ..good.clone() };
        let batch = proto::ReplyBatch { session: "session-1".into(), replies: vec![nobodys, not_json, good], credit: None };
        let heard = decode(arrival(Kind::Reply), batch.encode_to_vec().into()).expect("readable");
        let Said::Replies { replies, .. } = heard.message.body else { panic!("{heard:?}") };
        assert_eq!(replies.iter().map(|reply| reply.outcome.is_ok()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(heard.attempts_dropped, 1);
    }

    #[test]
    fn an_attempt_at_an_item_is_read_and_one_with_an_impossible_label_is_dropped_and_counted() {
        let held = |step: &str| proto::HeldAttempt {
            task_id: TaskId::from_number(7).expect("not negative").to_string(),
            step_name: step.into(),
            attempt: 1,
            token: Bytes::from_static(&[7; 16]),
            progress: Bytes::new(),
        };
        let good = ["resize", "resize[0]", "resize[17]", "resize[4294967295]"];
        let bad =
            ["", "resize[", "resize[]", "resize[01]", "resize[-1]", "resize[4294967296]", "resize[1]x", "[1]", "Resize[1]", "resize[1][2]"];
        let beat = proto::Beat {
            session: "session-1".into(),
            held: good.iter().chain(&bad).map(|step| held(step)).collect(),
            ..Default::default()
        };
        let heard = decode(arrival(Kind::Beat), beat.encode_to_vec().into()).expect("readable");
        let Said::Beat(beat) = heard.message.body else { panic!("{heard:?}") };
        assert_eq!(beat.held.iter().map(|held| held.attempt.step.to_string()).collect::<Vec<_>>(), good);
        assert_eq!(heard.attempts_dropped, bad.len() as u64);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in [Kind::Hello, Kind::Poll, Kind::Beat, Kind::Reply] {
                let _ = decode(arrival(kind), Bytes::from(bytes.clone()));
            }
        }
    }
}
